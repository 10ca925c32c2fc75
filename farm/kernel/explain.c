/*
 * Print what the kernel's own Kconfig parser knows of each symbol named on the command line: type, places,
 * dependencies with their values, selecting symbols. Linked with the objects of scripts/kconfig.
 *
 * Usage: explain KCONFIG SYMBOL...      (in the environment that make gives to scripts/kconfig/conf)
 */
#include <stdio.h>
#include <stdlib.h>

#include "lkc.h"

int main(int argc, char **argv)
{
	int i;

	if (argc < 3)
		return 2;
	conf_parse(argv[1]);
	conf_read(NULL);
	for (i = 2; i < argc; i++) {
		struct symbol *found[2] = { sym_find(argv[i]), NULL };
		struct gstr text;

		printf("@ %s\n", argv[i]);
		if (!found[0] || found[0]->type == S_UNKNOWN)
			continue;
		text = get_relations_str(found, NULL);
		fputs(str_get(&text), stdout);
		str_free(&text);
	}
	return 0;
}

"""Which files and functions a patch changes."""

import pytest

from farm.repro.patchtext import Changes, changes, prose

GIT = """\
From: somebody
Subject: [PATCH] dm crypt: something

---
 drivers/md/dm-crypt.c | 2 +-

diff --git a/drivers/md/dm-crypt.c b/drivers/md/dm-crypt.c
index 123..456 100644
--- a/drivers/md/dm-crypt.c
+++ b/drivers/md/dm-crypt.c
@@ -10,6 +10,6 @@ static int crypt_convert(struct crypt_config *cc,
 \tint r;
-\tr = 0;
+\tr = crypt_helper(1);
 \treturn r;
 }
\x20
 static void crypt_unchanged(void)
@@ -90,2 +90,7 @@ static void crypt_before(void)
 }
\x20
+static void crypt_added(struct bio *bio)
+{
+\tbio_put(bio);
+}
+
--\x20
2.39.5
"""


def test_functions_are_those_in_which_something_changes():
    assert changes(GIT) == Changes(("drivers/md/dm-crypt.c",), ("crypt_convert", "crypt_added"))


def test_a_plain_diff_names_what_is_defined_in_it():
    diff = "--- old/mm/zswap.c\t2026-01-01\n+++ new/mm/zswap.c\t2026-01-02\n@@ -1,2 +1,2 @@\n" \
           " bool zswap_store(struct folio *folio)\n-\treturn true;\n+\treturn false;\n"
    assert changes(diff) == Changes(("mm/zswap.c",), ("zswap_store",))


@pytest.mark.parametrize("text", [
    "", "a mail that says @@ -1 +1 @@ crypt_map() and nothing else\n-- \nName\n",
    "@@ -1 +1 @@ static int crypt_map(void)\n-\ta = 1;\n",  # of no file
    "--- /dev/null\n+++ /dev/null\n",
])
def test_what_is_no_patch_changes_nothing(text):
    assert changes(text) == Changes()


def hunk(*lines, head=""):
    old, new = (sum(line[:1] in kinds for line in lines) for kinds in ("- ", "+ "))
    return "\n".join([f"@@ -1,{old} +1,{new} @@ {head}", *lines, ""])


FILE = "--- a/fs/xfs/xfs_buf.c\n+++ b/fs/xfs/xfs_buf.c\n"


@pytest.mark.parametrize(("text", "functions"), [
    (hunk("-\ta", head="xfs_buf_alloc_pages("), ("xfs_buf_alloc_pages",)),
    (hunk(" STATIC int", " xfs_buf_free(", " \tstruct xfs_buf *bp)", "-\ta", head="static int first(void)"),
     ("xfs_buf_free",)),
    (hunk(" out:", "-\ta", head="static int first(void)"), ("first",)),
    (hunk("-\ta", " }", " ", "+static const int table[] = {", "+};", head="static int first(void)"), ("first",)),
    (hunk("-static int former(struct bio *bio);", "+EXPORT_SYMBOL(latter);"), ()),
    (hunk("+static inline int small(void) { return 0; }"), ("small",)),
    (hunk("-\ta", " }", " static int second(void)", head="int first(void)") + "-- \n2.39.5\n", ("first",)),
    (hunk("--- ../foo/bar", "-\tb", head="int first(void)"), ("first",)),
    ("@@ -9,4 +9,5 @@ static int first(void)\nint second(void)\n{\n- a;\n+ b;\n+ c;\nd(e);\n}\n", ("second",)),
    ("@@@ -1,2 -1,2 +1,2 @@@ int merged(void)\n- a\n +b\n", ("merged",)),
])
def test_functions_of_hunks(text, functions):
    assert changes(FILE + text) == Changes(("fs/xfs/xfs_buf.c",), functions)


@pytest.mark.parametrize("before", ["a/", "i/", "linux-6.12.orig/", "", '"a/'])
def test_files_are_named_from_the_tree_on(before):
    assert changes(f"--- {before}drivers/net/veth.c\n").files == ("drivers/net/veth.c",)


def test_prose_is_what_no_diff_says():
    text = "It crashes.\n" + FILE + hunk("-zswap_store();", "+zswap_load();") + "-- \nA User\n- really\n"
    assert prose(text).splitlines() == ["It crashes.", "-- ", "A User", "- really"]


def test_places_that_two_patches_share():
    one, other = Changes(("mm/zswap.c",), ("zswap_store",)), Changes(("mm/zswap.c",), ("zswap_load",))
    assert one.share_file(other)
    assert not one.share_function(other)
    assert one.share_function(one)

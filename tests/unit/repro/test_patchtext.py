"""Which files and functions a patch changes."""

import pytest

from farm.repro.patchtext import Changes, changes

GIT = """\
From: somebody
Subject: [PATCH] dm crypt: something

---
 drivers/md/dm-crypt.c | 2 +-

diff --git a/drivers/md/dm-crypt.c b/drivers/md/dm-crypt.c
index 123..456 100644
--- a/drivers/md/dm-crypt.c
+++ b/drivers/md/dm-crypt.c
@@ -10,7 +10,7 @@ static int crypt_convert(struct crypt_config *cc,
 \tint r;
-\tr = 0;
+\tr = crypt_helper(1);
 \treturn r;
 }
\x20
 static void crypt_unchanged(void)
@@ -90,3 +90,9 @@ static void crypt_before(void)
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
    found = changes(diff)
    assert found.functions == ("zswap_store",)
    assert all(file.endswith("mm/zswap.c") for file in found.files)


@pytest.mark.parametrize("text", [
    "", "a mail that says @@ -1 +1 @@ crypt_map() and nothing else\n-- \nName\n",
    "@@ -1 +1 @@ static int crypt_map(void)\n-\ta = 1;\n",  # of no file
    "--- /dev/null\n+++ /dev/null\n",
])
def test_what_is_no_patch_changes_nothing(text):
    assert changes(text) == Changes()


def test_no_line_takes_long():
    hunk = "--- a/mm/zswap.c\n+++ b/mm/zswap.c\n@@ -1 +1 @@\n"
    assert changes(hunk + "+" + "a " * (1 << 20) + "\n").functions == ()
    assert changes(hunk + ("+" + "a(" * 140 + "\n") * 2000).files == ("mm/zswap.c",)


def test_places_that_two_patches_share():
    one, other = Changes(("mm/zswap.c",), ("zswap_store",)), Changes(("mm/zswap.c",), ("zswap_load",))
    assert one.share_file(other)
    assert not one.share_function(other)
    assert one.share_function(one)

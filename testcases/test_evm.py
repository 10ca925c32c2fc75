"""Report 003: EVM and IMA in file systems that allocate with GFP_NOFS, under pressure, and keys made by a helper.

EVM keeps an HMAC over a file's security attributes, IMA a hash of its content; both are read, computed and written
with the inode locked. Flavor `lockdep` or `debug` reports a wrong order of locks though it does not hang.
"""

from contextlib import contextmanager

import pytest

pytestmark = [
    pytest.mark.machine(cpus=2, memory="384M"),
    pytest.mark.namespace("data", size="384M"),
    pytest.mark.namespace("swap", size="256M"),
    pytest.mark.duration(10),
    pytest.mark.tolerate("oom"),
]

SECURITYFS = """
mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security || exit 77
[ -w /sys/kernel/security/evm ] || exit 77
"""
# The HMAC's key is encrypted by one that the user knows (Documentation/security/keys/trusted-encrypted.rst). IMA
# appraises only what lies on the file system under test: the guest's own programs have no hashes.
KEY = SECURITYFS + """
keyctl add user kmk "$(head -c 32 /dev/urandom | base64)" @u &&
  keyctl add encrypted evm-key "new user:kmk 64" @u && echo 1 >/sys/kernel/security/evm || exit 1
"""
PREPARE = KEY + """
echo "appraise func=FILE_CHECK fsuuid=$(blkid -o value -s UUID "$1")" >/sys/kernel/security/ima/policy
"""
MEASURE = SECURITYFS + """
echo "measure func=FILE_CHECK fsuuid=$(blkid -o value -s UUID "$1")" >/sys/kernel/security/ima/policy
"""
# CAP_NET_RAW in the form of linux/capability.h.
CAPABLE = "setfattr -n security.capability -v 0x0100000200200000000000000000000000000000"
# The same files again and again, by two loops at once: written, so that IMA and EVM have to compute anew, and opened
# while the other loop does. An attribute that is larger than a block takes several transactions, one after the other
# (fs/xfs/libxfs/xfs_attr.c, xfs_attr_set_iter); ext4 refuses it.
ATTRIBUTES = """
cd "$1" || exit 1
number=0 large=$(head -c 3000 /dev/zero | tr '\\0' x)
while :; do
  for name in one two three; do
    echo "$number" >>$name; read -r line <$name
    chmod $((number % 2 ? 600 : 644)) $name
    setfattr -n user.farm -v "$number" $name; setfattr -n security.farm -v "$number" $name
    """ + CAPABLE + """ $name
    setfattr -n user.large -v "$large" $name; setfattr -n user.large -v "$number$large$large" $name 2>/dev/null
    setfattr -x user.large $name
  done
  number=$((number + 1))
done
"""
INODES = 'cd "$1" && mkdir unused && cd unused && for ((number = 0; number < 3000; number++)); do : >$number; done'
# /sbin/request-key makes such keys (request-key.conf of keyutils), negates such a one, and knows nothing of the third.
KEYS = """
number=0
while :; do
  keyctl request2 user debug:$number "x $number" @s; keyctl request2 user debug:$number negate @s
  keyctl request2 user farm:$number none @s
  number=$((number + 1))
done >/dev/null 2>&1
"""
# How many keys root has, as soon as there are at most $1, or after so many tries of a tenth of a second.
COUNT = """
for ((tries = $2; tries; tries--)); do
  read -r _ _ keys _ < <(grep '^ *0:' /proc/key-users)
  [ "${keys%/*}" -gt "$1" ] && [ "$1" -gt 0 ] && sleep 0.1 || break
done
echo "${keys%/*}"
"""
# Those of a session that is open just then.
OTHER_KEYS = 5


@pytest.fixture
def prepared(stacks, target):
    """`prepared(script)`: the file system on `data` after that script; skips where the kernel has no EVM."""
    def prepare(script):
        stack = stacks["data"]
        result = target.run(["sh", "-c", script, "sh", stack.device], check=False)
        if result.status == 77:
            pytest.skip(f"the kernel has no EVM or no securityfs: {result.stderr.strip()}")
        assert result.status == 0, result.stderr
        return stack

    return prepare


@pytest.fixture
def protected(prepared):
    """The file system on `data`, with EVM and IMA at work."""
    return prepared(PREPARE)


@pytest.fixture
def keyed(prepared):
    """The file system on `data`, with EVM at work and IMA not."""
    return prepared(KEY)


@pytest.fixture
def measured(prepared):
    """The file system on `data`, of which IMA measures every file that is opened, and appraises none."""
    return prepared(MEASURE)


@pytest.fixture
def old_hooks(target):
    """`old_hooks(symbol, effect)`: skips where IMA is called by itself, beside the hooks of security modules."""
    def skip(symbol, effect):
        if target.run(f"grep -q ' {symbol}$' /proc/kallsyms", check=False).status:
            pytest.skip(f"IMA is no security module in this kernel (before 6.9), {effect} (docs/found.md)")

    return skip


@pytest.fixture
def storm(target, background):
    """`with storm(directory):` attributes change and keys are requested; the keys are gone soon after the block."""
    def keys(most):  # a worker frees them, after their last user (security/keys/gc.c)
        tries = str(round(target.pace.seconds(10) * 10))
        return int(target.run(["bash", "-c", COUNT, "bash", str(most), tries],
                              deadline=target.pace.deadline(60)).stdout)

    @contextmanager
    def raging(directory):
        most = keys(0) + OTHER_KEYS
        with background(ATTRIBUTES, directory), background(ATTRIBUTES, directory), background(KEYS):
            yield
        left = keys(most) - most
        assert left <= 0, f"{left} keys were not freed"

    return raging


@pytest.fixture
def attributes(target):
    def read(path):
        return target.run(["getfattr", "--absolute-names", "-d", "-m", "^security", path]).stdout

    return read


FILESYSTEMS = pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / {name}"), id=name) for name in ("ext4", "xfs")
])


@pytest.fixture
def crowded(protected, target):
    """The file system has more inodes than anybody needs: reclaim takes them, and their locks, meanwhile.

    Rather than pages (vfs_cache_pressure): lockdep has to see once that who reclaims takes a lock.
    """
    target.run(["bash", "-c", INODES, "bash", protected.mountpoint])
    target.run("echo 2000 >/proc/sys/vm/vfs_cache_pressure")


@FILESYSTEMS
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("crowded")
def test_under_pressure(protected, attributes, storm, churn, stress):
    with storm(protected.mountpoint), stress.running("/tmp", bytes="320M", keep=True, method="rand-set"):
        churn(protected, files=200)
    assert "security.evm=" in attributes(f"{protected.mountpoint}/one")


@pytest.fixture
def offline(protected, target):
    """`offline(change)`: changes one of two equal files while the file system is not mounted; only the other opens."""
    def changing(change):
        names = [f"{protected.mountpoint}/{name}" for name in ("file", "untouched")]
        for path in names:
            target.run(f"echo content >{path} && cat {path}")
        inode = target.run(["stat", "-c", "%i", names[0]]).stdout.strip()
        protected.close()
        for command in change(inode):
            target.run([*command, protected.device])
        protected.open()
        passed = target.run(["cat", names[0]], check=False).status == 0
        assert not passed, "a file could be read that was changed while it was not mounted"
        target.run(["cat", names[1]])

    return changing


def debugfs(*requests):
    return [["debugfs", "-w", "-R", request] for request in requests]


@FILESYSTEMS
def test_notices_that_the_hmac_was_removed(protected, target):
    """What EVM remembers of a file is forgotten with each change of its HMAC (evm_inode_post_removexattr).

    Nor does a change of its mode get it a new one: that would vouch for all that was changed (evm_inode_setattr).
    """
    path = f"{protected.mountpoint}/file"
    target.run(f"echo content >{path} && cat {path} && setfattr -x security.evm {path}")
    assert target.run(["cat", path], check=False).status, "a file could be read whose HMAC was removed"
    assert target.run(["chmod", "600", path], check=False).status, "chmod made a new HMAC for a file without one"


# As a signature of version 2 begins (security/integrity/integrity.h, struct signature_v2_hdr); nobody made the rest.
FORGED = "0x0302{:02x}deadbeef0008" + "00" * 8
# Numbers of hashes (include/uapi/linux/hash_info.h): SHA-256, and many that there are not.
HASHES = (4, 23, 24, 32, 64, 128, 255)


@FILESYSTEMS
def test_notices_a_signature_that_nobody_made(protected, target):
    """What EVM remembers of a file is forgotten when its own attribute is written, too (evm_inode_post_setxattr).

    An attribute may have any content, and what it says is its hash is looked up in a table (evm_crypto.c, init_desc).
    """
    for number in HASHES:
        path = f"{protected.mountpoint}/{number}"
        target.run(f"echo content >{path} && cat {path} && setfattr -n security.evm -v {FORGED.format(number)} {path}")
        assert target.run(["chmod", "600", path], check=False).status, "chmod made an HMAC for such a file"
        assert target.run(["cat", path], check=False).status, "a file could be read whose signature nobody made"


@pytest.fixture
def older(stacks, target):
    """Name of a file from before there was a key."""
    target.run(f"echo content >{stacks['data'].mountpoint}/older")
    return "older"


@FILESYSTEMS
def test_nobody_vouches_for_files_from_before(older, protected, target, attributes):
    """Without an attribute nothing speaks against a new mode (evm_verify_hmac); to have one is for new files alone."""
    path = f"{protected.mountpoint}/{older}"
    target.run(["chmod", "600", path])
    assert target.run(["cat", path], check=False).status, "a file could be read that has no hash"
    capable = target.run([*CAPABLE.split(), path], check=False).status == 0
    assert not capable, "a file from before got an attribute, and an HMAC over it"
    assert "security." not in attributes(path)


# Whatever goes into the HMAC changes (evm_crypto.c, hmac_add_misc); the mode once more with a capability, which is
# shorter than the hash before it. That is lost with the change of owner; the list has an entry for user 1000.
CHANGES = (
    "chmod 640", CAPABLE, "chmod 600", "chown 1000:1000",
    "setfattr -n system.posix_acl_access -v 0x02000000" + "".join(
        f"{tag}00{mode}00{who}" for tag, mode, who in (
            ("01", "06", "ffffffff"), ("02", "04", "e8030000"), ("04", "04", "ffffffff"), ("10", "04", "ffffffff"),
            ("20", "04", "ffffffff"))),
)


@FILESYSTEMS
def test_what_changes_gets_a_new_hmac(protected, target):
    """By the kernel alone: nobody else may write one that it would take for its own (evm_protect_xattr)."""
    path = f"{protected.mountpoint}/file"
    target.run(f"echo content >{path} && cat {path}")
    for change in CHANGES:
        target.run([*change.split(), path])
        target.run(["cat", path])
        protected.reopen()
        target.run(["cat", path])
    for value in ((), ("-v", f"0x02{'00' * 20}")):
        forged = target.run(["setfattr", "-n", "security.evm", *value, path], check=False).status == 0
        assert not forged, "an HMAC could be written that the kernel did not make"
    target.run(["cat", path])


# $1: a file that is not there. It is opened again while it is new, as somebody else would.
STILL_NEW = """
exec {new}>"$1" && echo content >&$new && chmod 600 "$1" && cat "$1" >/dev/null && exec {new}>&- && cat "$1"
"""


@FILESYSTEMS
def test_a_new_file_whose_mode_changes_is_new(protected, target, attributes, old_hooks):
    """It needs no hash until it is closed, and gets one then (ima_main.c, process_measurement, IMA_NEW_FILE)."""
    old_hooks("security_inode_post_setattr", "and forgets that a file is new when its mode changes")
    path = f"{protected.mountpoint}/new"
    target.run(["bash", "-c", STILL_NEW, "bash", path])
    assert "security.ima=" in attributes(path)


@pytest.mark.stack("data / ext4")
@pytest.mark.usefixtures("keyed")
def test_an_hmac_of_nothing_goes(target, attributes):
    """With the last attribute that it covers: it would be good again for whoever brings that back on the disk.

    evm_crypto.c, evm_update_evmxattr. In a tmpfs: elsewhere a file that has no attribute gets none (evm_protect_xattr).
    """
    target.run(f"echo content >/tmp/file && {CAPABLE} /tmp/file")
    assert "security.evm=" in attributes("/tmp/file")
    target.run(["setfattr", "-x", "security.capability", "/tmp/file"])
    assert "security." not in attributes("/tmp/file")


@pytest.mark.stack("data / ext4")
def test_notices_a_changed_owner(offline):
    """EVM's HMAC covers owner and mode."""
    offline(lambda inode: debugfs("set_inode_field file uid 1000"))


@pytest.mark.stack("data / xfs")
def test_notices_a_changed_mode(offline):
    offline(lambda inode: [["xfs_db", "-x", "-c", f"inode {inode}", "-c", "write core.mode 0104755"]])


@pytest.mark.stack("data / ext4")
def test_notices_changed_content(offline):
    """IMA's hash covers the content, and EVM's HMAC does not."""
    offline(lambda inode: debugfs("zap_block -f file -o 0 -l 1 -p 67 0"))


@pytest.mark.stack("data / ext4")
def test_notices_content_that_was_given_its_hash(offline, target, protected):
    """The HMAC covers the hash: IMA alone is content with what has the hash that it remembers."""
    other = f"{protected.mountpoint}/other"
    target.run(f"echo Content >{other} && cat {other} && getfattr --only-values -n security.ima {other} >/tmp/hash")
    offline(lambda inode: debugfs("zap_block -f file -o 0 -l 1 -p 67 0", "ea_set -f /tmp/hash file security.ima"))


@pytest.mark.stack("data / xfs")
def test_a_file_that_gets_its_name_later_can_be_read(protected, target, old_hooks):
    """IMA hashes a file of O_TMPFILE when it is closed, too (fs/namei.c, vfs_tmpfile; ima_post_create_tmpfile)."""
    old_hooks("security_inode_post_create_tmpfile", "and forgets some files of O_TMPFILE")
    path = f"{protected.mountpoint}/named"
    target.run(["xfs_io", "-T", "-c", "pwrite -q 0 4k", "-c", f"flink {path}", protected.mountpoint])
    target.run(["sha256sum", path])


# $1: the mount point. How many entries a file got by being opened, before and after more was written.
ENTRIES = """
for content in one two three; do
  echo $content >>"$1/file" && cat "$1/file" >/dev/null && cat "$1/file" >/dev/null || exit 1
  grep -c "/file$" /sys/kernel/security/ima/ascii_runtime_measurements
done
"""


@FILESYSTEMS
def test_what_more_is_written_to_is_measured_again(measured, target):
    """When the last who wrote to it is done (ima_main.c, ima_check_last_writer)."""
    said = target.run(["bash", "-c", ENTRIES, "bash", measured.mountpoint]).stdout
    first, *later = map(int, said.split())
    assert later == [first + 1, first + 2], f"entries: {first}, {later}"


# Caches that everybody uses are counted by slabs, so that a few objects more or less do not show.
FILES = 20
# $1: mount point, $2: how often. An inode that was forgotten, for which it has to be clean, is measured anew.
FORGOTTEN = """
cd "$1" && for ((round = 0; round < $2; round++)); do
  cat file* >/dev/null && sync && echo 3 >/proc/sys/vm/drop_caches || exit 1
done
"""


@pytest.mark.machine(memory="512M", append=["slab_nomerge"])
@pytest.mark.stack("data / ext4")
def test_what_was_measured_before_leaves_no_entry_behind(measured, target, slab_growth):
    """It is in the list already, and not put there again (ima_api.c, ima_store_measurement)."""
    target.run(f"cd {measured.mountpoint} && for number in $(seq {FILES}); do echo content >file$number; done")
    forget = ["bash", "-c", FORGOTTEN, "bash", measured.mountpoint]
    grown = slab_growth(lambda rounds: target.run([*forget, str(rounds)], deadline=target.pace.deadline(30 + rounds)))
    left = [growth.cache for growth in grown if growth.cache.startswith("kmalloc") and growth.per_round > FILES / 2]
    assert not left, f"each time something of {', '.join(left)} was not freed"

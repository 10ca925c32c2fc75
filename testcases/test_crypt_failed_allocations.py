"""Report 000: an allocation that fails within dm-crypt costs speed, never an I/O error or wrong data."""

from contextlib import contextmanager

import pytest

FAULTS = "/sys/kernel/debug/failslab/require-start"
# From the first of these to the last lies nearly all of drivers/md/dm-crypt.c.
WITHIN = "crypt_iv_plain64_gen+crypt_map+crypt_convert+crypt_endio+kcryptd_crypt+kcryptd_async_done+crypt_io_hints"

# Every allocation fails, and more requests are in flight than dm-crypt has in reserve (MIN_IOS, BIO_MAX_VECS).
EVERY = f"within={WITHIN},every=1"
DEEP = {"bs": "16K", "iodepth": 256}
# On a host with time to spare the emulated disk answers so soon that few bios are ever in flight. So what dm-crypt lies
# on is held now and then: all that is submitted meanwhile waits there (drivers/md/dm.c, queue_io).
BENEATH = "farm-data-1-linear"
HOLD = """
exec {never}<> <(:)
while :; do
  dmsetup suspend --noflush --nolockfs $1 || exit 1
  read -t 0.5 -u $never
  dmsetup resume $1 || exit 1
  read -t 0.5 -u $never
done
"""
# Tags come from a reserve only where memory is refused though dm-crypt could wait for it (crypt_map). Then a bio has to
# be cut: one piece of the reserve (POOL_ENTRY_SIZE) does not hold the tags of so much. All else there may fail as well
# but the payload: without one, Linux 6.12 ends a read as if it had been read, and then reads it (kcryptd_io_read).
TAGS = "within=crypt_map,sparing=bio_integrity_alloc,every=1,sleeping"
LARGE = {"bs": "128K", "iodepth": 32}

pytestmark = pytest.mark.duration(5)

plain = pytest.mark.namespace("data", size="384M")
big_blocks = pytest.mark.namespace("data", block=4096)


@pytest.fixture(autouse=True)
def _injects(target):
    if target.run(["test", "-e", FAULTS], check=False).status:
        pytest.skip("this kernel cannot choose failing allocations by their call trace (before 6.4 on x86-64)")


@pytest.fixture
def held(target, background):
    """`with held():` the device beneath dm-crypt is held now and then."""
    @contextmanager
    def holding():
        with background(HOLD, BENEATH):
            yield
        target.run(["dmsetup", "resume", BENEATH])

    return holding


def stacks(*written, beneath=""):
    return [pytest.param(marks=pytest.mark.stack(f"data / {beneath}{text}"), id=text) for text in written]


@plain
@pytest.mark.parametrize("kind", ["fail-slab", "fail-page-alloc"])
@pytest.mark.stack("data / crypt / xfs")
def test_xfs_on_crypt(stack, fio, churn, pressure, kind):
    with pressure(f"{kind}:{EVERY}"), churn.running(stack):
        fio(stack, rw="randwrite", buffered=True, **DEEP)
    stack.reopen()
    fio(stack, verify_only=True, **DEEP)


@plain
@pytest.mark.parametrize((), stacks(
    "crypt", "crypt:cipher=aes-cbc-essiv:sha256", "crypt:cryptd", "crypt:no_read_workqueue,no_write_workqueue",
    beneath="linear / "))
def test_ciphers(stack, fio, pressure, held):
    with pressure(f"fail-slab:{EVERY}"), held():
        fio(stack, rw="randwrite", **DEEP)
        fio(stack, verify_only=True, **DEEP)


@big_blocks
@pytest.mark.parametrize((), stacks(
    "luks2:cipher=aes-gcm-random,integrity=aead", "luks2:integrity=hmac-sha256",
    "luks2:cipher=chacha20-random,integrity=poly1305", "luks2:cipher=aes-gcm-random,integrity=aead,cryptd"))
def test_authenticated_ciphers(stack, fio, pressure):
    for failing, sizes in (EVERY, DEEP), (TAGS, LARGE):
        with pressure(f"fail-slab:{failing}"):
            fio(stack, rw="write", **sizes)
            fio(stack, verify_only=True, **sizes)

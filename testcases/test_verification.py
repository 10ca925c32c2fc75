"""Who notices which corruption: a bit is flipped from the host, and the layer in the table, no other, has to report it.

Each stack is one testcase; its rows are corrupted one after the other, while the stack is closed and while it is open,
and repaired again. The layer has to name its device and the sector at which it sees the corrupted place.
"""

import re
from contextlib import nullcontext
from typing import NamedTuple

import pytest

# Written by fio, and where in it things are changed: neither a beginning nor an end of anything.
WORK = {"size": "1M", "bs": "4K"}
AT = 0x6_9000


BOTH = ("closed", "open")


class Row(NamedTuple):
    """One corruption."""

    # `data`, `tag` of dm-integrity, `guard`, `app` or `ref` of protection information.
    area: str
    # Who has to report it; "" when nobody can, and the data is what it was.
    reporter: str
    # Whether the stack is open when it happens.
    states: tuple[str, ...] = BOTH
    # Kind of the layer that sees it first: protection information beneath it is made to fit.
    beneath: str = "namespace"
    # Byte within the area.
    byte: int = 1
    # Why nobody beneath reports it.
    why: str = ""


def once(rows):
    """The same, every other one closed and open."""
    return tuple(row._replace(states=(BOTH[index % 2],)) for index, row in enumerate(rows))


PLAIN = "only the reader knows what was there"
# drivers/nvme/host/core.c, nvme_setup_rw: for type 3 the controller is asked to check the guard alone.
NO_REF = "a reference tag of type 3 means nothing to Linux or to the controller"
# nvme_setup_rw never sets NVME_RW_PRINFO_PRCHK_APP; block/t10-pi.c, t10_pi_verify looks for the escape value only.
NO_APP = "Linux writes application tags as 0 and has them checked by nobody"

PI_1 = (
    Row("data", "pi-guard"), Row("guard", "pi-guard"), Row("ref", "pi-ref", byte=3), Row("app", "", why=NO_APP),
)
PI_3 = (
    Row("data", "pi-guard"), Row("guard", "pi-guard"), Row("ref", "", byte=3, why=NO_REF), Row("app", "", why=NO_APP),
)
INTEGRITY = (Row("data", "dm-integrity", byte=100), Row("tag", "dm-integrity"))
AEAD = (Row("data", "dm-crypt-aead", byte=100), Row("tag", "dm-crypt-aead"))
NONE = (Row("data", "fio-verify", byte=100, why=PLAIN),)
# Protection information does not help against what changes above it.
OVER_PI = (Row("data", "pi-guard"), Row("data", "dm-integrity", beneath="integrity"))
CRYPT_OVER_PI = (Row("data", "pi-guard"), Row("data", "fio-verify", beneath="crypt", why=PLAIN))

# Name of the testcase -> namespace, stack, rows.
STACKS = {
    "pi1-512": ({"block": 512, "pi": 1, "ms": 8}, "data", PI_1),
    "pi1-4096": ({"block": 4096, "pi": 1, "ms": 8}, "data", once(PI_1)),
    "pi3-512": ({"block": 512, "pi": 3, "ms": 8}, "data", once(PI_3)),
    "pi3-4096": ({"block": 4096, "pi": 3, "ms": 64}, "data", once(PI_3)),
    "pi2-512": ({"block": 512, "pi": 2, "ms": 8}, "data", once(PI_1)),
    # Where protection information stands first, and guards of 64 bits (block/t10-pi.c, ext_pi_crc64_verify).
    "pi1-first": ({"block": 4096, "pi": 1, "ms": 64, "pi_first": True}, "data", once(PI_1)),
    "pi1-crc64": ({"block": 4096, "pi": 1, "ms": 16, "guard": 64}, "data", once(PI_1)),
    "journal-crc32c": ({}, "data / integrity", INTEGRITY),
    "journal-hmac": ({"block": 4096}, "data / linear:offset=4104 / integrity:hash=hmac-sha256", once(INTEGRITY)),
    "bitmap-crc32c": ({"block": 4096}, "data / integrity:mode=bitmap", INTEGRITY),
    "bitmap-hmac": ({}, "data / integrity:mode=bitmap,hash=hmac-sha256", once(INTEGRITY)),
    "direct-crc32c": ({}, "data / integrity:mode=direct", INTEGRITY),
    # What does not match is read once more, block by block, and those of the disk are larger (integrity_recheck).
    "direct-small": ({"block": 4096}, "data / integrity:mode=direct,sector_size=512", once(INTEGRITY)),
    "direct-hmac": ({}, "data / integrity:mode=direct,hash=hmac-sha256", once(INTEGRITY)),
    "inline-crc32c": ({"block": 4096, "ms": 64}, "data / integrity:mode=inline", once(INTEGRITY)),
    "integrity-on-pi1": ({"pi": 1, "ms": 8}, "data / partition:start=2049 / integrity:mode=direct", once(OVER_PI)),
    "aes-xts-hmac": ({"block": 4096}, "data / luks2:integrity=hmac-sha256", AEAD),
    "aes-gcm": ({"block": 4096}, "data / luks2:cipher=aes-gcm-random,integrity=aead", once(AEAD)),
    "chacha20-poly1305": ({"block": 4096}, "data / luks2:cipher=chacha20-random,integrity=poly1305", once(AEAD)),
    # What a cipher that finishes later says takes another way (drivers/md/dm-crypt.c, kcryptd_async_done).
    "aes-xts-hmac-cryptd": ({"block": 4096}, "data / luks2:integrity=hmac-sha256,cryptd", once(AEAD)),
    "aes-gcm-cryptd": ({"block": 4096}, "data / luks2:cipher=aes-gcm-random,integrity=aead,cryptd", once(AEAD)),
    "aegis128": ({"block": 4096}, "data / luks2:cipher=aegis128-random,integrity=aead", once(AEAD)),
    "crypt-on-pi3": ({"block": 4096, "pi": 3, "ms": 8}, "data / crypt:sector_size=4096", once(CRYPT_OVER_PI)),
    "luks2": ({}, "data / luks2", NONE),
}


def on(namespace, stack):
    return [pytest.mark.namespace("data", **{"size": "64M", **namespace}), pytest.mark.stack(stack)]


@pytest.fixture
def protected(stack, target):
    """Skips where the kernel makes no use of protection information that does not fill the metadata.

    Linux 6.1 does not (drivers/nvme/host/core.c, nvme_init_ms). Where it fills them, a kernel without is a failure.
    """
    namespace = stack.base.namespace
    if namespace.pi and namespace.ms > 8:
        known = target.run(f"cat {stack.base.sysfs}/integrity/format").stdout.strip()
        if known == "nop":
            pytest.skip(f"the kernel uses no protection information in metadata of {namespace.ms} bytes "
                        f"(integrity/format is {known})")


@pytest.mark.usefixtures("protected")
@pytest.mark.machine(memory="512M")
@pytest.mark.parametrize("rows", [
    pytest.param(rows, marks=on(namespace, stack), id=name) for name, (namespace, stack, rows) in STACKS.items()])
def test_corruption_is_reported_by_its_layer(stack, fio, expect, rows):
    fio(stack, duration=0, **WORK)
    for row, state in [(one, state) for one in rows for state in one.states]:
        print(f"{row.area} beneath {row.beneath}, {state}: {row.reporter or row.why}")  # shown when the row fails
        if state == "closed":
            stack.close()
        stack.corrupt(AT, row.area, beneath=row.beneath, byte=row.byte)
        with expect(row.reporter) if row.reporter else nullcontext():
            stack.open()  # the tools that open a stack look for signatures, and may read what was corrupted
            fio(stack, verify_only=True, **WORK)
        stack.restore()


# File system -> what prints where a directory lies on the device, and the first sector in that; the states. ext4 gives
# up at the first error (fs/ext4/super.c, ext4_handle_error), so there is one.
FILE_SYSTEMS = {
    "xfs": (["xfs_io", "-r", "-c", "bmap"], r"\[0\.\.\d+\]: (\d+)\.\.", BOTH),
    "ext4": (["filefrag", "-b512", "-v"], r"^\s*0:\s+0\.\.\s*\d+:\s+(\d+)\.\.", ("open",)),
}


@pytest.mark.machine(memory="512M")
@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=on({"size": "384M"}, f"data / linear:offset=2056 / {kind}")) for kind in FILE_SYSTEMS])
def test_file_systems_check_their_directories(target, stack, expect, kind):
    ask, answer, states = FILE_SYSTEMS[kind]
    directory = f"{stack.mountpoint}/full"
    target.run(f"mkdir {directory} && cd {directory} && seq 100 | xargs touch && sync")
    place = re.search(answer, target.run([*ask, directory]).stdout, re.MULTILINE)
    assert place, f"{kind} does not tell where the directory is"
    sector = int(place[1])
    for state in states:
        print(f"directory of {kind}, {state}: fs-checksum")
        if state == "closed":
            stack.close()
        stack.corrupt(sector * 512, byte=20)
        stack.open()
        with expect("fs-checksum"):
            target.run(["ls", directory], check=False)
        if state != states[-1]:
            stack.restore()

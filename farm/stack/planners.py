"""What each kind of layer takes: pure functions from a layer and its place to commands.

Tools as in Debian 12: cryptsetup and integritysetup 2.6, dmsetup, util-linux, xfsprogs, e2fsprogs. No udev runs in the
guest, so libdevmapper makes the nodes below /dev/mapper itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from farm.stack.layers import Crypt, Ext4, Integrity, Layer, Linear, Luks2, Mirror, Partition, Swap, Xfs
from farm.stack.rules import MIRROR_SECTORS, TAG_BYTES
from farm.stack.steps import MOUNTS, RUN, LayerPlan, Place, Step

_REST = 'size=$4; [ "$size" != 0 ] || size=$(( $(blockdev --getsz "$2") - $3 ))\n'
_ADD_PARTITION = _REST + 'addpart "$2" 1 "$3" "$size"\n'
_ADD_LINEAR = _REST + 'dmsetup create "$1" --table "0 $size linear $2 $3"\n'
# Without handle_errors, a failed read would not be tried on the other half (drivers/md/dm-raid1.c:mirror_end_io).
_ADD_MIRROR = (
    'half=$(( $(blockdev --getsz "$2") / 2 / $3 * $3 ))\n'
    'dmsetup create "$1" --table "0 $half mirror core 2 1024 nosync 2 $2 0 $2 $half 1 handle_errors"\n')
# The first table only makes dm-integrity write its superblock and say how much it can hold.
_ADD_INLINE = """\
dmsetup create "$1" --table "0 8 integrity $2 $3"
set -- "$1" "$2" "$3" $(dmsetup status "$1")
dmsetup remove "$1"
dmsetup create "$1" --table "0 $8 integrity $2 $3"
"""
# Gives a device of dm-crypt the cipher $2. One that names an algorithm instead of its driver is made, but refused with
# EEXIST, for it then goes by its drivers (crypto/api.c:crypto_larval_wait): they are looked up by the algorithm $3.
# The table holds the key, so it is never printed.
_WRAP = r"""
swap() { dmsetup table --showkeys "$1" | sed "s/ crypt [^ ]*-\([^- ]*\) / crypt capi:$2-\1 /" | dmsetup reload "$1"; }
swap "$1" "$2" 2>/dev/null || swap "$1" "$(awk -v name="$3" '
  $1 == "name" { hit = $3 == name }
  hit && $1 == "driver" && /cryptd\(/ { print $3; exit }' /proc/crypto)"
dmsetup resume "$1"
"""


def _partition(layer: Partition, place: Place) -> LayerPlan:
    device = f"{place.below}p1" if place.below[-1].isdigit() else f"{place.below}1"
    opened = place.shell(_ADD_PARTITION, place.name, place.below, str(layer.start), str(layer.size),
                         undo=("delpart", place.below, "1"))
    return LayerPlan(place.name, layer, device, "", (), (opened,))


def _linear(layer: Linear, place: Place) -> LayerPlan:
    opened = place.shell(_ADD_LINEAR, place.name, place.below, str(layer.offset), str(layer.size),
                         undo=("dmsetup", "remove", "--retry", place.name))
    return LayerPlan(place.name, layer, place.mapped, "", (), (opened,))


def _mirror(layer: Mirror, place: Place) -> LayerPlan:
    opened = place.shell(_ADD_MIRROR, place.name, place.below, str(MIRROR_SECTORS),
                         undo=("dmsetup", "remove", "--retry", place.name))
    return LayerPlan(place.name, layer, place.mapped, "", (), (opened,))


_MODES = {"journal": (), "bitmap": ("--integrity-bitmap-mode",), "direct": ("--integrity-no-journal",)}
_INLINE_HASHES = {"hmac-sha256": "hmac(sha256)"}


def _integrity(layer: Integrity, place: Place) -> LayerPlan:
    if layer.mode == "inline":
        return _inline(layer, place)
    keyed: tuple[Step, ...] = ()
    key: tuple[str, ...] = ()
    if layer.hash.startswith("hmac-"):
        file = f"{RUN}/{place.name}.key"
        keyed = (place.step("dd", f"of={file}", "status=none", input=place.key(32), undo=("rm", "-f", file)),)
        key = ("--integrity-key-size", "32", "--integrity-key-file", file)
    tag = ("--integrity", layer.hash, *key)
    sector = ("--sector-size", str(layer.sector_size or place.ground.block))
    wipe = () if layer.wipe else ("--no-wipe",)
    formatted = place.step("integritysetup", "format", "--batch-mode", *wipe, *tag,
                           "--tag-size", str(TAG_BYTES[layer.hash]), *sector, place.below)
    opened = place.step("integritysetup", "open", *tag, *_MODES[layer.mode], place.below, place.name,
                        undo=("integritysetup", "close", place.name))
    return LayerPlan(place.name, layer, place.mapped, "", (*keyed, formatted), (*keyed, opened),
                     () if layer.wipe else (place.zero_ends(),))


def _inline(layer: Integrity, place: Place) -> LayerPlan:
    """cryptsetup 2.6 does not know the inline mode, so the tables are written by hand."""
    key = f":{place.key(32).hex()}" if layer.hash.startswith("hmac-") else ""
    table = (f"0 {TAG_BYTES[layer.hash]} I 2 block_size:{place.ground.block} "
             f"internal_hash:{_INLINE_HASHES.get(layer.hash, layer.hash)}{key}")
    cleared = place.step("dd", "if=/dev/zero", f"of={place.below}", "bs=4096", "count=1", "oflag=direct")
    opened = place.shell(_ADD_INLINE, place.name, place.below, table,
                         undo=("dmsetup", "remove", "--retry", place.name))
    return LayerPlan(place.name, layer, place.mapped, "", (cleared,), (opened,), (place.zero_ends(),))


def _queues(layer: Crypt | Luks2) -> tuple[str, ...]:
    return tuple(
        flag for wanted, flag in (
            (layer.no_read_workqueue, "--perf-no_read_workqueue"),
            (layer.no_write_workqueue, "--perf-no_write_workqueue"),
        ) if wanted
    )


def _cipher(layer: Crypt, drivers: Mapping[str, str]) -> tuple[str, int]:
    """The cipher as dm-crypt wants it, and the size of its key in bits."""
    bits = 512 if "xts" in layer.cipher else 256
    if not layer.cryptd:
        return layer.cipher, bits
    aes = drivers["aes"]
    mode = f"xts(ecb({aes}))" if bits == 512 else f"cbc({aes})"
    return f"capi:cryptd({mode})-plain64", bits


def _crypt(layer: Crypt, place: Place) -> LayerPlan:
    cipher, bits = _cipher(layer, place.drivers)
    sector = ("--sector-size", str(layer.sector_size)) if layer.sector_size else ()
    opened = place.step(
        "cryptsetup", "open", "--type", "plain", "--cipher", cipher, "--key-size", str(bits), "--key-file", "-",
        *sector, *_queues(layer), place.below, place.name,
        input=place.key(bits // 8), undo=("cryptsetup", "close", place.name))
    return LayerPlan(place.name, layer, place.mapped, "", (), (opened,))


# Cipher of LUKS2 -> its algorithm, and the same with cryptd in it.
_WRAPPED = {
    "aes-xts-plain64": ("xts(aes)", "cryptd(xts(ecb({aes})))"),
    "aes-gcm-random": ("gcm(aes)", "cryptd(gcm(aes))"),
    "chacha20-random": ("rfc7539(chacha20,poly1305)", "cryptd(rfc7539(chacha20,poly1305))"),
    "aegis128-random": ("aegis128", "cryptd(aegis128)"),
}


def _wrapped(layer: Luks2, place: Place) -> tuple[Step, ...]:
    """cryptsetup does not know of cryptd, so the cipher is exchanged in the table that it made."""
    if not layer.cryptd:
        return ()
    name, wrapped = (text.format(**place.drivers) for text in _WRAPPED[layer.cipher])
    if layer.integrity == "hmac-sha256":
        name, wrapped = f"authenc(hmac(sha256),{name})", f"authenc(hmac(sha256),{wrapped})"
    return (place.shell(_WRAP, place.name, wrapped, name),)


def _luks2(layer: Luks2, place: Place) -> LayerPlan:
    tagged = layer.integrity != "none"
    header = ("--header", f"{RUN}/{place.name}.header") if layer.header == "detached" else ()
    options = [
        *(("--integrity", layer.integrity) if tagged else ()),
        *(("--integrity-no-wipe",) if tagged and not layer.wipe else ()),
        *(("--sector-size", str(layer.sector_size)) if layer.sector_size else ()),
        *(("--key-size", "128") if layer.cipher == "aegis128-random" else ()),
    ]
    formatted = place.step(
        "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--cipher", layer.cipher, *options,
        "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(layer.iterations), "--key-file", "-",
        *header, place.below, input=place.key(32))
    opened = place.step(
        "cryptsetup", "open", "--type", "luks2", "--key-file", "-", *_queues(layer),
        *(("--disable-keyring",) if layer.cryptd or layer.key == "table" else ()), *header, place.below, place.name,
        input=place.key(32), undo=("cryptsetup", "close", place.name))
    settle = (place.zero_ends(),) if tagged and not layer.wipe else ()
    forget = (place.step("rm", "-f", header[1]),) if header else ()
    opening = (opened, *_wrapped(layer, place))
    return LayerPlan(place.name, layer, place.mapped, "", (formatted,), opening, settle, forget)


def _mounted(layer: Layer, place: Place, make: tuple[str, ...], options: str) -> LayerPlan:
    """A file system; its type is given, for mount would otherwise probe the device, and its label is not needed."""
    point = f"{MOUNTS}/{place.name}"
    opened = (
        place.step("mkdir", "-p", point, undo=("rmdir", point)),
        place.step("mount", "-t", layer.kind, "-o", options, place.below, point, undo=("umount", point)),
    )
    return LayerPlan(place.name, layer, place.below, point, (place.step(*make, place.below),), opened)


def _xfs(layer: Xfs, place: Place) -> LayerPlan:
    return _mounted(layer, place, ("mkfs.xfs", "-q", "-f", "-K"), "defaults")


def _ext4(layer: Ext4, place: Place) -> LayerPlan:
    """Nothing is left for a kernel thread to initialise later: it would be load that no workload started."""
    lazy = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    return _mounted(layer, place, ("mkfs.ext4", "-q", "-F", "-E", lazy), f"data={layer.data}")


def _swap(layer: Swap, place: Place) -> LayerPlan:
    made = place.step("mkswap", "-f", place.below)
    opened = place.step("swapon", place.below, undo=("swapoff", place.below))
    return LayerPlan(place.name, layer, place.below, "", (made,), (opened,))


PLANNERS: dict[type[Layer], Callable[[Any, Place], LayerPlan]] = {
    Partition: _partition, Linear: _linear, Mirror: _mirror, Integrity: _integrity, Crypt: _crypt, Luks2: _luks2,
    Xfs: _xfs, Ext4: _ext4, Swap: _swap,
}

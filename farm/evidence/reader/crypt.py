"""The state of a dm-crypt target. Its key is not read: neither key nor key_string, whatever they hold."""

from collections.abc import Iterator
from typing import Any

from farm.evidence.reader.values import cast, member, set_bits, text

_FILE = "dm-crypt.c"
# Of `enum flags` and `enum cipher_flags`, without their prefixes.
_VALID, _AEAD = "KEY_VALID", "MODE_INTEGRITY_AEAD"


def crypt(private: Any) -> Iterator[str]:
    """The cipher, its driver, sectors, flags, and whether there is a key. Raises LookupError."""
    config = cast("struct crypt_config", private, _FILE)
    flags = _names(config, "enum flags", "DM_CRYPT_", int(config.flags))
    of_cipher = _names(config, "enum cipher_flags", "CRYPT_", int(config.cipher_flags))
    driver = _driver(config, authenticated=_AEAD in of_cipher)
    yield (f"cipher {text(config.cipher_string)}, by {driver or 'no driver'}, sector size {int(config.sector_size)}, "
           f"IV offset {int(config.iv_offset)}, from sector {int(config.start)}")
    valid = "valid" if _VALID in flags else "not valid"
    yield f"key: {valid}, {int(config.key_size)} bytes, parts: {int(config.key_parts)}"
    yield f"flags: {', '.join(flags) or 'none'}; of the cipher: {', '.join(of_cipher) or 'none'}"
    # 6.11 renamed on_disk_tag_size.
    stored = member(config, "tuple_size", "on_disk_tag_size")
    if stored is not None and int(stored):
        yield (f"integrity: {int(stored)} bytes for each sector, tag {int(config.integrity_tag_size)}, "
               f"IV {int(config.integrity_iv_size)}, by {text(config.cipher_auth) or 'the cipher'}")
    if config.write_tree.rb_node:
        yield "writes wait for dmcrypt_write"


def _driver(config: Any, *, authenticated: bool) -> str:
    """The crypto driver of the first transformation; "" for none."""
    first = config.cipher_tfm.tfms_aead if authenticated else config.cipher_tfm.tfms
    return text(first[0].base.member_("__crt_alg").cra_driver_name) if first else ""


def _names(config: Any, kind: str, prefix: str, value: int) -> list[str]:
    found = sorted(config.prog_.type(kind, _FILE).enumerators, key=lambda one: int(one.value))
    return set_bits(value, [one.name.removeprefix(prefix) for one in found])

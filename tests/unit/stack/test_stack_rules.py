"""What may lie on what."""

import pytest

from farm.errors import UserError
from farm.model import Namespace
from farm.stack import RULES, check, check_stack, parse_stack

DATA = Namespace("data", 512)
BLOCK4K = Namespace("data", 512, block=4096)
PI = Namespace("data", 512, pi=1, ms=8)
ZONED = Namespace("data", 512, block=4096, zone_mib=16)
METADATA = Namespace("data", 512, block=4096, ms=8)
SMALL = Namespace("data", 64)

# For each rule the stacks that it must refuse.
REFUSED = [
    ("top-is-top", DATA, "data / xfs / crypt"),
    ("top-is-top", DATA, "data / swap / swap"),
    ("partition-on-namespace", DATA, "data / linear / partition"),
    ("partition-on-namespace", DATA, "data / partition / partition"),
    ("partition-on-zones", ZONED, "data / partition"),
    ("aligned-to-block", BLOCK4K, "data / linear:offset=2057"),
    ("aligned-to-block", BLOCK4K, "data / partition:start=2048,size=9"),
    ("aligned-to-zone", ZONED, "data / linear:offset=2056"),
    ("within-the-device", SMALL, "data / linear:offset=131072"),
    ("within-the-device", SMALL, "data / linear:size=131073"),
    ("mirror-on-zones", ZONED, "data / mirror"),
    ("integrity-on-zones", ZONED, "data / crypt / integrity"),
    ("luks2-integrity-on-zones", ZONED, "data / luks2:integrity=hmac-sha256"),
    ("luks2-header-on-zones", ZONED, "data / luks2"),
    ("ext4-on-zones", ZONED, "data / crypt / ext4"),
    ("xfs-on-zones", ZONED, "data / xfs"),
    ("swap-on-zones", ZONED, "data / linear / swap"),
    ("pi-inline", PI, "data / integrity:mode=inline"),
    ("inline-metadata", DATA, "data / integrity:mode=inline"),
    ("inline-metadata", METADATA, "data / integrity:mode=inline,hash=sha256"),
    ("inline-metadata", METADATA, "data / crypt / integrity:mode=inline"),
    ("inline-kernel", METADATA, "data / integrity:mode=inline"),
    ("inline-wipe", METADATA, "data / integrity:mode=inline,wipe"),
    ("aead-pairing", DATA, "data / luks2:cipher=aes-gcm-random"),
    ("aead-pairing", DATA, "data / luks2:cipher=chacha20-random,integrity=aead"),
    ("aead-pairing", DATA, "data / luks2:integrity=poly1305"),
    ("detached-integrity", DATA, "data / luks2:header=detached,integrity=hmac-sha256"),
    ("wipe-without-integrity", DATA, "data / luks2:wipe"),
    ("cryptd-cipher", DATA, "data / crypt:cipher=aes-cbc-essiv:sha256,cryptd"),
    ("cryptd-cipher", DATA, "data / crypt:cipher=capi:xts(ecb(aes-generic))-plain64,cryptd"),
    ("cryptd-cipher", BLOCK4K, "data / luks2:cipher=aes-cbc-essiv:sha256,integrity=hmac-sha256,cryptd"),
    ("crypt-sectors", DATA, "data / linear:offset=3 / crypt:sector_size=4096"),
    ("xfs-size", SMALL, "data / xfs"),
    ("ext4-unwritten", DATA, "data / integrity / crypt / ext4"),
]

# Seen working on Linux 6.12.
ACCEPTED = [
    (PI, "data / linear:offset=2057 / crypt / xfs"),
    (PI, "data / partition:start=2049 / linear:offset=9"),
    (BLOCK4K, "data / linear:offset=2056 / luks2:integrity=hmac-sha256 / xfs"),
    (BLOCK4K, "data / integrity:hash=hmac-sha256,mode=bitmap / crypt"),
    (ZONED, "data / linear:offset=32768 / crypt"),
    (ZONED, "data / luks2:header=detached"),
    (METADATA, "data / integrity:mode=inline"),
    (DATA, "data / luks2:cipher=chacha20-random,integrity=poly1305 / swap"),
    (DATA, "data / integrity:wipe / ext4"),
    (DATA, "data / crypt:cryptd"),
    (BLOCK4K, "data / luks2:cipher=aes-gcm-random,integrity=aead,cryptd"),
]


@pytest.mark.parametrize(("rule", "namespace", "text"), REFUSED, ids=[f"{row[0]}: {row[2]}" for row in REFUSED])
def test_refuses_by_name_and_with_a_sentence(rule: str, namespace: Namespace, text: str) -> None:
    release = "6.6.1" if rule == "inline-kernel" else "6.12.117-farm"
    with pytest.raises(UserError) as caught:
        check(parse_stack(text), namespace, release)
    assert f"breaks the rule {rule}. " in str(caught.value)
    assert next(one for one in RULES if one.name == rule).sentence in str(caught.value)


def test_every_rule_refuses_something() -> None:
    assert {rule.name for rule in RULES} == {row[0] for row in REFUSED}


@pytest.mark.parametrize(("namespace", "text"), ACCEPTED)
def test_accepts_what_works(namespace: Namespace, text: str) -> None:
    check(parse_stack(text), namespace, "6.12.117-farm")


def test_a_newer_kernel_may_do_more() -> None:
    check(parse_stack("data / xfs"), ZONED, "6.15.0")


@pytest.mark.parametrize("release", ["", "6", "rubbish", "6.x"])
def test_an_unreadable_release_is_no_reason_to_crash(release: str) -> None:
    check(parse_stack("data / crypt"), DATA, release)


def test_names_the_namespaces_there_are() -> None:
    check_stack(parse_stack("data / xfs"), [SMALL, DATA][1:])
    with pytest.raises(UserError, match="'log', but the machine has data"):
        check_stack(parse_stack("log / xfs"), [DATA])

"""From stacks to commands: pure, so every layer is looked at without a guest."""

import shlex

import pytest

from farm.errors import UserError
from farm.model import Namespace
from farm.stack import Base, parse_stack
from farm.stack.plan import Plan, key_material, needs_drivers, plan

BASE = Base(Namespace("data", 512, block=4096, ms=64), "/dev/nvme0n1")
ZONED = Base(Namespace("data", 512, block=4096, zone_mib=16), "/dev/nvme0n1")


def planned(text: str, base: Base = BASE, **options: object) -> Plan:
    return plan(parse_stack(text), base, **options)  # type: ignore[arg-type]


def said(made: Plan) -> str:
    return "\n".join(shlex.join(step.argv) for step in made.build)


@pytest.mark.parametrize(("text", "words"), [
    ("data / partition:start=4096,size=8192", ["addpart", "/dev/nvme0n1 4096 8192"]),
    ("data / linear:offset=2056", ["farm-data-1-linear /dev/nvme0n1 2056 0"]),
    ("data / integrity", ["--no-wipe", "--integrity crc32c", "--tag-size 4", "--sector-size 4096"]),
    ("data / integrity:wipe,mode=bitmap,hash=xxhash64", ["--integrity-bitmap-mode", "--tag-size 8"]),
    ("data / integrity:mode=direct,hash=sha256", ["--integrity-no-journal", "--tag-size 32"]),
    ("data / integrity:hash=hmac-sha256", ["--integrity-key-file /run/farm/farm-data-1-integrity.key"]),
    ("data / integrity:mode=inline", ["4 I 2 block_size:4096 internal_hash:crc32c"]),
    ("data / integrity:mode=inline,hash=hmac-sha256", ["internal_hash:hmac(sha256):"]),
    ("data / crypt", ["--type plain --cipher aes-xts-plain64 --key-size 512 --key-file - /dev/nvme0n1"]),
    ("data / crypt:cipher=aes-cbc-essiv:sha256,sector_size=4096", ["--key-size 256", "--sector-size 4096"]),
    ("data / crypt:no_read_workqueue", ["--perf-no_read_workqueue"]),
    ("data / crypt:no_write_workqueue", ["--perf-no_write_workqueue"]),
    ("data / luks2", ["--pbkdf pbkdf2 --pbkdf-force-iterations 1000", "--type luks2"]),
    ("data / luks2:integrity=hmac-sha256", ["--integrity hmac-sha256 --integrity-no-wipe"]),
    ("data / luks2:integrity=hmac-sha256,wipe", ["--integrity hmac-sha256 --pbkdf"]),
    ("data / luks2:cipher=aegis128-random,integrity=aead,iterations=2000", ["--key-size 128", "iterations 2000"]),
    ("data / luks2:header=detached", ["--header /run/farm/farm-data-1-luks2.header"]),
    ("data / xfs", ["mkfs.xfs", "mount -t xfs -o defaults /dev/nvme0n1 /mnt/farm-data-1-xfs"]),
    ("data / ext4:data=journal", ["lazy_itable_init=0", "-o data=journal"]),
    ("data / swap", ["mkswap -f /dev/nvme0n1", "swapon /dev/nvme0n1"]),
])
def test_options_reach_the_tools(text: str, words: list[str]) -> None:
    commands = said(planned(text))
    for word in words:
        assert word in commands


def test_each_layer_lies_on_the_one_beneath() -> None:
    made = planned("data / linear / crypt / xfs")
    assert [layer.device for layer in made.layers] == [
        "/dev/mapper/farm-data-1-linear", "/dev/mapper/farm-data-2-crypt", "/dev/mapper/farm-data-2-crypt"]
    assert (made.device, made.mountpoint) == ("/dev/mapper/farm-data-2-crypt", "/mnt/farm-data-3-xfs")
    assert [step.argv[0] for step in made.close] == ["umount", "rmdir", "cryptsetup", "dmsetup"]


def test_a_bare_namespace_needs_nothing() -> None:
    made = planned("data")
    assert (made.build, made.close, made.device, made.mountpoint) == ((), (), "/dev/nvme0n1", "")


def test_opening_formats_nothing() -> None:
    made = planned("data / integrity / luks2 / xfs")
    opening = " ".join(word for step in made.open for word in step.argv)
    assert not {"format", "luksFormat", "mkfs.xfs", "dd"} & set(opening.split())
    assert {step.argv for step in made.open} < {step.argv for step in made.build}


def test_only_layers_that_were_not_wiped_get_their_ends_written() -> None:
    assert len(planned("data / integrity").layers[0].settle) == 1
    assert planned("data / integrity:wipe").layers[0].settle == ()
    assert planned("data / luks2").layers[0].settle == ()


def test_cryptd_takes_the_driver_of_the_guest() -> None:
    assert needs_drivers(parse_stack("data / crypt:cryptd"))
    made = planned("data / crypt:cryptd", drivers={"aes": "aes-aesni"})
    assert "capi:cryptd(xts(ecb(aes-aesni)))-plain64" in said(made).replace("'", "")
    assert not needs_drivers(parse_stack("data / crypt"))


@pytest.mark.parametrize(("options", "wrapped", "name"), [
    ("", "cryptd(xts(ecb(aes-aesni)))", "xts(aes)"),
    ("integrity=hmac-sha256,", "authenc(hmac(sha256),cryptd(xts(ecb(aes-aesni))))", "authenc(hmac(sha256),xts(aes))"),
    ("cipher=aes-gcm-random,integrity=aead,", "cryptd(gcm(aes))", "gcm(aes)"),
])
def test_cryptd_in_luks2_changes_the_table_that_cryptsetup_made(options: str, wrapped: str, name: str) -> None:
    stack = f"data / luks2:{options}cryptd"
    assert needs_drivers(parse_stack(stack))
    made = planned(stack, drivers={"aes": "aes-aesni"})
    opened, changed = made.open
    assert "--disable-keyring" in opened.argv, "a key in a keyring is gone with cryptsetup"
    assert changed.argv[-3:] == ("farm-data-1-luks2", wrapped, name)
    assert changed not in planned(stack.replace("cryptd", "sector_size=512"), drivers={"aes": "aes-aesni"}).open


def test_keys_follow_from_seed_and_place_and_stay_out_of_argv() -> None:
    one, same = planned("data / crypt / crypt", seed=1), planned("data / crypt / crypt", seed=1)
    other = planned("data / crypt / crypt", seed=2)
    assert one == same
    keys = [step.input for step in (*one.build, *other.build)]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {64}
    assert key_material(1, "data", 0, 64).hex() not in said(one)


def test_a_partition_of_a_disk_without_a_number() -> None:
    made = planned("data / partition", Base(Namespace("data", 64), "/dev/vda"))
    assert made.device == "/dev/vda1"


def test_nothing_is_planned_for_what_cannot_be() -> None:
    with pytest.raises(UserError, match="luks2-header-on-zones"):
        planned("data / luks2", ZONED)


def test_a_detached_header_is_forgotten_last() -> None:
    made = planned("data / luks2:header=detached", ZONED)
    assert [step.argv for step in made.forget] == [("rm", "-f", "/run/farm/farm-data-1-luks2.header")]

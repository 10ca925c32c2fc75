"""I/O goes on where it is interrupted: devices that are suspended, and exchanged for others, while they are used."""

import pytest

# $1: what the kernel calls the top device; then all devices, top first. An exchange makes a new target beside the old
# one, and then destroys that. It begins with the load, which outlasts it: what waits for ever would go on next time.
INTERRUPT = """
exec {never}<> <(:)
stat=/sys/block/$1/stat
idle=$(cat $stat)
while [ "$(cat $stat)" = "$idle" ]; do read -t 0.1 -u $never; done
end=$((SECONDS + 4))
while [ $SECONDS -lt $end ]; do
  for name in "${@:2}"; do
    dmsetup suspend $name || exit 1
    read -t 0.1 -u $never
    dmsetup resume $name || exit 1
    read -t 0.1 -u $never
    dmsetup table --showkeys $name | dmsetup reload $name && dmsetup resume $name || exit 1
    read -t 0.1 -u $never
  done
done
touch /tmp/interrupted
exec sleep infinity
"""
LOAD = {"rw": "randwrite", "jobs": 2, "size": "4M", "bs": "16K", "iodepth": 16}

pytestmark = pytest.mark.duration(8)


def on(name, layers, **namespace):
    disk = pytest.mark.namespace("data", **{"size": "64M", **namespace})
    return pytest.param(marks=[disk, pytest.mark.stack(f"data / {layers}")], id=name)


@pytest.mark.parametrize((), [
    on("linear", "linear:offset=8", pi=1, ms=8), on("crypt", "crypt"), on("cryptd", "crypt:cryptd"),
    on("inline", "crypt:no_read_workqueue,no_write_workqueue"), on("journal", "integrity"),
    on("bitmap", "integrity:mode=bitmap"), on("tags", "integrity:mode=inline", block=4096, ms=64),
    on("aead", "luks2:integrity=hmac-sha256,key=table", block=4096), on("mirror", "mirror")])
def test_devices_are_suspended_and_exchanged(target, stack, fio, background):
    names = [device.name for device in reversed(stack.devices[1:])]
    with background(INTERRUPT, stack.devices[-1].kernel, *names):
        fio(stack, **LOAD)
        target.run("test -e /tmp/interrupted")
    stack.reopen()
    fio(stack, verify_only=True, **LOAD)

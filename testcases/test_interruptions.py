"""I/O goes on where it is interrupted: devices that are suspended and exchanged, and a controller that is reset."""

import pytest

# $1 and so on: devices, top first. An exchange makes a new target beside the old one, and then destroys that.
INTERRUPT = """
exec {never}<> <(:)
while :; do
  for name; do
    dmsetup suspend $name || exit 1
    read -t 0.1 -u $never
    dmsetup resume $name || exit 1
    read -t 0.1 -u $never
    dmsetup table --showkeys $name | dmsetup reload $name && dmsetup resume $name || exit 1
    read -t 0.1 -u $never
  done
done
"""
# $1: directory of the controller in sysfs. What is in flight is cancelled and sent again (nvme_cancel_request).
RESET = """
exec {never}<> <(:)
while :; do
  echo 1 >$1/reset_controller || exit 1
  read -t 0.5 -u $never
done
"""
LOAD = {"rw": "randwrite", "jobs": 2, "size": "4M", "bs": "16K", "iodepth": 16}

pytestmark = pytest.mark.duration(5)


def on(name, layers, **namespace):
    disk = pytest.mark.namespace("data", **{"size": "64M", **namespace})
    return pytest.param(marks=[disk, pytest.mark.stack(f"data / {layers}")], id=name)


@pytest.mark.parametrize((), [
    on("linear", "linear:offset=8", pi=1, ms=8), on("crypt", "crypt"), on("cryptd", "crypt:cryptd"),
    on("inline", "crypt:no_read_workqueue,no_write_workqueue"), on("journal", "integrity"),
    on("bitmap", "integrity:mode=bitmap"), on("tags", "integrity:mode=inline", block=4096, ms=64),
    on("aead", "luks2:integrity=hmac-sha256,key=table", block=4096), on("mirror", "mirror")])
def test_devices_are_suspended_and_exchanged(stack, fio, background):
    names = [device.name for device in reversed(stack.devices[1:])]
    with background(INTERRUPT, *names):
        fio(stack, **LOAD)
    stack.reopen()
    fio(stack, verify_only=True, **LOAD)


@pytest.mark.parametrize((), [
    on("pi", "linear:offset=8", pi=1, ms=8), on("crypt", "crypt", pi=1, ms=8),
    on("aead", "luks2:integrity=hmac-sha256", block=4096)])
def test_the_controller_is_reset(target, stack, fio, background):
    """Protection information that was made for a request is that of the request when it is sent again."""
    controller = target.run(["readlink", "-f", f"{stack.base.sysfs}/device"]).stdout.strip()
    with background(RESET, controller):
        fio(stack, **LOAD)
    fio(stack, verify_only=True, **LOAD)

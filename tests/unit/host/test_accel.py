"""The decision, with probes that behave as real accelerators were seen to; a real one is in tests/e2e."""

import json

import pytest

from farm.errors import BootError, InfrastructureError, UserError
from farm.host.accel import KVM, PROBE_SECONDS, TCG, Acceleration, Boot, decide, recall
from farm.host.workdir import Workdir


class Host:
    """A host on which each accelerator boots in so many seconds, or not at all."""

    def __init__(self, **seconds):
        self.seconds = seconds
        self.probed = []

    def __call__(self, name, deadline):
        self.probed.append((name, deadline.seconds))
        if name not in self.seconds:
            raise BootError("no ready line")
        return Boot(self.seconds[name], 2596114)


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "cache")


@pytest.fixture
def device(tmp_path):
    (tmp_path / "kvm").touch()
    return tmp_path / "kvm"


def test_kvm_that_boots_is_used(workdir, device):
    found = decide("auto", Host(kvm=0.8, tcg=4.0), workdir, device)
    assert found.name == KVM
    assert found.pace.factor == 1.0


def test_kvm_that_opens_but_does_not_boot_ends_in_tcg_and_says_so(workdir, device):
    host = Host(tcg=4.0)
    found = decide("auto", host, workdir, device)
    assert found.name == TCG
    assert found.pace.factor == 5.0
    assert "opens, but Linux does not reach userspace" in found.reason
    assert [name for name, _ in host.probed] == [KVM, TCG]


def test_kvm_is_given_up_early_enough(workdir, device):
    assert PROBE_SECONDS[KVM] <= 15  # with a boot under TCG it has to end within 30


def test_missing_device_is_not_probed(workdir, tmp_path):
    host = Host(tcg=4.0)
    assert "does not exist" in decide("auto", host, workdir, tmp_path / "none").reason
    assert [name for name, _ in host.probed] == [TCG]


def test_the_answer_is_remembered(workdir, device):
    first = decide("auto", Host(tcg=4.0), workdir, device)
    silent = Host()
    assert decide("auto", silent, workdir, device) == first == recall(workdir)
    assert silent.probed == []


def test_the_answer_is_forgotten_when_the_host_boots(workdir, device):
    decide("auto", Host(tcg=4.0), workdir, device)
    path = workdir.root / "accel.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    assert recall(workdir) is None
    assert decide("auto", Host(kvm=1.0), workdir, device).name == KVM


def test_a_damaged_memory_is_ignored(workdir, device):
    workdir.directory()
    (workdir.root / "accel.json").write_text("{")
    assert decide("auto", Host(kvm=1.0), workdir, device).name == KVM


def test_forced_accelerator_is_measured_and_not_second_guessed(workdir, device):
    host = Host(kvm=1.0, tcg=8.0)
    found = decide(TCG, host, workdir, device)
    assert (found.name, found.pace.factor) == (TCG, 10.0)
    assert [name for name, _ in host.probed] == [TCG]


def test_forced_accelerator_that_does_not_work(workdir, device):
    with pytest.raises(UserError, match="does not boot on it"):
        decide(KVM, Host(tcg=4.0), workdir, device)


def test_no_accelerator_at_all(workdir, device):
    with pytest.raises(InfrastructureError, match="no accelerator boots the kernel"):
        decide("auto", Host(), workdir, device)


def test_an_emulated_guest_is_told_the_frequency_of_its_counter(workdir, device):
    assert decide(TCG, Host(tcg=4.0), workdir, device).parameters == ("tsc_early_khz=2596114",)
    assert decide(KVM, Host(kvm=1.0), workdir, device).parameters == ()
    assert Acceleration(TCG, "", 4.0).parameters == ()


def test_a_fast_boot_does_not_make_deadlines_tight(workdir, device):
    assert decide(TCG, Host(tcg=0.1), workdir, device).pace.factor == 4.0

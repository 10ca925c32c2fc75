"""A stack in the guest: builds, closes, opens and removes what a plan says, over any shell."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.deadline import Pace
from farm.errors import GuestError, UserError
from farm.guest.shell import Shell
from farm.stack import script
from farm.stack.crypto import best_driver
from farm.stack.layers import Luks2, Partition, Stack
from farm.stack.locate import Mapped, Spot, Window, locate, parse_tables
from farm.stack.plan import Base, Plan, needs_drivers, plan
from farm.stack.script import StepResult
from farm.stack.steps import Step, undoing

log = logging.getLogger(__name__)

# Seconds on a fast machine; a wipe writes the whole device.
BUILD_SECONDS = 30.0
CLOSE_SECONDS = 20.0
# Rounds in one script: the kernel takes 128 KiB for one argument (fs/exec.c, MAX_ARG_STRLEN).
CYCLES = 10


class StackError(GuestError):
    """A tool that builds or takes down a layer failed in the guest; `failed` are the steps that did."""

    def __init__(self, message: str, failed: Sequence[StepResult]) -> None:
        super().__init__(message)
        self.failed = tuple(failed)


@dataclass(frozen=True)
class Device:
    """A layer as the kernel's messages name it."""

    # The layer's name, e.g. `farm-data-1-linear`; the serial for the namespace itself.
    layer: str
    kind: str
    # The kernel's name, e.g. `dm-1` or `nvme0n1p1`.
    kernel: str


class Assembly:
    """One stack in one guest.

    Every method raises StackError, naming layer and command, when a tool fails in the guest, and whatever the shell
    raises when the guest itself is in trouble.
    """

    def __init__(self, shell: Shell, stack: Stack, base: Base, *, seed: int = 0, pace: Pace | None = None) -> None:
        """Checks the rules at once and touches nothing. Raises UserError for an impossible stack."""
        self.stack = stack
        self.base = base
        self.is_open = False
        self._shell = shell
        self._seed = seed
        self._pace = pace or Pace()
        self._built = False
        self._drivers: Mapping[str, str] = {"aes": "aes"}
        self._devices: tuple[Device, ...] = ()
        self._tables: Mapping[str, Mapped] = {}
        self._plan = plan(stack, base, seed, self._drivers)

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def device(self) -> str:
        """The top block device in the guest."""
        return self._plan.device

    @property
    def mountpoint(self) -> str:
        """Where the file system on top is mounted, or ""."""
        return self._plan.mountpoint

    @property
    def devices(self) -> tuple[Device, ...]:
        """Every layer's device by the name the kernel uses, bottom first; read when the stack was last opened."""
        return self._devices

    @property
    def zone_bytes(self) -> int:
        """Zone size of the top device, 0 when it has none."""
        return self.base.namespace.zone_mib << 20

    def layer_of(self, kernel_name: str) -> str:
        """The layer that a device in a kernel message belongs to, or "" when it is none of this stack."""
        return next((one.layer for one in self._devices if one.kernel == kernel_name), "")

    def build(self) -> None:
        """Format and open every layer; when a step fails, the layers beneath it are taken down again."""
        if needs_drivers(self.stack):
            answer = self._shell.run(["cat", "/proc/crypto"], deadline=self._pace.deadline(CLOSE_SECONDS))
            self._drivers = {"aes": best_driver(answer.stdout, "aes", "cipher")}
            self._plan = plan(self.stack, self.base, self._seed, self._drivers)
        self._bring_up(self._plan.build, "build")
        self._built = True

    def open(self) -> None:
        """Open what was built and closed. Raises UserError when it was never built."""
        if not self._built:
            raise UserError(f"The stack '{self.stack}' was never built, so it cannot be opened. Call build() first.")
        if not self.is_open:
            self._bring_up(self._plan.open, "open")

    def close(self) -> None:
        """Close every layer, top first; goes on when one does not, and raises StackError for all of them at the end."""
        if self.is_open:
            self._take_down(self._plan.close)

    def remove(self) -> None:
        """Close, and forget what the guest still holds of it: the next use is a build."""
        built, self._built = self._built, False
        if built:
            self._take_down((*(self._plan.close if self.is_open else ()), *self._plan.forget))

    def reopen(self) -> None:
        self.close()
        self.open()

    def cycle(self, rounds: int) -> None:
        """Close every layer and open it again, `rounds` times; many of them in one round trip."""
        self.open()
        for before in range(0, rounds, CYCLES):
            steps = (*((*self._plan.close, *self._plan.open) * min(CYCLES, rounds - before)), *_ASK)
            done = self._run(steps, BUILD_SECONDS)
            failed = [result for result in done if result.status]
            if failed or len(done) < len(steps):
                raise StackError(self._sentence("reopen", failed, steps[len(done):]), failed)
            self._learn(done[-2].output, done[-1].output)

    def sector_of(self, offset: int = 0, *, file: str = "", tag: bool = False) -> Spot:
        """Where byte `offset` of the top device, or of a file on the file system on top, lies on the namespace.

        With `tag`, where its integrity tag lies. The stack must be open. Raises UserError for what cannot be found.
        """
        sector = self._file_sector(file, offset) if file else offset // 512
        middle = [made.name for made in reversed(self._plan.layers) if not made.layer.top]
        return locate([name for layer in middle for name in self._names(layer)], self._tables, sector, tag=tag)

    def _names(self, name: str) -> tuple[str, ...]:
        """The device-mapper devices of a layer, top first: cryptsetup puts dm-integrity beneath as `<name>_dif`."""
        return (name, f"{name}_dif") if f"{name}_dif" in self._tables else (name,)

    def _file_sector(self, file: str, offset: int) -> int:
        """filefrag prints extents as `0: logical.. logical: physical.. physical: length:`, here in 512-byte units."""
        argv = ["filefrag", "-b512", "-v", f"{self.mountpoint}/{file}"]
        answer = self._shell.run(argv, deadline=self._pace.deadline(CLOSE_SECONDS))
        wanted = offset // 512
        for match in re.finditer(r"^\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\.", answer.stdout, re.MULTILINE | re.ASCII):
            first, last, physical = (int(number) for number in match.groups())
            if first <= wanted <= last:
                return physical + wanted - first
        raise UserError(f"The file {file} on {self.stack} has no block on the device at byte {offset}.")

    def _bring_up(self, steps: tuple[Step, ...], what: str) -> None:
        asked = (*steps, *_ASK)
        done = self._run(asked, BUILD_SECONDS)
        bad = [result for result in done if result.status]
        if bad or len(done) < len(asked):
            # The step that failed may have got half way, so its undo is tried too; only the others must succeed.
            reached = undoing(tuple(result.step for result in done))
            undone = self._run(reached, CLOSE_SECONDS, go_on=True)
            good = {result.step.undo for result in done if not result.status}
            stuck = [one for one in undone if one.status and one.step.argv in good]
            raise StackError(self._sentence(what, [*bad, *stuck], asked[len(done):]), [*bad, *stuck])
        self.is_open = True
        self._learn(done[-2].output, done[-1].output)

    def _take_down(self, steps: tuple[Step, ...]) -> None:
        self.is_open = False
        done = self._run(steps, CLOSE_SECONDS, go_on=True)
        failed = [result for result in done if result.status]
        if failed or len(done) < len(steps):
            raise StackError(self._sentence("close", failed, steps[len(done):]), failed)

    def _run(self, steps: Sequence[Step], seconds: float, *, go_on: bool = False) -> list[StepResult]:
        if not steps:
            return []
        argv = ["sh", "-c", script.render(steps, go_on=go_on)]
        return script.results(steps, self._shell.run(argv, deadline=self._pace.deadline(seconds)).stdout)

    def _sentence(self, what: str, failed: Sequence[StepResult], missing: Sequence[Step]) -> str:
        lines = [f"Could not {what} the stack '{self.stack}' in the guest."]
        for one in failed:
            said = one.output.strip() or "it said nothing"
            lines.append(f"{one.step.layer}: `{_shown(one.step)}` ended with status {one.status}: {said}")
        if missing and not failed:
            lines.append(f"{missing[0].layer}: `{_shown(missing[0])}` never reported how it ended.")
        return "\n".join([*lines, "The console of that moment says what the kernel thought of it."])

    def _learn(self, listing: str, tables: str) -> None:
        """Remember what the kernel calls each layer, and how its tables map."""
        minors = dict(re.findall(r"^(\S+)\s+\(\d+:(\d+)\)$", listing, re.MULTILINE | re.ASCII))
        found = [Device(self.stack.serial, "namespace", self.base.path.removeprefix("/dev/"))]
        self._tables = {name: mapped for name, mapped in parse_tables(tables).items() if name in minors}
        for made in self._plan.layers:
            if isinstance(made.layer, Partition):
                found.append(Device(made.name, made.layer.kind, made.device.removeprefix("/dev/")))
                self._tables = {**self._tables, made.name: Window(made.layer.start)}
            names = [f"{made.name}_dif", made.name] if isinstance(made.layer, Luks2) else [made.name]
            found += [Device(made.name, made.layer.kind, f"dm-{minors[name]}") for name in names if name in minors]
        self._devices = tuple(found)


def _shown(step: Step) -> str:
    """The command for a message; the text of a small script is left out."""
    argv = step.argv[4:] if step.argv[:2] == ("sh", "-ec") else step.argv
    return " ".join(argv)


_ASK = (Step("devices", ("dmsetup", "ls")), Step("devices", ("dmsetup", "table")))

"""A stack in the guest: builds, closes, opens and removes what a plan says, over any shell."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from farm.deadline import Pace
from farm.errors import GuestError, UserError
from farm.guest.disk import Change, Disk
from farm.guest.protection import Protection
from farm.guest.shell import Shell
from farm.model import Extent
from farm.stack import script
from farm.stack.ciphertext import parse_ciphertext
from farm.stack.corruption import FORGET, SETTLE, aim
from farm.stack.crypto import best_driver
from farm.stack.features import ASK, check_features, wanted
from farm.stack.layers import Luks2, Partition, Stack, Swap
from farm.stack.locate import Mapped, Spot, Tagged, Window, locate, parse_tables
from farm.stack.places import NAMESPACE, TAGS, Device, Found, extents
from farm.stack.plan import Base, Plan, needs_drivers, plan
from farm.stack.script import StepResult
from farm.stack.steps import Step, undoing
from farm.stack.stored import Stored
from farm.stack.tags import parse_tags

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


class Assembly:
    """One stack in one guest.

    Every method raises StackError, naming layer and command, when a tool fails in the guest, and whatever the shell
    raises when the guest itself is in trouble.
    """

    def __init__(
        self, shell: Shell, stack: Stack, base: Base, *, seed: int = 0, pace: Pace | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Checks the rules at once and touches nothing; `disk` is what `corrupt` changes.

        Raises UserError for an impossible stack.
        """
        self.stack = stack
        self.base = base
        self.is_open = False
        self._shell = shell
        self._seed = seed
        self._disk = disk
        self._pace = pace or Pace()
        self._built = False
        self._drivers: Mapping[str, str] = {"aes": "aes"}
        self._devices: tuple[Device, ...] = ()
        self._tables: Mapping[str, Mapped] = {}
        self._files: list[Found] = []
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

    def build(self) -> None:
        """Format and open every layer; when a step fails, the layers beneath it are taken down again.

        Raises MissingFeatureError when the kernel cannot have such a stack.
        """
        if wanted(self.stack):
            check_features(self.stack, self._shell.run(ASK, deadline=self._pace.deadline(CLOSE_SECONDS)).stdout)
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

    def power_cut(self, path: str) -> None:
        """Open what was built in a guest that has started anew; `path` is what it calls the namespace."""
        self.base = replace(self.base, path=path)
        self._plan = plan(self.stack, self.base, self._seed, self._drivers)
        self.is_open = False
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
        sector = self.offset_of(file, offset) // 512 if file else offset // 512
        return locate(self._chain, self._tables, sector, tag=tag)

    def offset_of(self, file: str, offset: int = 0) -> int:
        """The byte of the top device at which a byte of a file lies, or the beginning of a directory.

        The file system on top must be mounted. Raises UserError for a file that has nothing there.
        """
        path = f"{self.mountpoint}/{file}"
        place = self._file_sector(path, offset) * 512 + offset % 512
        self._files.append(Found(path, offset, place))
        return place

    def corrupt(
        self, offset: int = 0, area: str = "data", *, beneath: str = NAMESPACE, byte: int = 0, bit: int = 0
    ) -> None:
        """Flip a bit of what was stored for byte `offset` of the top device, closed or open.

        `area` is `data`, `tag` (of dm-integrity), `guard`, `app` or `ref` (protection information); or `journal` or
        `superblock` of dm-integrity, in which `offset` counts. `beneath` is the kind of the layer that sees it first:
        protection information further down is made to fit. `byte` is added within the area. `restore` takes it back.
        Raises UserError for what the stack does not have.
        """
        disk, names = self._host(), self._chain
        kinds = [device.kind for device in reversed(self._devices[1:])] + [NAMESPACE]
        if beneath not in kinds:
            raise UserError(f"The stack '{self.stack}' has no {beneath} to corrupt something beneath. "
                            f"It has: {', '.join(kinds)}.")
        top = 0 if beneath == NAMESPACE else kinds.index(beneath)
        if area not in ("journal", "superblock"):
            offset = locate(names[:top], self._tables, offset // 512).sector * 512 + offset % 512
        place = aim(area, offset, byte, chain=names[top:], tables=self._tables, namespace=self.base.namespace)
        self._settle()
        disk.flip(self.stack.serial, place.block, place.area, byte=place.byte, bit=bit)
        if beneath != NAMESPACE and self.base.namespace.pi and place.area == "data":
            data, metadata = (disk.read(self.stack.serial, place.block, part) for part in ("data", "metadata"))
            disk.write(self.stack.serial, place.block, Protection(self.base.namespace).mended(data, metadata),
                       "metadata")
        self._forget_caches()

    def restore(self) -> None:
        """Take back what was changed on the disk, as far as the guest has not written it over since."""
        self._settle()
        self._host().restore(self.stack.serial)
        self._forget_caches()

    def deciphered(self, offset: int, length: int) -> bytes:
        """What another implementation makes of what is stored for some bytes of the top device, a `crypt` or `luks2`.

        Sectors with another tag than that implementation computes are left out. They are read on the host, so the guest
        has to have written them. Raises UserError for another top device, for a key that is not in its table, and for
        an offset or a length that is not a multiple of its encryption sectors.
        """
        stored, first = self._stored(), offset // 512
        cipher = parse_ciphertext(self._table())
        data = stored.data(first, length)
        pieces = range(first, first + length // 512, cipher.size // 512)
        return cipher.deciphered(data, first, stored.tags(pieces, cipher.tag) if cipher.tag else b"")

    def tags(self, offset: int, length: int) -> tuple[bytes, bytes]:
        """The tags stored for some bytes of the top device, an `integrity`, and what another implementation computes.

        They are read as `deciphered` reads. Raises UserError for another top device, an unknown hash, and parts of a
        block.
        """
        stored, first = self._stored(), offset // 512
        own = parse_tags(self._table(), stored.superblock)
        pieces = range(first, first + length // 512, own.size // 512)
        return stored.tags(pieces, own.length), own.computed(stored.data(first, length), first)

    def _stored(self) -> Stored:
        self._settle()
        return Stored(self._host(), self.stack.serial, self.base.namespace, self._chain, self._tables)

    def _table(self) -> str:
        """The table of the top device."""
        argv = ["dmsetup", "table", "--showkeys", *self._chain[:1]]
        return self._shell.run(argv, deadline=self._pace.deadline(CLOSE_SECONDS)).stdout

    def extents(self, changes: Sequence[Change]) -> tuple[Extent, ...]:
        """Where the layers of this stack may report changes of its disk, as far as its tables tell."""
        return tuple(
            extent for change in changes if change.serial == self.stack.serial and self._devices
            for extent in extents(change, self.base.namespace, self._devices, self._tables,
                                  mountpoint=self.mountpoint, files=self._files,
                                  swap=any(isinstance(layer, Swap) for layer in self.stack.layers)))

    @property
    def _chain(self) -> list[str]:
        """The names of the stack's tables, top first."""
        return [device.name for device in reversed(self._devices[1:])]

    def _host(self) -> Disk:
        if self._disk is None:
            raise UserError(f"The stack '{self.stack}' was made without its disk: it can neither read nor change that.")
        return self._disk

    def _settle(self) -> None:
        """Make the disk current, when the guest has the stack open."""
        journals = [name for name in self._chain if isinstance(self._tables.get(name), Tagged)]
        if self.is_open and (journals or self.mountpoint):
            self._shell.run(["sh", "-ec", SETTLE, "sh", self.mountpoint, *journals],
                            deadline=self._pace.deadline(CLOSE_SECONDS))

    def _forget_caches(self) -> None:
        """Make the guest read from the disk again, when it has the stack open."""
        if self.is_open:
            rounds = "4" if self.mountpoint else "1"
            self._shell.run(["sh", "-ec", FORGET, "sh", rounds, self.device],
                            deadline=self._pace.deadline(CLOSE_SECONDS))

    def _file_sector(self, path: str, offset: int) -> int:
        """filefrag prints extents as `0: logical.. logical: physical.. physical: length:`, here in 512-byte units."""
        argv = ["filefrag", "-b512", "-v", path]
        answer = self._shell.run(argv, deadline=self._pace.deadline(CLOSE_SECONDS))
        wanted = offset // 512
        for match in _EXTENT.finditer(answer.stdout):
            first, last, physical = (int(number) for number in match.groups())
            if first <= wanted <= last:
                return physical + wanted - first
        raise UserError(f"The file {path} on {self.stack} has no block on the device at byte {offset}.")

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
        found = [Device(self.stack.serial, NAMESPACE, self.base.path.removeprefix("/dev/"))]
        self._tables = {name: mapped for name, mapped in parse_tables(tables).items() if name in minors}
        for made in self._plan.layers:
            if isinstance(made.layer, Partition):
                found.append(Device(made.name, made.layer.kind, made.device.removeprefix("/dev/"), made.name))
                self._tables = {**self._tables, made.name: Window(made.layer.start)}
            # cryptsetup puts dm-integrity beneath as `<name>_dif`.
            parts = {f"{made.name}_dif": TAGS} if isinstance(made.layer, Luks2) else {}
            found += [Device(made.name, kind, f"dm-{minors[name]}", name)
                      for name, kind in {**parts, made.name: made.layer.kind}.items() if name in minors]
        self._devices = tuple(found)


def _shown(step: Step) -> str:
    """The command for a message; the text of a small script is left out."""
    argv = step.argv[4:] if step.argv[:2] == ("sh", "-ec") else step.argv
    return " ".join(argv)


# As filefrag prints it, see `_file_sector`.
_EXTENT = re.compile(r"^ *\d+: *(\d{1,19})\.\. *(\d{1,19}): *(\d{1,19})\.\.", re.MULTILINE | re.ASCII)
_ASK = (Step("devices", ("dmsetup", "ls")), Step("devices", ("dmsetup", "table")))

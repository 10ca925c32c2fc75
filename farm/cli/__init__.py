"""The `farm` command. Each subcommand is a module of its own, imported only when it is asked for."""

import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from farm import __version__
from farm.cli.telling import complain
from farm.errors import FarmError, KernelError, UserError
from farm.host.others import forbid_others_to_write
from farm.model import REQUEST_REFUSED, Verdict

# Name of the subcommand -> module with its `command`, and the line that `farm --help` shows for it.
COMMANDS = {
    "doctor": ("farm.cli.doctor", "Show the tools, the disk, the memory and the accelerator of this host."),
    "build": ("farm.cli.build", "Build a kernel in a flavor."),
    "image": ("farm.cli.image", "Build the guest image."),
    "cache": ("farm.cli.cache", "List and prune what has been built."),
    "run": ("farm.cli.run", "Run testcases against a kernel and tell whether it is good."),
    "nightly": ("farm.cli.nightly", "Run a plan, and tell what changed since the last nights."),
    "history": ("farm.cli.history", "Show what became of a testcase or of a failure."),
    "compare": ("farm.cli.compare", "Show in which testcases two runs of a plan differ."),
    "report": ("farm.cli.report", "Tell of a run of a plan: text, JUnit, Markdown, mail, KCIDB, a site."),
    "prune": ("farm.cli.prune", "Drop the bulk of old cells that passed."),
    "qualify": ("farm.cli.qualify", "Prove that the testcases catch the bugs they were written for."),
    "judge": ("farm.cli.judge", "Judge one revision, with the exit codes of `git bisect run`."),
    "bisect": ("farm.cli.bisect", "Find the commit that brought a bug, or mended it."),
    "bisect-config": ("farm.cli.bisect_config", "Find the configuration options that bring a bug."),
    "tree": ("farm.cli.tree", "Turn a kernel source package into a git tree."),
    "repro": ("farm.cli.repro", "Read a bug report, and propose the testcases that exercise it."),
    "test-patch": ("farm.cli.testpatch", "Run a testcase without a patch and with it, side by side."),
    "reach": ("farm.cli.reach", "Measure which functions of the kernel each testcase reaches."),
    "shell": ("farm.cli.shell", "Enter a guest: the machine, stack and kernel of a testcase or a run."),
    "dump": ("farm.cli.dump", "Read a guest's memory: blocked tasks, I/O in flight, device-mapper tables."),
    "bundle": ("farm.cli.bundle", "Write a run as one file that travels."),
    "replay": ("farm.cli.replay", "Repeat the run in a bundle."),
    "classify": ("farm.cli.classify", "Find the crash reports in console logs."),
}

# Exit status of a command that could not do its work by the host's fault; by the user's it is REQUEST_REFUSED.
EXIT_INFRASTRUCTURE = Verdict.STOP
# As a shell reports a program that SIGPIPE ended.
EXIT_PIPE = 128 + signal.SIGPIPE


class _OutputGoneError(Exception):
    """Whoever read the output (`| head`) has seen enough."""


class _Commands(click.Group):
    """A group that imports a subcommand's module when it is called, so that `farm --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end with 1, which is what `git bisect run` takes for a bad revision.
            raise _OutputGoneError from error
        except SystemExit as error:
            # rich does as click.
            if isinstance(error.__context__, BrokenPipeError):
                raise _OutputGoneError from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="farm")
def group() -> None:
    """Build Linux kernels, boot them in QEMU on stacked storage, and find what breaks."""


def _status(error: FarmError) -> int:
    """Only the kernel makes a revision bad."""
    if isinstance(error, KernelError):
        return Verdict.BAD
    return REQUEST_REFUSED if isinstance(error, UserError) else EXIT_INFRASTRUCTURE


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a mistake or a failure of the host is one message and a status, never a traceback."""
    # A daemon may start us without them (`>&-`), and what is opened next would take their numbers.
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - likewise
    forbid_others_to_write()
    try:
        result: Any = group.main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(REQUEST_REFUSED)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted", err=True)
        sys.exit(Verdict.STOP + 2)  # 130, as a shell reports an interrupt
    except FarmError as error:
        complain(error)
        sys.exit(_status(error))
    except (_OutputGoneError, BrokenPipeError):
        _drop_output()
        sys.exit(EXIT_PIPE)
    except OSError as error:
        _drop_output()
        where = f" ({error.filename})" if error.filename else ""
        what = f"farm: the host failed: {error.strerror or error}{where}. Is there room, and may you write?"
        click.echo(what, err=True)
        sys.exit(EXIT_INFRASTRUCTURE)
    except Exception:
        # Python's own status for a traceback is 1, which `git bisect run` takes for a bad revision.
        traceback.print_exc()
        click.echo("farm: this is a bug of the farm, or the host is out of order; the traceback is above", err=True)
        sys.exit(EXIT_INFRASTRUCTURE)
    sys.exit(result if isinstance(result, int) else 0)


def _drop_output() -> None:
    """What is still in the buffer goes nowhere: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

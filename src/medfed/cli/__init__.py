"""The command line. Commands are loaded when they are called, so that help is instant."""

import errno
import json
import os
import sys
import tempfile
import traceback
from importlib import import_module
from typing import NoReturn

import click

from medfed import __version__
from medfed.config import Settings
from medfed.core.errors import MedfedError, SettingsError, StudyError
from medfed.core.files import REFUSED_WRITES

COMMANDS = {
    "run": ("medfed.cli.run:run", "Run a study over several hospitals."),
    "compare": (
        "medfed.cli.compare:compare",
        "Is it worth it? Federated against alone and pooled.",
    ),
    "demo": ("medfed.cli.demo:demo", "See it work: three synthetic hospitals, one model."),
    "study": ("medfed.cli.study:study", "Write, check and show study files."),
    "parts": ("medfed.cli.parts:parts", "List what studies can be made of, with all options."),
    "privacy-report": (
        "medfed.cli.privacy_report:privacy_report",
        "Leaks: what could an attacker learn? For one site only.",
    ),
    "site": ("medfed.cli.site:site", "A hospital's own folder: joining, approvals, receipts."),
    "ledger": (
        "medfed.cli.ledger:ledger",
        "What patients' privacy was spent on, and what is left.",
    ),
    "audit": ("medfed.cli.audit:audit", "Verify, offline, that no record was rewritten."),
    "coordinator": ("medfed.cli.coordinator:coordinator", "Invite hospitals, and run for them."),
    "serve": ("medfed.cli.serve:serve", "The console in a browser: studies, live runs, models."),
    "backup": ("medfed.cli.backup:backup", "Write the console's database into a folder."),
    "restore": ("medfed.cli.backup:restore", "Fill an empty database from such a folder."),
    "data": ("medfed.cli.data:data", "Import scans; fetch or make data sets."),
    "predict": ("medfed.cli.predict:predict", "Find nodules on one scan, by a trained model."),
    "model": ("medfed.cli.model:model", "Export a trained model."),
}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order people need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of this name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, importing none."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="medfed")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Hospitals train medical AI together; every patient record stays where it is."""
    ctx.obj = Settings.read()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every failure ends in a sentence and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        cli.main(arguments, prog_name="medfed", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        _end(arguments, error.exit_code, type(error).__name__, error.format_message())
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped.", err=True)
        _end(arguments, INTERRUPTED, "Interrupted", "stopped by the person at the keyboard")
    except MedfedError as error:
        _complain(error)
        _end(arguments, error.exit_code, type(error).__name__, str(error))
    except BrokenPipeError:  # whoever read our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if (problem := _disk_trouble(error)) is None:
            _apologise()
            _end(arguments, 1, type(error).__name__, "an error that medfed did not foresee")
        _complain(problem)
        _end(arguments, problem.exit_code, type(error).__name__, str(problem))
    except Exception as error:  # noqa: BLE001  # the last resort: a person never sees a traceback
        _apologise()
        _end(arguments, 1, type(error).__name__, "an error that medfed did not foresee")


def _end(arguments: list[str], exit_code: int, kind: str, message: str) -> NoReturn:
    """End the program; whoever asked for JSON gets the failure in JSON."""
    if "--json" in arguments:
        about = {"message": message, "kind": kind, "exit_code": exit_code}
        click.echo(json.dumps({"schema": 1, "error": about}, ensure_ascii=False))
    sys.exit(exit_code)


def _disk_trouble(error: OSError) -> MedfedError | None:
    """What a person is told of a disk that is full, or of a place that cannot be written."""
    nowhere = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
    if error.errno not in REFUSED_WRITES and not (error.errno in nowhere and error.filename):
        return None
    what = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "the disk"
    return MedfedError(
        f"{what} cannot be read or written: {os.strerror(error.errno or 0)}",
        remedy="Mend that or choose another place, then try again; what was finished is kept",
    )


def _complain(error: MedfedError) -> None:
    if isinstance(error, (StudyError, SettingsError)) and error.problems:
        lines = [error.message, *(f"  {problem}" for problem in error.problems)]
        click.echo(click.style("Error: ", fg="red") + "\n".join(lines), err=True)
    else:
        click.echo(click.style("Error: ", fg="red") + error.message, err=True)
    if error.remedy:
        click.echo(click.style("What to do: ", fg="green") + error.remedy, err=True)


def _apologise() -> None:
    with tempfile.NamedTemporaryFile(
        "w", prefix="medfed-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    click.echo(
        f"medfed met an error it did not foresee; its details are in {file.name}.\n"
        "They may quote data: read them before you show them to anyone. "
        "What was finished before is kept.",
        err=True,
    )

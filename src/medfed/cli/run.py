"""``medfed run``: a study, its rounds, its result."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfed.cli.logs import set_up_logs
from medfed.cli.progress import RunProgress
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings
from medfed.core.errors import RunError
from medfed.core.study import Study
from medfed.core.study_file import read_study

if TYPE_CHECKING:
    from medfed.services.runs import RunOptions

ENGINES = ("local", "ray", "flower")
PATIENCE_SECONDS = 30.0
SHARE = click.FloatRange(min=0)


@click.command()
@click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="What carries the messages; same bits.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as the last line, in JSON.")
@click.option("--seed", type=click.IntRange(min=0), help="Another seed than the study's.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data; else MEDFED_DATA."
)
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="Processes for the sites; same bits."
)
@click.option(
    "--coordinator",
    help="Flower: a running coordinator, by its folder on this machine or by its URL; without it, "
    "a federation is started here.",
)
@click.option("--cluster", help="Address of a Ray cluster; without it, one is started here.")
@click.option("--cpus", type=SHARE, help="Ray: CPUs of each site; else an equal part of all.")
@click.option("--gpus", type=SHARE, help="Ray: GPUs of each site; else an equal part, if used.")
@click.option(
    "--sites",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of existing site folders (see `medfed site init`).",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Asynchronous studies: repeat the order of arrivals of this run.",
)
@click.option(
    "--encrypt-with",
    metavar="KEY",
    help='Encrypt what lies in the run\'s folder: a key file, or "passphrase" '
    "(from MEDFED_PASSPHRASE).",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    envvar="MEDFED_THREADS",
    help="Threads for the numerics; else MEDFED_THREADS.",
)
@click.option("--record", hidden=True, help="Run and fence of a console, in MEDFED_DATABASE.")
@click.pass_obj
def run(  # noqa: PLR0913, PLR0917  # one argument per option
    settings: Settings,
    study_file: Path,
    engine: str,
    out: Path | None,
    resume: bool,
    as_json: bool,
    seed: int | None,
    data: Path | None,
    workers: int,
    coordinator: str | None,
    cluster: str | None,
    cpus: float | None,
    gpus: float | None,
    sites: Path | None,
    replay: Path | None,
    encrypt_with: str | None,
    threads: int | None,
    record: str | None,
) -> None:
    """Run STUDY over its hospitals and write the result.

    The folder of the run holds checkpoints, metrics, the model, receipts and a report. A run that
    was stopped, or killed, goes on with --resume to the very same model.
    """
    set_up_logs(settings)
    study, text = read_study(study_file), study_file.read_text("utf-8")
    from medfed.services.reports.toml_text import study_toml
    from medfed.services.runs import RunOptions, start  # imports the numerics

    if seed is not None:
        study = study.evolve(seed=seed)
        text = study_toml(study)  # what is kept beside the run is what was run
    if coordinator and coordinator.startswith(("http://", "https://")):
        if encrypt_with:
            message = (
                "a run's key lies where the run does, and this run will lie at the coordinator"
            )
            remedy = "Leave out --encrypt-with; encrypt_with in coordinator.toml encrypts its runs"
            raise RunError(message, remedy=remedy)
        name = out.name if out else default_name(study_file, study)
        end = _submit(coordinator, settings.token, name, text, resume=resume)
        if as_json:
            click.echo(json.dumps(end, ensure_ascii=False))
        else:
            RunProgress(study).show_result(end)
            click.echo(f"{name} is finished; its folder is at the coordinator.")
        return
    folder = out or settings.runs / default_name(study_file, study)

    options = RunOptions(
        out=folder,
        engine=engine,
        coordinator=Path(coordinator) if coordinator else None,
        cluster=cluster,
        cpus=cpus,
        gpus=gpus,
        data=data or (None if coordinator else settings.data),
        resume=resume,
        workers=workers,
        sites=sites,
        threads=threads,
        replay=replay,
        encrypt_with=encrypt_with,
    )
    with RunProgress(study) as progress, ending_on_sigterm():
        try:
            if record:
                result = _recorded(settings.database, record, study, options, text)
            else:
                result = start(study, options, text, progress)
        except KeyboardInterrupt:
            again = _again(study_file, seed, options)
            begun = folder.exists()
            if begun:
                progress.say(f"Nothing is lost. Go on with: {again}")
            raise
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        progress.show_result(result)


def _recorded(
    database: str, record: str, study: Study, options: "RunOptions", text: str
) -> dict[str, Any]:
    """Run a study for a console, which is told everything through its database."""
    from medfed.services.console.outbox import Outbox
    from medfed.services.console.recording import Recorder, recorded
    from medfed.services.console_database import open_database
    from medfed.services.runs import start
    from medfed.storage.run_folder import RunFolder

    run_id, _, fence = record.partition(":")
    recorder = Recorder(
        open_database(database), run_id, int(fence), outbox=Outbox.beside(options.out)
    )
    with recorded(recorder) as tell_result:
        # The process that had the run before may live, out of touch with the database.
        result = start(study, replace(options, patience=PATIENCE_SECONDS), text, recorder)
        recorder.catch_up(RunFolder(options.out).rows())
        tell_result(result)
    return result


def _submit(url: str, token: str, name: str, study: str, *, resume: bool) -> dict[str, Any]:
    """Run a study at a coordinator elsewhere; its result, or the error it ended with."""
    from medfed.services.federation.submit import Control

    control = Control(url, token)
    control.submit(name, study, resume=resume)
    end = control.follow(name, lambda line: click.echo(line, err=True))
    if "error" in end:
        error = end["error"]
        raise RunError(error["message"], remedy=error.get("remedy", ""))
    return end


def _again(study_file: Path, seed: int | None, options: "RunOptions") -> str:
    """The command that goes on with a run that was stopped."""
    given = {
        "--engine": options.engine if options.engine != "local" else None,
        "--coordinator": options.coordinator,
        "--cluster": options.cluster,
        "--cpus": options.cpus,
        "--gpus": options.gpus,
        "--out": options.out,
        "--seed": seed,
        "--data": options.data,
        "--workers": options.workers or None,
        "--sites": options.sites,
        "--replay": options.replay,
    }
    words = [word for name, value in given.items() if value is not None for word in (name, value)]
    return shlex.join(["medfed", "run", str(study_file), *map(str, words), "--resume"])


def default_name(study_file: Path, study: Study) -> str:
    """A folder name that tells studies and seeds apart."""
    return f"{study_file.stem}-{study.digest[:8]}"

"""Starting, resuming and finishing a run on this machine."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from medfed.core.data import Noticed
from medfed.core.errors import RunError
from medfed.core.events import Notice, RunFinished, RunStarted
from medfed.core.files import REFUSED_WRITES
from medfed.core.open_files import allow_many
from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts
from medfed.core.study import Study
from medfed.core.task import Execution
from medfed.core.update import State
from medfed.federation.asynchronous import AsynchronousCoordinator
from medfed.federation.coordinator import STATISTICS, Coordinator
from medfed.federation.exchange import Post
from medfed.services.outlook import outlooks
from medfed.services.outlook_words import too_dear
from medfed.services.prices import prices
from medfed.services.privacy_spent import privacy_of
from medfed.services.run_options import Listener, RunOptions
from medfed.services.run_record import about_model, new_record, result_of
from medfed.services.run_sites import check_engine, open_sites
from medfed.services.run_vault import place_of, run_vault
from medfed.storage.attempts import Attempts
from medfed.storage.ledger import LEDGER, SqliteLedger
from medfed.storage.run_folder import RunFolder

__all__ = ["Listener", "RunOptions", "check_data", "start"]

NEW_LEDGERS = (
    "privacy is counted in ledgers of this run alone, which know nothing of other runs on the same "
    "patients; the hospitals' own ledgers count with --sites or --coordinator"
)


def start(
    study: Study, options: RunOptions, text: str | None = None, on_event: Listener = lambda _: None
) -> dict[str, Any]:
    """Run a study, or go on with it, to its result.

    Args:
        study: The study.
        options: Where and how.
        text: The study as the person wrote it, to keep beside the result.
        on_event: Told everything that happens.

    Returns:
        The result, as ``result.json`` holds it.

    Raises:
        MedfedError: With what is wrong and what to do; what was done so far is kept.
    """
    allow_many()  # each reply that lies in the spool is open until it is summed
    folder = RunFolder(options.out)
    check_engine(options)
    _check_folder(folder, study, options)
    if folder.exists and (result := folder.result()):
        on_event(Notice(f"this run is finished; its result is in {folder.path}"))
        return result
    if folder.exists and options.data is None and (data := folder.record()["data"]):
        options = replace(options, data=Path(data))
    if folder.exists and options.encrypt_with and not folder.record().get("encrypt_with"):
        message = f"the run in {folder.path} was begun without encryption, and would go on open"
        remedy = "Begin it anew with another name or --out, or go on without encrypt_with"
        raise RunError(message, remedy=remedy)
    options = replace(options, encrypt_with=place_of(options.encrypt_with))
    elsewhere = options.sites or options.coordinator
    notices = [] if elsewhere else check_data(study, options.data)
    with _disk_trouble(folder), _locked(folder, options.patience):
        folder.tidy()
        if not folder.exists:
            folder.create(study, text, {**new_record(study, options), "notice": notices})
        options = replace(options, encrypt_with=folder.record().get("encrypt_with"))
        folder.vault = run_vault(folder, options.encrypt_with)
        with _told(folder, options, on_event) as tell:
            for warning in privacy_warnings(study):
                tell(Notice(warning))
            paid = study.privacy or study.statistics or noised_facts(study)
            if paid and not (elsewhere or options.ledgers):
                for notice in (NEW_LEDGERS, *_too_dear(study, folder)):
                    tell(Notice(notice))
            return _go_on(study, folder, options, tell)


def privacy_warnings(study: Study) -> list[str]:
    """Why the study's privacy lines may make it a waste of effort."""
    if not study.privacy:
        return []
    from medfed.privacy.words import all_warnings  # counting takes a second

    return all_warnings(study)


def _too_dear(study: Study, folder: RunFolder) -> list[str]:
    """Why ledgers that begin with the run would stop it; nothing where they have room for it."""
    from medfed.privacy.accountant import LossAccountant  # counting takes a second

    empty = SqliteLedger(folder.path / LEDGER, LossAccountant())  # of which there is no file
    dear = [each for each in outlooks(empty, study, prices(study)) if not each.fits]
    return [too_dear(max(dear, key=lambda each: each.alone))] if dear else []


def check_data(study: Study, data: Path | None) -> list[str]:
    """Open every site's source once, to complain before anything is made.

    Returns:
        What the sources want known of their data, such as that the patients are made up.

    Raises:
        DataError: With the source's own words.
    """
    opener = make("source", study.source)
    opened = [opener.open(data, site, study.sites) for site in study.sites]
    notices = [source.notice for source in opened if isinstance(source, Noticed) and source.notice]
    return list(dict.fromkeys(notices))


def _go_on(
    study: Study, folder: RunFolder, options: RunOptions, on_event: Listener
) -> dict[str, Any]:
    record = folder.record()
    state, notes = folder.load()
    for note in notes:
        on_event(Notice(note))
    resumed = state.round if state else 0
    on_event(
        RunStarted(record["run"], study.digest, study.title, study.sites, study.rounds, resumed)
    )
    channel, post = open_sites(study, folder, options, record, on_event)
    try:
        coordinator = _coordinator(study, post, folder, record, options.replay)
        loaded = [state]  # given away, so that the model begun with does not outlive its round
        del state
        state, reason = _rounds(coordinator, folder, loaded)
        sites = options.sites or folder.path / "sites"
        result = _finish(coordinator, folder, state, record, sites, report=options.report)
    finally:
        channel.close()
    on_event(RunFinished(state.round, reason))
    return result


def _coordinator(
    study: Study, post: Post, folder: RunFolder, record: Mapping[str, Any], replay: Path | None
) -> Coordinator:
    execution = Execution(**record["execution"])
    if not make("strategy", study.strategy).asynchronous:
        return Coordinator(study, post, execution, Attempts(folder.path))
    rows = RunFolder(replay).rows() if replay else []
    # A row is written when the next round scores it, and belongs to the step that made it.
    arrivals = {row["round"]: row["participants"] for row in rows if row["round"]}
    return AsynchronousCoordinator(study, post, execution, arrivals)


def _rounds(
    coordinator: Coordinator, folder: RunFolder, loaded: list[State | None]
) -> tuple[State, str]:
    """All rounds that are left, from the checkpoint that is taken out of ``loaded``."""
    state = loaded.pop()
    if state is None:
        state = coordinator.begin()
        folder.save(state)
        coordinator.settled()
    folder.forget_rows(state.round)
    reason = ""
    while state.round < coordinator.study.rounds:
        reason = coordinator.stop_reason(state)
        if reason:
            break
        new, row = coordinator.round(state)
        if len(new.scores) > len(state.scores) and coordinator.is_best(new.scores):
            _keep_best(coordinator, folder, state)
        state = new  # the one before is not needed while the checkpoint is made
        del new
        folder.add_row(row)
        folder.save(state)
        coordinator.settled()
    return state, reason or "all rounds are done"


def _keep_best(coordinator: Coordinator, folder: RunFolder, state: State) -> None:
    durable = coordinator.study.keep == "best"
    folder.save_best(state, coordinator.scored_on, durable=durable)


def _finish(
    coordinator: Coordinator,
    folder: RunFolder,
    state: State,
    record: Mapping[str, Any],
    sites: Path,
    *,
    report: bool,
) -> dict[str, Any]:
    start = time.perf_counter()
    row = coordinator.close(state)
    score = row["metrics"].get(coordinator.metric)
    if score is not None:
        state = state.evolve(scores={**state.scores, str(state.round): score})
        if coordinator.is_best(state.scores):
            _keep_best(coordinator, folder, state)
    folder.add_row(row)
    chosen = folder.best(state) if coordinator.study.keep == "best" else state
    verdict = coordinator.judge(chosen, last=state.round, finish=True)
    about = about_model(coordinator.study, record, verdict, {**state.facts})
    digest = folder.finish(chosen, {**about, "round": chosen.round})
    seconds = time.perf_counter() - start
    result = result_of(
        study=coordinator.study.digest,
        record=record,
        rows=folder.rows(),
        rounds=state.round,
        verdict=verdict,
        model_sha256=digest,
        seconds=seconds,
        run_dir=folder.path,
    )
    if statistics := state.facts.get(STATISTICS):
        result["statistics"] = list(statistics)
    spent = privacy_of(coordinator.study, sites, record["run"])  # the final figures are paid for
    if spent is not None:
        result["privacy"] = dict(spent)
    if report:
        from medfed.services.reports import write_model_card, write_report  # only now: slow to load

        write_report(folder, result)
        write_model_card(folder, result)
    coordinator.settled()
    folder.save_result(result)  # last: its presence says that all is done
    return result


def _check_folder(folder: RunFolder, study: Study, options: RunOptions) -> None:
    if not folder.path.exists():
        if options.resume:
            message = f"there is no run in {folder.path} to resume"
            raise RunError(message, remedy="Leave out --resume to begin one")
    elif not folder.path.is_dir():
        raise RunError(f"{folder.path} is a file", remedy="Choose a folder with --out")
    elif not folder.exists:
        if not folder.only_begun():
            raise RunError(f"{folder.path} is not empty", remedy="Choose another folder with --out")
    elif not options.resume:
        raise RunError(
            f"{folder.path} holds a run already",
            remedy="Go on with it by --resume, or choose another folder with --out",
        )
    elif folder.study().digest != study.digest:
        raise RunError(
            f"the study has changed since the run in {folder.path} began",
            remedy=f"Run {folder.path / 'study.toml'} to go on, or choose another --out",
        )


@contextmanager
def _told(folder: RunFolder, options: RunOptions, on_event: Listener) -> Iterator[Listener]:
    """Tell the coordinator of a federation too, where there is one."""
    if not options.coordinator:
        yield on_event
        return
    from medfed.services.federation.attached import told

    with told(options.coordinator, folder.record()["run"], folder.path, on_event) as tell:
        yield tell


@contextmanager
def _locked(folder: RunFolder, patience: float) -> Iterator[None]:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.lock(patience)
    try:
        yield
    finally:
        folder.unlock()


@contextmanager
def _disk_trouble(folder: RunFolder) -> Iterator[None]:
    """Say in words that the disk refused; what was whole before still is."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED_WRITES:
            raise
        raise RunError(
            f"the disk under {folder.path} refused a write: {os.strerror(error.errno)}",
            remedy="Mend it, then go on with --resume; the last checkpoint is whole",
        ) from error

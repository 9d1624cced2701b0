"""What the runs of a comparison cost together, and the hospitals' ledgers that pay for them.

Every figure of a recipe was chosen among several that learned from the same patients: it is the sum
of all runs that bounds what they tell. Where the hospitals' ledgers are given, each run pays there;
else in ledgers of its own, as every run on this machine does, and only the sum is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.core.errors import SiteError, StudyError
from medfed.core.ledger import comparable
from medfed.core.mechanism import NoisyAnswer, Unit, merge, without
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.federation.site_folder import SiteFolder
from medfed.federation.site_settings import read_settings
from medfed.services.comparison.recipes import Fit
from medfed.services.outlook_words import PAYS
from medfed.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from medfed.storage.ledger import SqliteLedger

Answers = dict[tuple[str, Unit], list[NoisyAnswer]]
"""By hospital and who pays."""


def check_room(study: Study, todo: Sequence[tuple[Fit, RunFolder]], ledgers: Path) -> None:
    """Complain before anything is trained if a hospital's ledger has no room for all runs.

    Args:
        study: The study.
        todo: The runs that are not finished, with their folders: those that are not begun, and
            those that are gone on with, of which the rest is still to be paid.
        ledgers: Folder of the hospitals' site folders.

    Raises:
        StudyError: A limit would be passed.
        SiteError: A hospital's folder is not there, or its ledger cannot be used.
    """
    books = {site: _book(ledgers / site, site) for site in study.sites}
    for (site, unit), answers in _left_to_pay(todo, books).items():
        after = books[site].after(merge(answers), comparable(study.source), unit)
        if not after.within:
            runs = len(todo)
            message = f"the ledger of {site} has no room for the {runs} runs of this comparison"
            if any(run.exists for _, run in todo):
                message = f"the ledger of {site} has no room for what is left of this comparison"
            remedy = (
                f"Compare less (--recipes, --seeds); `medfed ledger show --site {ledgers / site}` "
                "says what is left, and what may be done"
            )
            raise StudyError(message, remedy=remedy)


def check_payers(study: Study, folders: Iterable[Path], ledgers: Path | None) -> None:
    """Complain about runs that were begun to pay elsewhere than is asked for now.

    Their sites pay where they did; to say otherwise would be untrue.

    Args:
        study: The study; one without privacy lines pays nothing.
        folders: Of the runs that are there already.
        ledgers: Folder of the hospitals' site folders; None for ledgers of the runs' own.

    Raises:
        StudyError: Some run pays elsewhere.
    """
    for folder in folders if study.privacy else ():
        for file in sorted((folder / "sites").glob("*/site.toml")):
            site = file.parent
            pays = read_settings(site).ledger
            if pays == ((ledgers / site.name).resolve() if ledgers else None):
                continue
            message = f"the run {folder.name} was begun with ledgers of its own"
            if pays:
                message = f"the run {folder.name} was begun with the ledger in {pays}"
            remedy = "Give --ledgers as it was given then, or another folder with --out"
            raise StudyError(message, remedy=remedy)


def price_notes(fits: Sequence[Fit], *, paid: bool = False) -> list[str]:
    """What all runs cost a patient, a record or a hospital together, where it is most.

    Args:
        fits: The runs.
        paid: Whether the hospitals' ledgers pay.
    """
    if not any(fit.study.privacy for fit in fits):
        return []
    from medfed.privacy.accountant import epsilon  # counting takes a second

    answers, deltas = _answers(fits), _deltas(fits)
    worst = {
        unit: max(epsilon(own, delta) for (_, of), own in answers.items() if of == unit)
        for unit, delta in deltas.items()
    }
    say = _paid_note if paid else _price_note
    return [say(unit, spent, deltas[unit], len(fits)) for unit, spent in worst.items()]


def _book(folder: Path, site: str) -> "SqliteLedger":
    from medfed.services.sites import open_ledger  # slow import

    name = SiteFolder(folder).settings().name
    if name != site:
        message = f"{folder} is the folder of site {name}"
        raise SiteError(message, remedy=f"Call the folder {name}, as the study does")
    return open_ledger(folder)


def _answers(fits: Iterable[Fit]) -> Answers:
    from medfed.services.prices import prices

    found: Answers = {}
    for fit in fits:
        for price in prices(fit.study):
            found.setdefault((price.site, price.unit), []).extend(price.answers)
    return found


def _left_to_pay(
    todo: Iterable[tuple[Fit, RunFolder]], books: Mapping[str, "SqliteLedger"]
) -> Answers:
    found: Answers = {}
    for fit, run in todo:
        for (site, unit), answers in _answers([fit]).items():
            left = without(answers, _paid(run, books[site], unit))
            found.setdefault((site, unit), []).extend(left)
    return found


def _paid(run: RunFolder, book: "SqliteLedger", unit: Unit) -> list[NoisyAnswer]:
    """What a run has paid and will not pay again: for all that its checkpoint holds.

    A round that was paid for twice counts once. What is paid once a run, for what a site's process
    keeps, is paid anew when the run goes on.
    """
    state = run.load()[0] if run.exists else None
    if state is None or any(make("mechanism", part).once for part in run.study().privacy):
        return []
    own = run.record()["run"]
    done = {
        (e.round, e.order if e.purpose == "query" else "", e.answers)
        for e in book.entries()
        if (e.run, e.unit) == (own, unit) and e.round <= state.round
    }
    return [answer for _, _, answers in done for answer in answers]


def _deltas(fits: Iterable[Fit]) -> dict[Unit, float]:
    found: dict[Unit, float] = {}
    for fit in fits:
        for part in fit.study.privacy:
            mechanism = make("mechanism", part)
            found[mechanism.unit] = min(found.get(mechanism.unit, 1.0), mechanism.delta)
    return found


def _price_note(unit: Unit, spent: float, delta: float, runs: int) -> str:
    return (
        f"the {runs} runs of this comparison together cost {PAYS[unit]} ε = {spent:.3g} at "
        f"δ = {delta:g}, which only the ledgers of these runs know"
    )


def _paid_note(unit: Unit, spent: float, delta: float, runs: int) -> str:
    return (
        f"the {runs} runs of this comparison together cost {PAYS[unit]} ε = {spent:.3g} at "
        f"δ = {delta:g}, paid from the ledgers of the hospitals"
    )

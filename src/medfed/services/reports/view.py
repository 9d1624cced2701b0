"""Everything a report needs from a run's folder, read once and read leniently."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medfed.core.errors import MedfedError, SiteError
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.core.task import Task
from medfed.core.vault import OPEN, Vault
from medfed.federation.keys import load_public
from medfed.federation.receipts import verify_receipt
from medfed.federation.site_folder import RECEIPTS, SiteFolder
from medfed.privacy.at_rest.envelope import ENVELOPE
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.words import Figure
from medfed.services.sites import site_vault
from medfed.storage.run_folder import RunFolder

PNG = b"\x89PNG\r\n\x1a\n"
MOST_PICTURES = 24

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to open the report with."""

    png: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Receipts:
    """What left one site, summed over its receipts of this run.

    Attributes:
        site: The site.
        count: Replies.
        bytes: Their content, without envelopes.
        patients: Training patients; None where no receipt tells, or the study does not.
        last: The last receipt's sentence; empty where the study keeps sites among the sums.
        signed: How many signatures hold.
    """

    site: str
    count: int
    bytes: int
    patients: int | None
    last: str
    signed: int


class RunView:
    """A finished run, as its folder and its result tell it.

    Args:
        folder: The run's folder.
        result: The result, as ``result.json`` holds it.
        say: How it is told.
    """

    def __init__(self, folder: RunFolder, result: Mapping[str, Any], say: Speech = ENGLISH) -> None:
        self.folder = folder
        self.say = say
        self.path: Path = folder.path
        self.result = result
        self.study: Study = folder.study()
        self.record = folder.record()
        self.rows: Sequence[Row] = sorted(folder.rows(), key=lambda row: int(row["round"]))
        self.task: Task = self.study.make_task()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites of the study, in its order; colours go by it."""
        return self.study.sites

    @property
    def shows_sites(self) -> bool:
        """Whether the study lets each site's figures be shown."""
        return self.study.report == "sites"

    @property
    def overall(self) -> Mapping[str, Figure]:
        """The figures over the patients of all sites."""
        return dict(self.result.get("metrics", {}).get("overall") or {})

    @property
    def by_site(self) -> Mapping[str, Mapping[str, Figure]]:
        """The figures of each site that may be and could be shown."""
        if not self.shows_sites:
            return {}
        given = self.result.get("metrics", {}).get("sites") or {}
        return {site: given[site] for site in self.sites if given.get(site)}

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the headline first."""
        names = list(dict.fromkeys([*self.overall, *self.task.higher_is_better]))
        names = [name for name in names if name in self.overall] or [self.task.metric]
        first = self.task.metric if self.task.metric in names else names[0]
        return (first, *(name for name in names if name != first))

    @property
    def headline(self) -> str:
        """The metric shown first."""
        return self.metrics[0]

    def patients(self, site: str = "overall") -> int | None:
        """Test patients scored; None where that is not known or not to be shown."""
        if site != "overall" and not self.shows_sites:
            return None
        known = self.result.get("patients", {}).get(site)
        return int(known) if known else None

    @cached_property
    def trained(self) -> Mapping[str, int]:
        """Training patients of the sites that are known to have told them.

        The receipts of a task's facts tell them, and of a task without facts the updates, which
        weigh as many as their patients; what protects patients may have another weight.
        """
        if not self.shows_sites:
            return {}
        changes = [] if self.study.privacy else [row.get("site_change") or {} for row in self.rows]
        weights = {s: round(how.get("weight", 0)) for each in changes for s, how in each.items()}
        told = {receipts.site: receipts.patients for receipts in self.receipts}
        return {site: n for site in self.sites if (n := told.get(site) or weights.get(site))}

    @property
    def kept_round(self) -> int:
        """The aggregate that became the result."""
        return int(self.result.get("kept_round", self.result.get("rounds", 0)))

    @property
    def scored_sets(self) -> tuple[str, ...]:
        """The sets on which aggregates were scored while the run went on."""
        return tuple(dict.fromkeys(str(row["set"]) for row in self.rows if row.get("set")))

    @cached_property
    def notices(self) -> tuple[str, ...]:
        """What must not be overlooked, such as that the patients are made up."""
        return tuple(map(self.say.again, notices_of(self.record, self.result)))

    @cached_property
    def about_model(self) -> Mapping[str, Any]:
        """The task's words for the model; empty where the facts are not at hand."""
        file = self.path / "facts.json"
        if not file.exists():
            return {}
        return self.task.describe(json.loads(file.read_bytes()))

    @cached_property
    def personal(self) -> bool:
        """Whether each site ended with a model of its own."""
        return bool(make("strategy", self.study.strategy).personal)

    @cached_property
    def sees_sites(self) -> bool:
        """Whether the coordinator could read single sites' updates."""
        return bool(make("aggregator", self.study.aggregator).sees_sites)

    @cached_property
    def receipts(self) -> tuple[Receipts, ...]:
        """The sites' receipts, where the sites' folders lie in the run's and can be opened."""
        folders = {site: self.path / "sites" / site for site in self.sites}
        run, found = str(self.record.get("run")), []
        for site, folder in folders.items():
            if (folder / RECEIPTS).is_dir() and (vault := _vault(folder)):
                found.append(_sum_receipts(site, folder, vault, run, self.shows_sites))
        return tuple(found)

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """Pictures to open with, in the order of their index."""
        folder = self.path / "pictures"
        return tuple(_pictures(folder))[:MOST_PICTURES] if folder.is_dir() else ()

    @cached_property
    def comparison(self) -> Mapping[str, Any] | None:
        """Recipes beside each other, where they were compared."""
        file = self.path / "comparison.json"
        value = json.loads(file.read_bytes()) if file.exists() else None
        return value if isinstance(value, Mapping) and value.get("summary") else None

    def repeat(self, *, here: bool = True) -> list[str]:
        """The command that makes the same model again, as words.

        Args:
            here: With the places on this machine; else, for what goes elsewhere, with names only.
        """
        file = self.path / "study.toml"
        study = str(file.resolve()) if here and file.exists() else file.name
        words = ["medfed", "run", study, "--out", "another-folder"]
        if file.exists() and (seed := _seed(file)) != self.study.seed and seed is not None:
            words += ["--seed", str(self.study.seed)]
        if coordinator := self.record.get("coordinator"):  # its sites have the data
            words += ["--engine", "flower", "--coordinator", coordinator if here else "COORDINATOR"]
        if data := self.record.get("data"):
            words += ["--data", data if here else "DATA"]
        threads = self.record.get("execution", {}).get("threads")
        return [*map(str, words), *(["--threads", str(threads)] if threads else [])]


def notices_of(*records: Mapping[str, Any]) -> tuple[str, ...]:
    """The notices of records or results, each once."""
    found: list[str] = []
    for given in (record.get("notice") for record in records):
        found += [given] if isinstance(given, str) else [str(text) for text in given or ()]
    return tuple(dict.fromkeys(text for text in found if text.strip()))


def _seed(file: Path) -> int | None:
    try:
        return parse_study(file.read_text("utf-8")).seed
    except (MedfedError, tomllib.TOMLDecodeError):
        return None


def _vault(folder: Path) -> Vault | None:
    """What opens a site's folder; None where its key is elsewhere."""
    try:
        return site_vault(folder) if (folder / ENVELOPE).exists() else OPEN
    except SiteError:
        return None


def _sum_receipts(site: str, folder: Path, vault: Vault, run: str, shows_sites: bool) -> Receipts:
    receipts = [r for r in SiteFolder(folder, vault).receipts() if r.get("run", run) == run]
    # Replies to training orders count the patients they scored too; those to queries do not.
    trained = [int(r.get("patients", 0)) for r in receipts if r.get("purpose") == "query"]
    last = str(receipts[-1].get("sentence", "")) if receipts else ""
    return Receipts(
        site=site,
        count=len(receipts),
        bytes=sum(int(r.get("bytes", 0)) for r in receipts),
        patients=max(trained) if trained and shows_sites else None,
        last=last if shows_sites else "",
        signed=_signed(receipts, folder / "key.pub"),
    )


def _signed(receipts: Sequence[dict[str, Any]], key_file: Path) -> int:
    """How many carry a signature of the site that holds."""
    good = 0
    try:
        key = load_public(key_file)
    except MedfedError:
        return 0
    for receipt in receipts:
        try:
            verify_receipt(receipt, key)
        except (MedfedError, ValueError):
            continue
        good += 1
    return good


def _pictures(folder: Path) -> Iterator[Picture]:
    for file, caption in _index(folder):
        path = folder / Path(file).name  # never outside the folder, whatever the index says
        if path.is_file() and not path.is_symlink():
            png = path.read_bytes()
            if png.startswith(PNG):
                yield Picture(png, caption)


def _index(folder: Path) -> list[tuple[str, str]]:
    index = folder / "index.json"
    if index.exists():
        listed = json.loads(index.read_bytes())
        return [(str(i["file"]), str(i.get("caption", ""))) for i in listed]
    return [(file.name, file.stem.replace("_", " ")) for file in sorted(folder.glob("*.png"))]

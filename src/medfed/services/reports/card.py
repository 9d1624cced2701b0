"""The model card: what the model is for, what it stands on, and what it cannot promise.

After M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medfed.core.errors import RunError
from medfed.core.files import write_atomic, write_json
from medfed.services.reports import sections, words
from medfed.services.reports.retold import LATER, retold
from medfed.services.reports.sections.study import part_text
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.told import told
from medfed.services.reports.view import RunView
from medfed.storage.run_folder import RunFolder

NAME, DATA_NAME = "model_card.md", "model_card.json"
SCHEMA = 2
"""Version of what ``model_card.json`` holds."""
TOLD = "told"
"""Under which it holds what the card is told of in any language; see `retell`."""
MOST_SITES = 40


def write_model_card(folder: RunFolder, result: Mapping[str, Any]) -> Path:
    """Write ``model_card.md`` and ``model_card.json`` into a run's folder.

    Args:
        folder: The run's folder.
        result: The result, as ``result.json`` holds it.

    Returns:
        The former, whole or absent.
    """
    path, view = folder.path / NAME, RunView(folder, result)
    told = contents(RunView(folder, result, LATER))
    write_json(folder.path / DATA_NAME, {**as_data(view), TOLD: told})
    write_atomic(path, render(contents(view), view.say).encode())
    return path


def card_in(path: Path, say: Speech) -> bytes:
    """A finished run's card in a language, as Markdown.

    Args:
        path: Its ``model_card.md``.
        say: The language.
    """

    def make() -> str:
        folder = RunFolder(path.parent)
        result = folder.result()
        if result is None:
            raise RunError(f"the run in {path.parent} is not finished")
        return render(contents(RunView(folder, result, say)), say)

    return told(path, say, make)


def retell(data: Any, say: Speech = ENGLISH) -> str:
    """A card in a language, of what `write_model_card` put into ``model_card.json``.

    Args:
        data: What stands there under ``told``; it may come from elsewhere.
        say: The language.

    Returns:
        Markdown; empty where the data are none of a card that this program knows.
    """
    try:
        return render(retold(data, say), say)
    except Exception:  # noqa: BLE001  # whatever somebody sent, the filed text is there to show
        return ""


def as_data(view: RunView) -> dict[str, Any]:
    """The card as plain data, for programs; in English, whoever reads it."""
    study, facts = view.study, sections.repeat.section(view)
    return {
        "schema": SCHEMA,
        "title": study.title,
        "use": "research use only; not a medical device",
        "question": study.question,
        "guideline": study.guideline.to_json() if study.guideline else None,
        "notices": list(view.notices),
        "model": dict(sections.study.model_words(view)),
        "gives": str(view.about_model.get("outputs", "")),
        "figures": dict(view.result.get("metrics", {})),
        "patients": dict(view.result.get("patients", {})),
        "meanings": dict(_meanings(view.metrics, view.say)),
        "importance": dict(view.result.get("importance") or {}),
        "training": dict(_training(view)),
        "limits": [str(note) for note in sections.notes.section(view)],
        "privacy": sections.receipts.privacy_sentences(view),
        "provenance": dict([*facts["digests"], *facts["facts"]]),
        "made_with": facts["versions"],
    }


def contents(view: RunView) -> dict[str, Any]:
    """What the card says, as plain data in the view's language."""
    study, facts = view.study, sections.repeat.section(view)
    return {
        "title": study.title,
        "question": study.question,
        "guideline": study.guideline.to_json() if study.guideline else None,
        "notices": view.notices,
        "model": sections.study.model_words(view),
        "outputs": view.say.again(str(view.about_model.get("outputs", ""))),
        "sentence": sections.headline.sentence(view),
        "data": _data(view),
        "metrics": view.metrics,
        "table": _table(view),
        "why_not": "" if view.by_site else sections.results.why_no_sites(view),
        "more": max(0, len(view.sites) - MOST_SITES),
        "training": _training(view),
        "notes": sections.notes.section(view),
        "inputs": sections.importance.sentence(view),
        "privacy": sections.receipts.privacy_sentences(view),
        "digests": [*facts["digests"], *facts["facts"]],
        "versions": facts["versions"],
        "command": shlex.join(view.repeat(here=False)),
    }


def render(card: Mapping[str, Any], say: Speech) -> str:
    """The card as Markdown.

    Args:
        card: Its `contents`, in the same language.
        say: The language.
    """
    environment = Environment(
        loader=PackageLoader("medfed.services.reports"),
        autoescape=True,
        finalize=markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words_of = {
        "say": _spoken(say),
        "metrics": [words.metric_title(name, say) for name in card["metrics"]],
        "meanings": _meanings(card["metrics"], say),
        "command": code(card["command"]),
    }
    return environment.get_template("model_card.md").render({**card, **words_of})


def markdown(value: Any) -> Any:
    """Text that cannot turn into markup, whatever it says; what is markup already stays.

    Jinja2 puts every expression of the template through this.
    """
    if isinstance(value, Markup):
        return value
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(re.sub(r"([\\`*_\[\]{}|#~$])", r"\\\1", text))  # noqa: S704  # escaped just now


def _spoken(say: Speech) -> Callable[..., Markup]:
    """Says the template's sentences, whose markup is ours; what stands in their places is not."""

    def spoken(sentence: str, /, **places: object) -> Markup:
        safe = {name: markdown(value) for name, value in places.items()}
        return Markup(say(sentence, **safe))  # noqa: S704  # a constant, and what was escaped

    return spoken


def code(text: str) -> Markup:
    """Text for inside a fence, which it cannot close."""
    return Markup(" ".join(text.split()).replace("`", "'"))  # noqa: S704  # Markdown, fenced


def _data(view: RunView) -> list[tuple[str, Any, Any]]:
    trained = view.trained
    rows: list[tuple[str, Any, Any]] = [
        (site, trained.get(site, words.NOTHING), view.patients(site) or words.NOTHING)
        for site in view.sites[:MOST_SITES]
    ]
    total = sum(trained.values()) if len(trained) == len(view.sites) else 0
    overall = (view.say("all sites"), total or words.NOTHING, view.patients() or words.NOTHING)
    return [*(rows if view.shows_sites else []), overall]


def _table(view: RunView) -> list[tuple[str, list[str]]]:
    rows = {view.say("all sites"): view.overall, **dict(list(view.by_site.items())[:MOST_SITES])}
    return [
        (name, [words.figure_text(figures.get(metric)) for metric in view.metrics])
        for name, figures in rows.items()
    ]


def _meanings(metrics: Sequence[str], say: Speech) -> list[tuple[str, str]]:
    named = {m: words.metric_title(m, say) for m in metrics}
    told = [(name, words.metric_meaning(m, say)) for m, name in named.items()]
    return [(name, meaning) for name, meaning in told if meaning]


def _training(view: RunView) -> list[tuple[str, str]]:
    study, say = view.study, view.say
    packed = study.compression
    rounds = say(
        "{rounds} of {planned}; the aggregate of round {kept} was kept",
        rounds=int(view.result.get("rounds", 0)),
        planned=study.rounds,
        kept=view.kept_round,
    )
    rows = [
        (say("strategy"), part_text(study.strategy, say)),
        (say("aggregator"), part_text(study.aggregator, say)),
        (say("compression"), part_text(packed, say) if packed else say("none")),
        (say("split"), part_text(study.split, say)),
        (say("rounds"), rounds),
        (say("sites a round"), _sites_a_round(view)),
        (say("seed"), str(study.seed)),
    ]
    if study.cohort.where:
        rows.insert(0, (say("patients"), "; ".join(study.cohort.where)))
    return rows


def _sites_a_round(view: RunView) -> str:
    many = [len(row["participants"]) for row in view.rows if "participants" in row]
    if not many:
        return words.NOTHING
    low, high, all_sites = min(many), max(many), len(view.sites)
    if low == high:
        return view.say("{some} of {all}", some=low, all=all_sites)
    return view.say("{low} to {high} of {all}", low=low, high=high, all=all_sites)

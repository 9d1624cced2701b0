"""The study's parts, and the whole of it."""

from typing import Any

from medfed.core.errors import PartError
from medfed.core.registry import Part, load
from medfed.services.reports import words
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView

_KINDS = ("task", "source", "split", "strategy", "aggregator", "compression")


def section(view: RunView) -> dict[str, Any]:
    """The study's parts with their options, and the whole of it as TOML."""
    given = {kind: getattr(view.study, kind) for kind in _KINDS}
    parts = [(kind, part) for kind, part in given.items() if part is not None]
    parts += [("mechanism", part) for part in view.study.privacy]
    rows = [
        {
            "kind": "privacy" if kind == "mechanism" else kind,
            "name": part.name,
            "about": _about(kind, part),
            "options": [(name, words.option_text(value)) for name, value in part.options.items()],
        }
        for kind, part in parts
    ]
    return {"parts": rows, "toml": study_toml(view.study), "model": model_words(view)}


def part_text(part: Part) -> str:
    """A part in a line: its name and options."""
    given = {name: value for name, value in part.options.items() if value is not None}
    options = ", ".join(f"{name} {words.option_text(value)}" for name, value in given.items())
    return f"{part.name} ({options})" if options else part.name


def model_words(view: RunView) -> list[tuple[str, str]]:
    """The task's words for the model, each as text."""
    return [(name, words.option_text(value)) for name, value in view.about_model.items()]


def _about(kind: str, part: Part) -> str:
    """The part in its own words; nothing where it is not installed any more."""
    try:
        doc = load(kind, part.name).__doc__ or ""
    except PartError:
        return ""
    return doc.strip().split("\n", 1)[0]

"""The study's parts, and the whole of it."""

from collections.abc import Mapping
from typing import Any

from medfed.core.errors import PartError
from medfed.core.registry import Part, load
from medfed.services.part_list import summary
from medfed.services.reports import words
from medfed.services.reports.speech import ENGLISH, Speech, later
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView

_KINDS = ("task", "source", "split", "strategy", "aggregator", "compression")
_SAID = {
    "task": later("task"),
    "source": later("source"),
    "split": later("split"),
    "strategy": later("strategy"),
    "aggregator": later("aggregator"),
    "compression": later("compression"),
    "privacy": later("privacy"),
}
_ABOUT = {
    "model": later("model"),
    "inputs": later("inputs"),
    "outputs": later("outputs"),
    "candidates": later("candidates"),
    "rounds scored on": later("rounds scored on"),
    "parameters": later("parameters"),
    "scaling": later("scaling"),
    "missing values": later("missing values"),
    "training": later("training"),
    "patch": later("patch"),
    "patches on a nodule": later("patches on a nodule"),
    "nodules among candidates": later("nodules among candidates"),
    "loss": later("loss"),
    "augmentation": later("augmentation"),
    "activation": later("activation"),
    "norm": later("norm"),
    "dropout": later("dropout"),
}
"""What the built-in tasks tell of their models; others' words stay as they are."""


def section(view: RunView) -> dict[str, Any]:
    """The study's parts with their options, and the whole of it as TOML."""
    say = view.say
    given = {kind: getattr(view.study, kind) for kind in _KINDS}
    parts = [(kind, part) for kind, part in given.items() if part is not None]
    parts += [("privacy", part) for part in view.study.privacy]
    rows = [
        {
            "kind": say(_SAID[kind]),
            "name": part.name,
            "about": say.again(_about("mechanism" if kind == "privacy" else kind, part)),
            "options": [
                (name, words.option_text(value, say)) for name, value in part.options.items()
            ],
        }
        for kind, part in parts
    ]
    return {"parts": rows, "toml": study_toml(view.study), "model": model_words(view)}


def part_text(part: Part, say: Speech = ENGLISH) -> str:
    """A part in a line: its name and options."""
    given = {name: value for name, value in part.options.items() if value is not None}
    told = (f"{name} {words.option_text(value, say)}" for name, value in given.items())
    options = say(", ").join(told)
    return say("{part} ({options})", part=part.name, options=options) if options else part.name


def model_words(view: RunView) -> list[tuple[str, str]]:
    """The task's words for the model, each as text."""
    about = view.about_model.items()
    return [(_called(name, view.say), _told(value, view.say)) for name, value in about]


def _called(name: str, say: Speech) -> str:
    return say(_ABOUT[name]) if name in _ABOUT else name


def _told(value: Any, say: Speech) -> str:
    """What a task says of its model: sentences of its own, alone or within lists and tables."""
    if isinstance(value, str):
        return say.again(value)
    if isinstance(value, Mapping):
        told = (f"{_called(name, say)} {_told(item, say)}" for name, item in value.items())
        return say(", ").join(told)
    if isinstance(value, (list, tuple)):
        return say(", ").join(_told(item, say) for item in value) or say("none")
    return words.option_text(value, say)


def _about(kind: str, part: Part) -> str:
    """The part in its own words; nothing where it is not installed any more."""
    try:
        return summary(load(kind, part.name))
    except PartError:
        return ""

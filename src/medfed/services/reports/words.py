"""Figures as people read them: no more digits than they deserve, and units in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medfed.services.reports.speech import ENGLISH, Speech, later

Figure = Mapping[str, float | None]
"""A value with the bounds of its 95 % interval, as results hold it."""

NOTHING = "–"

_NAMES = {
    "auc": later("AUC"),
    "accuracy": later("accuracy"),
    "balanced_accuracy": later("balanced accuracy"),
    "sensitivity": later("sensitivity"),
    "specificity": later("specificity"),
    "brier": later("Brier score"),
    "dice": later("Dice"),
    "pooled_dice": later("pooled Dice"),
    "iou": later("IoU"),
    "fps": later("false positives"),
    "false_positives": later("false positives a patient"),
    "loss": later("loss"),
    "reach": later("reach"),
    "c_index": later("c index"),
    "sensitivity_at_1_8": later("sensitivity at 1/8 false positives a scan"),
    "sensitivity_at_1_4": later("sensitivity at 1/4"),
    "sensitivity_at_1_2": later("sensitivity at 1/2"),
    "sensitivity_at_1": later("sensitivity at 1"),
    "sensitivity_at_2": later("sensitivity at 2"),
    "sensitivity_at_4": later("sensitivity at 4"),
    "sensitivity_at_8": later("sensitivity at 8"),
}
_ACRONYMS = {
    "auc": "AUC",
    "cpm": "CPM",
    "froc": "FROC",
    "mae": "MAE",
    "rmse": "RMSE",
    "hd95": "HD95",
}
_MEANINGS = {
    "auc": later(
        "the chance that a positive patient gets a higher score than a negative one; 0.5 is "
        "guessing, 1 is perfect"
    ),
    "accuracy": later("the share of patients classified rightly"),
    "balanced_accuracy": later("the mean of sensitivity and specificity"),
    "sensitivity": later("the share of positive patients that are found"),
    "specificity": later("the share of negative patients that are left alone"),
    "brier": later("the mean squared error of the predicted probabilities; lower is better"),
    "dice": later("the overlap of the predicted and the true outline; 1 is perfect"),
    "iou": later("the shared part of the predicted and the true outline; 1 is perfect"),
    "cpm": later(
        "the mean sensitivity at 1/8 to 8 false positives a scan, as in LUNA16; 1 is perfect"
    ),
    "reach": later("the share of nodules that any candidate hits; no score can find more"),
    "c_index": later("the share of pairs of patients put in the right order; 0.5 is guessing"),
    "loss": later("what training makes small; lower is better"),
}


def metric_name(name: str, say: Speech = ENGLISH) -> str:
    """A metric's name for people; a plug-in's as the plug-in calls it."""
    if name in _NAMES:
        return say(_NAMES[name])
    words = name.replace("_", " ").replace("-", " ").split()
    return " ".join(_ACRONYMS.get(word, word) for word in words)


def metric_title(name: str, say: Speech = ENGLISH) -> str:
    """A metric's name where it stands by itself."""
    return first_capital(metric_name(name, say))


def metric_meaning(name: str, say: Speech = ENGLISH) -> str:
    """What a metric says, in a clause; empty where we have no words for it."""
    meaning = _MEANINGS.get(name.replace("-", "_"), "")
    return say(meaning) if meaning else ""


_RECIPES = (
    *(later("federated"), later("local"), later("leave-one-out"), later("pooled")),
    *(later("alone"), later("untrained"), later("all-background")),
)


def recipe_name(name: str, say: Speech = ENGLISH) -> str:
    """A way of learning; a strategy or a study file as it is called."""
    return say(name) if name in _RECIPES else name


def first_capital(text: str) -> str:
    """The text with its first letter as a sentence needs it."""
    return text[:1].upper() + text[1:]


def decimals(figure: Figure) -> int:
    """How many decimals a value deserves: two where its interval is wide, or more."""
    low, high = figure.get("low"), figure.get("high")
    if not finite(low) or not finite(high):
        return 3
    width = abs(float(high or 0) - float(low or 0))
    if width == 0:
        return 2
    small = max(abs(float(low or 0)), abs(float(high or 0))) < 0.1
    return min(4 if small else 3, max(2, math.ceil(-math.log10(width)) + 1))


def number(value: float | None, places: int = 3) -> str:
    """A value with fixed decimals; a dash where there is none."""
    if value is None or not finite(value):
        return NOTHING
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    text = f"{value:.{places}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def value_text(figure: Figure | None) -> str:
    """The value alone, with the digits that its interval allows."""
    return number(figure.get("value"), decimals(figure)) if figure else NOTHING


def bounds_text(figure: Figure | None, say: Speech = ENGLISH, *, spoken: bool = False) -> str:
    """The bounds, as in ``0.94–1.00``; empty where none were computed.

    Args:
        figure: The figure.
        say: In which language.
        spoken: For a sentence: with a word between them, as beside a minus.
    """
    if not figure or not finite(figure.get("low")) or not finite(figure.get("high")):
        return ""
    places = decimals(figure)
    return span_text(number(figure["low"], places), number(figure["high"], places), say, spoken)


def span_text(low: str, high: str, say: Speech = ENGLISH, spoken: bool = False) -> str:
    """Two bounds, with a word between them in a sentence or where a dash looks like a minus."""
    if spoken or "−" in low:
        return say("{low} to {high}", low=low, high=high)
    return f"{low}–{high}"


def figure_text(figure: Figure | None) -> str:
    """Value and interval in one line, for the model card and labels."""
    bounds = bounds_text(figure)
    return f"{value_text(figure)} [{bounds}]" if bounds else value_text(figure)


def pair(figure: Figure | None, say: Speech = ENGLISH) -> tuple[str, str]:
    """Value and bounds apart, for a table's cell."""
    return value_text(figure), bounds_text(figure, say)


def finite(value: Any) -> bool:
    """Whether it is a number that can be shown."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def bytes_text(size: float | None, say: Speech = ENGLISH) -> str:
    """Bytes in the unit that people read."""
    if size is None or not finite(size):
        return NOTHING
    for unit, step in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return (
                f"{size / step:.3g} {unit}" if size < 999.5 * step else f"{size / step:.0f} {unit}"
            )
    return say("{size} bytes", size=f"{size:.0f}")


def duration_text(seconds: float | None) -> str:
    """A duration in the units that people use."""
    if seconds is None or not finite(seconds):
        return NOTHING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(many: int, what: str, plural: str = "") -> str:
    """A count with its noun: ``1 site``, ``3 sites``."""
    return f"{many} {what if many == 1 else plural or what + 's'}"


def listing(items: Sequence[str], most: int = 6, say: Speech = ENGLISH) -> str:
    """Names in a sentence, a long list cut short."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(say("{count} more", count=len(items) - most))
    if len(shown) < 2:
        return "".join(shown)
    return say("{names} and {last}", names=say(", ").join(shown[:-1]), last=shown[-1])


def option_text(value: Any, say: Speech = ENGLISH) -> str:
    """A part's option as people read it."""
    if value is None:
        return say("not set")
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, Mapping):
        return say(", ").join(f"{name} {option_text(item, say)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return say(", ").join(option_text(item, say) for item in value) or say("none")
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}".replace(",", "\u202f")
    return str(value)


def rounds_text(rounds: Sequence[int]) -> str:
    """Round numbers, neighbours joined: ``1–3, 7``."""
    spans: list[list[int]] = []
    for round_ in sorted(rounds):
        if spans and round_ == spans[-1][1] + 1:
            spans[-1][1] = round_
        else:
            spans.append([round_, round_])
    parts = [str(a) if a == b else f"{a}–{b}" for a, b in spans]
    return ", ".join(parts[:12]) + (", …" if len(parts) > 12 else "")


def shorten(text: str, most: int = 26) -> str:
    """A label that fits beside a chart."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"

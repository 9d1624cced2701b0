"""Is it worth it for us? What a comparison found, in sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medfed.services.comparison.statistics import MEAN
from medfed.services.reports import words
from medfed.services.reports.speech import ENGLISH, Speech, later

Found = Mapping[str, Any]

_AGAINST = {
    "local": later("each hospital alone"),
    "leave-one-out": later("without the hospital's own data"),
    "pooled": later("all patients in one place"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """The sentences by kind.

    Attributes:
        opening: The first recipe's figure.
        caution: What one seed alone cannot show; empty where there are more.
        against: A sentence on each other recipe, with one for each hospital.
        notes: What else must be known.
    """

    opening: str
    caution: str
    against: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known beside the differences."""
        return tuple(filter(None, (self.caution, *self.notes)))

    @property
    def text(self) -> str:
        """All of it, a sentence a line."""
        lines = [self.opening, self.caution]
        for line, hospitals in self.against:
            lines += [line, *(f"  {hospital}" for hospital in hospitals)]
        return "\n".join(line for line in (*lines, *self.notes) if line)


def statement(found: Found, say: Speech = ENGLISH) -> Statement:
    """What the figures of the metric asked for say.

    Args:
        found: The answer, as ``comparison.json`` holds it.
        say: In which language.
    """
    speaker = _Speaker(found, say)
    return Statement(
        speaker.opening(), speaker.caution(), tuple(speaker.against()), tuple(speaker.notes())
    )


class _Speaker:
    """Says what one comparison found."""

    def __init__(self, found: Found, say: Speech) -> None:
        self.found, self.say = found, say
        self.metric, self.seeds = found["metric"], len(found["seeds"])
        summary = [row for row in found["summary"] if row["metric"] == self.metric]
        self.figures = {(row["recipe"], row["site"]): row for row in summary}

    def opening(self) -> str:
        """The first recipe's figure."""
        say, first = self.say, next(iter(self.found["recipes"]))
        figure = self.figures.get((first, MEAN))
        if figure is None:
            return say(
                "{metric} is undefined here: the test patients are too few.",
                metric=words.metric_title(self.metric, say),
            )
        recipe, metric = words.recipe_name(first, say), words.metric_name(self.metric, say)
        return say.many(
            "{recipe}: mean {metric} of {sites} hospitals {figure}, over one seed.",
            "{recipe}: mean {metric} of {sites} hospitals {figure}, over {many} seeds.",
            self.seeds,
            recipe=recipe,
            metric=metric,
            sites=len(self.found["test_patients"]),
            figure=_figure(figure),
        )

    def caution(self) -> str:
        """What one seed alone cannot show."""
        first = next(iter(self.found["recipes"]))
        if self.seeds != 1 or (first, MEAN) not in self.figures:
            return ""
        return self.say(
            "One seed only: the differences below may be the chance of one training run, and none "
            "is claimed. Compare with several (--seeds 5)."
        )

    def against(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The first recipe against each other, over the hospitals and at each."""
        many = [row for row in self.found["differences"] if row["metric"] == self.metric]
        for against in dict.fromkeys(row["against"] for row in many):
            own = {row["site"]: row for row in many if row["against"] == against}
            sites = [site for site in self.found["test_patients"] if site in own]
            hospitals = filter(None, (self._at(own[site]) for site in sites))
            if MEAN in own:
                yield self._over_all(own[MEAN]), tuple(hospitals)

    def notes(self) -> Iterator[str]:
        """What else must be known."""
        say = self.say
        if ("pooled", MEAN) in self.figures:
            yield say(
                "{recipe} is a yardstick only: it needs all patients in one place, as on this "
                "machine.",
                recipe=words.recipe_name("pooled", say),
            )
        for note in self.found["notes"]:
            yield say("Note: {note}.", note=say.again(note))

    def _over_all(self, difference: Mapping[str, Any]) -> str:
        say, against = self.say, difference["against"]
        other = words.recipe_name(against, say)
        if against in _AGAINST:
            other = say("{recipe} ({meaning})", recipe=other, meaning=say(_AGAINST[against]))
        if theirs := self.figures.get((against, MEAN)):
            other = say("{recipe} {figure}", recipe=other, figure=_figure(theirs))
        told = self._difference(difference)
        return say("Against {recipe}: {difference}.", recipe=other, difference=told)

    def _at(self, difference: Mapping[str, Any]) -> str:
        say, site = self.say, difference["site"]
        recipe, against = difference["recipe"], difference["against"]
        ours, theirs = self.figures.get((recipe, site)), self.figures.get((against, site))
        if ours is None or theirs is None:
            return ""
        return say(
            "for {site}: {recipe} {ours} against {other} {theirs}, {difference}.",
            site=site,
            recipe=words.recipe_name(recipe, say),
            ours=_number(ours["value"]),
            other=words.recipe_name(against, say),
            theirs=_number(theirs["value"]),
            difference=self._difference(difference),
        )

    def _difference(self, difference: Mapping[str, Any]) -> str:
        say, value = self.say, _signed(difference["value"])
        if difference["low"] is None:
            told = say("difference {value}", value=value)
        else:
            low, high = _signed(difference["low"]), _signed(difference["high"])
            told = say("difference {value} [{low}, {high}]", value=value, low=low, high=high)
        if better := difference["better"]:
            recipe = words.recipe_name(better, say)
            return say("{difference}: {recipe} is better", difference=told, recipe=recipe)
        if self.seeds < 2:
            return say("{difference}: nothing is claimed from one seed", difference=told)
        return say("{difference}: no difference shown", difference=told)


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return _number(figure["value"])
    return f"{_number(figure['value'])} [{_number(figure['low'])}, {_number(figure['high'])}]"


def _number(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")

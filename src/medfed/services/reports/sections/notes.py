"""What a reader must know before believing a figure."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import words
from medfed.services.reports.view import RunView


def section(view: RunView) -> list[str]:
    """What a reader must know before believing a figure."""
    say, found = view.say, [_note_on_sets(view), _note_on_keeping(view)]
    if any(words.bounds_text(figure) for figure in view.overall.values()):
        found.append(
            say(
                "An interval says how far a figure could move with other test patients of the same "
                "kind. It does not hold the luck of one training run: another seed gives another "
                "model. Intervals are not corrected for looking at several metrics and sites."
            )
        )
    if any(_no_width(f) for m in (view.overall, *view.by_site.values()) for f in m.values()):
        found.append(
            say(
                "An interval without width, such as 1.00–1.00, does not mean certainty: drawing "
                "these few patients again never met an error, and other patients may well bring "
                "one."
            )
        )
    few = _note_on_numbers(view)
    if few:
        found.append(few)
    if view.personal:
        found.append(
            say(
                "The strategy personalises: the figures are those of each site’s own model on its "
                "own test patients. The model file holds the shared part only."
            )
        )
    return found


def _no_width(figure: Mapping[str, Any]) -> bool:
    return words.finite(figure.get("low")) and figure.get("low") == figure.get("high")


def _note_on_sets(view: RunView) -> str:
    if "test" in view.scored_sets:
        return view.say(
            "The study has no validation patients, so the curves are drawn on the test patients. "
            "Nothing in this run depended on them: it stopped for no metric and kept the last "
            "aggregate. Whoever changes the study after looking at these curves does use them."
        )
    return view.say(
        "The curves are on validation patients; the figures and intervals are on test patients, "
        "who were neither trained on nor used to stop the run or to choose the model."
    )


def _note_on_keeping(view: RunView) -> str:
    say, study, rounds = view.say, view.study, int(view.result.get("rounds", 0))
    if study.keep == "best":
        kept = say(
            "The best aggregate by {metric} on validation patients was kept, that of round {kept}.",
            metric=words.metric_name(study.metric, say),
            kept=view.kept_round,
        )
    else:
        kept = say("The last aggregate was kept, that of round {kept}.", kept=view.kept_round)
    if not study.stop or rounds >= study.rounds:
        return kept
    stopped = say(
        "The run stopped after {rounds} of {planned} rounds: {metric} on validation patients no "
        "longer improved.",
        rounds=rounds,
        planned=study.rounds,
        metric=words.metric_name(study.stop.metric, say),
    )
    return say("{sentence} {next}", sentence=kept, next=stopped)


def _note_on_numbers(view: RunView) -> str:
    say, few = view.say, [site for site in view.sites if 0 < (view.patients(site) or 0) < 50]
    overall = view.patients()
    if few:
        who = words.listing(few, say=say)
        if len(few) >= 5:
            who = say("{few} of {many} sites", few=len(few), many=len(view.sites))
        return say(
            "With fewer than 50 test patients at {who}, intervals are wide there, and differences "
            "between sites may be chance.",
            who=who,
        )
    if overall and overall < 200:
        return say("With {patients} test patients in all, intervals are wide.", patients=overall)
    return ""

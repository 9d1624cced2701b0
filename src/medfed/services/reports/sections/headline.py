"""The result in a sentence, and the few figures that belong beside it."""

from typing import Any

from medfed.services.reports import words
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any]:
    """The result in a sentence, and the few figures that belong beside it."""
    figure = view.overall.get(view.headline)
    return {
        "sentence": sentence(view),
        "meaning": words.metric_meaning(view.headline, view.say),
        "metric": words.metric_title(view.headline, view.say),
        "value": words.value_text(figure),
        "bounds": words.bounds_text(figure, view.say),
        "tiles": _tiles(view),
    }


def sentence(view: RunView) -> str:
    """Metric, interval, patients, sites and rounds, in plain words."""
    say, figure = view.say, view.overall.get(view.headline)
    metric = words.metric_name(view.headline, say)
    if not figure or not words.finite(figure.get("value")):
        return say(
            "No {metric} could be computed on the held-out test patients, after {rounds} at "
            "{sites}.",
            metric=metric,
            rounds=say.many("{many} round", "{many} rounds", int(view.result.get("rounds", 0))),
            sites=say.many("{many} site", "{many} sites", len(view.sites)),
        )
    about = {"who": _who(view), "model": _which_model(view), "metric": metric}
    about["value"] = words.value_text(figure)
    if bounds := words.bounds_text(figure, say, spoken=True):
        return say(
            "On {who}, {model} reaches {metric} {value} (95 % interval {bounds}).",
            bounds=bounds,
            **about,
        )
    return say("On {who}, {model} reaches {metric} {value}.", **about)


def _who(view: RunView) -> str:
    say, total, known = view.say, len(view.sites), view.patients()
    scored = sum(bool(view.patients(site)) for site in view.sites)
    if 0 < scored < total:
        sites = say.many(
            "{scored} of {many} site", "{scored} of {many} sites", total, scored=scored
        )
    else:
        sites = say.many("{many} site", "{many} sites", total)
    if known:
        patients = say.many("{many} held-out test patient", "{many} held-out test patients", known)
    else:
        patients = say("the held-out test patients")
    return say("{patients} of {sites}", patients=patients, sites=sites)


def _which_model(view: RunView) -> str:
    say, rounds = view.say, int(view.result.get("rounds", 0))
    if view.kept_round == 0:
        return say("the untrained model")
    own = view.personal
    model = say("each site’s own personalised model") if own else say("the federated model")
    if view.study.keep == "last":
        return say.many(
            "{model} after {many} round of training (the last aggregate)",
            "{model} after {many} rounds of training (the last aggregate)",
            rounds,
            model=model,
        )
    return say.many(
        "{model} of round {kept}, the best of {many} round on the validation patients,",
        "{model} of round {kept}, the best of {many} rounds on the validation patients,",
        rounds,
        model=model,
        kept=view.kept_round,
    )


def _tiles(view: RunView) -> list[tuple[str, str]]:
    say, result = view.say, view.result
    traffic = sum(int(result.get(name) or 0) for name in ("bytes_up", "bytes_down"))
    patients = view.patients()
    return [
        *([(say("test patients"), words.option_text(patients))] if patients else []),
        (say("sites"), str(len(view.sites))),
        (say("rounds"), str(result.get("rounds", 0))),
        (say("time"), words.duration_text(result.get("seconds"))),
        (say("traffic"), words.bytes_text(traffic, say)),
    ]

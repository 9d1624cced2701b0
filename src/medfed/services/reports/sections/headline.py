"""The result in a sentence, and the few figures that belong beside it."""

from typing import Any

from medfed.services.reports import words
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any]:
    """The result in a sentence, and the few figures that belong beside it."""
    figure = view.overall.get(view.headline)
    return {
        "sentence": sentence(view),
        "meaning": words.metric_meaning(view.headline),
        "metric": words.first_capital(words.metric_name(view.headline)),
        "value": words.value_text(figure),
        "bounds": words.bounds_text(figure),
        "tiles": _tiles(view),
    }


def sentence(view: RunView) -> str:
    """Metric, interval, patients, sites and rounds, in plain words."""
    figure = view.overall.get(view.headline)
    if not figure or not words.finite(figure.get("value")):
        return (
            f"No {words.metric_name(view.headline)} could be computed on the held-out test "
            f"patients, after {words.count(int(view.result.get('rounds', 0)), 'round')} at "
            f"{words.count(len(view.sites), 'site')}."
        )
    bounds = words.bounds_text(figure, " to ")
    interval = f" (95 % interval {bounds})" if bounds else ""
    return (
        f"On {_who(view)}, {_which_model(view)} reaches "
        f"{words.metric_name(view.headline)} {words.value_text(figure)}{interval}."
    )


def _who(view: RunView) -> str:
    many = view.patients()
    scored = [site for site in view.sites if view.patients(site)]
    sites = words.count(len(view.sites), "site")
    if scored and len(scored) < len(view.sites):
        sites = f"{len(scored)} of {sites}"
    patients = words.count(many, "held-out test patient") if many else "the held-out test patients"
    return f"{patients} of {sites}"


def _which_model(view: RunView) -> str:
    model = "each site’s own personalised model" if view.personal else "the federated model"
    rounds = int(view.result.get("rounds", 0))
    if view.kept_round == 0:
        return "the untrained model"
    if view.study.keep == "last":
        return f"{model} after {words.count(rounds, 'round')} of training (the last aggregate)"
    return (
        f"{model} of round {view.kept_round}, the best of {words.count(rounds, 'round')} on the "
        "validation patients,"
    )


def _tiles(view: RunView) -> list[tuple[str, str]]:
    result = view.result
    traffic = sum(int(result.get(name) or 0) for name in ("bytes_up", "bytes_down"))
    patients = view.patients()
    return [
        *([("test patients", words.option_text(patients))] if patients else []),
        ("sites", str(len(view.sites))),
        ("rounds", str(result.get("rounds", 0))),
        ("time", words.duration_text(result.get("seconds"))),
        ("traffic", words.bytes_text(traffic)),
    ]

"""All figures on the test patients, over all sites and at each."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import charts, palette, words
from medfed.services.reports.view import RunView


def section(view: RunView, colours: Mapping[str, str]) -> dict[str, Any]:
    """All figures on the test patients, over all sites and at each."""
    say, trained = view.say, view.trained
    shown = view.by_site
    table = [
        {
            "site": site,
            "swatch": palette.swatch(colours, site),
            "patients": view.patients(site) or words.NOTHING,
            "trained": trained.get(site, words.NOTHING),
            "cells": [words.pair(shown.get(site, {}).get(metric), say) for metric in view.metrics],
        }
        for site in view.sites
    ]
    name = words.metric_title(view.headline, say)
    figures = {site: m[view.headline] for site, m in shown.items() if m.get(view.headline)}
    total = sum(trained.values()) if len(trained) == len(view.sites) else 0
    return {
        "meanings": [_explained(view, m) for m in view.metrics],
        "metrics": [
            (words.metric_title(m, say), words.metric_meaning(m, say), _arrow(view, m))
            for m in view.metrics
        ],
        "overall": {
            "patients": view.patients() or words.NOTHING,
            "trained": total or words.NOTHING,
            "cells": [words.pair(view.overall.get(metric), say) for metric in view.metrics],
        },
        "with_trained": bool(trained),
        "rows": table if shown else [],
        "many": len(table) > charts.MOST_FOREST,
        "shown": 2 * charts.EDGE,
        "why_not": why_no_sites(view),
        "incomplete": any(set(view.metrics) - set(shown.get(site, ())) for site in view.sites),
        "chart": charts.forest(
            "forest", name, figures, view.overall.get(view.headline), colours, say
        ),
    }


def why_no_sites(view: RunView) -> str:
    """Why there are no figures of single sites."""
    if not view.shows_sites:
        return view.say(
            'The study keeps each site’s figures among the sums (report = "overall"), so there '
            "are none to show."
        )
    if not view.sees_sites:
        return view.say(
            "The aggregator sees sums only: no single site’s figures exist outside that site."
        )
    return view.say("This run recorded no figures of single sites.")


def _arrow(view: RunView, metric: str) -> str:
    better = view.task.higher_is_better.get(metric)
    if better is None:
        return ""
    return view.say("higher is better") if better else view.say("lower is better")


def _explained(view: RunView, metric: str) -> tuple[str, str]:
    """A metric's name, and what it says: which way is better where the meaning does not tell."""
    meaning, arrow = words.metric_meaning(metric), _arrow(view, metric)
    told = [words.metric_meaning(metric, view.say)] if meaning else []
    if arrow and "better" not in meaning and "perfect" not in meaning:
        told.append(arrow)
    return words.metric_title(metric, view.say), view.say("; ").join(told)

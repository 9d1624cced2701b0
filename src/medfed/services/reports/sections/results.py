"""All figures on the test patients, over all sites and at each."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import charts, palette, words
from medfed.services.reports.view import RunView


def section(view: RunView, colours: Mapping[str, str]) -> dict[str, Any]:
    """All figures on the test patients, over all sites and at each."""
    trained = {r.site: r.patients for r in view.receipts if r.patients}
    shown = view.by_site
    table = [
        {
            "site": site,
            "swatch": palette.swatch(colours, site),
            "patients": view.patients(site) or words.NOTHING,
            "trained": trained.get(site, words.NOTHING),
            "cells": [words.pair(shown.get(site, {}).get(metric)) for metric in view.metrics],
        }
        for site in view.sites
    ]
    name = words.first_capital(words.metric_name(view.headline))
    figures = {site: m[view.headline] for site, m in shown.items() if m.get(view.headline)}
    total = sum(trained.values()) if len(trained) == len(view.sites) else 0
    return {
        "metrics": [
            (words.first_capital(words.metric_name(m)), words.metric_meaning(m), _arrow(view, m))
            for m in view.metrics
        ],
        "overall": {
            "patients": view.patients() or words.NOTHING,
            "trained": total or words.NOTHING,
            "cells": [words.pair(view.overall.get(metric)) for metric in view.metrics],
        },
        "with_trained": bool(trained),
        "rows": table if shown else [],
        "many": len(table) > charts.MOST_FOREST,
        "shown": 2 * charts.EDGE,
        "why_not": why_no_sites(view),
        "incomplete": any(set(view.metrics) - set(shown.get(site, ())) for site in view.sites),
        "chart": charts.forest("forest", name, figures, view.overall.get(view.headline), colours),
    }


def why_no_sites(view: RunView) -> str:
    """Why there are no figures of single sites."""
    if not view.shows_sites:
        return (
            'The study keeps each site’s figures among the sums (report = "overall"), so there '
            "are none to show."
        )
    if not view.sees_sites:
        return "The aggregator sees sums only: no single site’s figures exist outside that site."
    return "This run recorded no figures of single sites."


def _arrow(view: RunView, metric: str) -> str:
    better = view.task.higher_is_better.get(metric)
    if better is None:
        return ""
    return "higher is better" if better else "lower is better"

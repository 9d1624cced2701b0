"""The report: one page that needs nothing but itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfed.core.errors import RunError
from medfed.core.files import write_atomic
from medfed.services.reports import palette, sections
from medfed.services.reports.page import render_page
from medfed.services.reports.speech import Speech
from medfed.services.reports.told import told
from medfed.services.reports.view import RunView
from medfed.storage.run_folder import RunFolder

NAME = "report.html"


def write_report(folder: RunFolder, result: Mapping[str, Any]) -> Path:
    """Write ``report.html`` into a run's folder.

    Args:
        folder: The run's folder.
        result: The result, as ``result.json`` holds it.

    Returns:
        The file: self-contained, whole or absent.
    """
    view = RunView(folder, result)
    path = folder.path / NAME
    write_atomic(path, render(view).encode())
    return path


def report_in(path: Path, say: Speech) -> bytes:
    """A finished run's report in a language.

    Args:
        path: Its ``report.html``.
        say: The language.
    """

    def make() -> str:
        folder = RunFolder(path.parent)
        result = folder.result()
        if result is None:
            raise RunError(f"the run in {path.parent} is not finished")
        return render(RunView(folder, result, say))

    return told(path, say, make)


def render(view: RunView) -> str:
    """The page as text, in the view's language."""
    colours = palette.site_colours(view.sites)
    return render_page(
        "report.html",
        say=view.say,
        title=view.study.title,
        question=view.study.question,
        notices=view.notices,
        headline=sections.headline.section(view),
        pictures=sections.pictures.section(view),
        comparison=sections.comparison.section(view),
        curves=sections.curves.section(view, colours),
        legend=sections.curves.legend(view, colours),
        results=sections.results.section(view, colours),
        notes=sections.notes.section(view),
        participation=sections.participation.section(view),
        importance=sections.importance.section(view),
        calibration=sections.calibration.section(view),
        cost=sections.cost.section(view),
        receipts=sections.receipts.section(view),
        study=sections.study.section(view),
        environment=sections.repeat.section(view),
        medfed=view.record.get("environment", {}).get("medfed", ""),
    )

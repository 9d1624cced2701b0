"""Runs: listed, followed live, stopped, resumed; what came of them."""

from io import BytesIO
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import force_locale

from medfed.core.study_file import parse_study
from medfed.services.console.models import CARD, DOWNLOADS
from medfed.services.reports import card_in, report_in
from medfed.services.trouble import Missing
from medfed.storage.database.tables import RunRow
from medfed.web import charts, shapes, words
from medfed.web.language import TAGS
from medfed.web.offers import offer_of
from medfed.web.pages import comparisons
from medfed.web.paging import page_number
from medfed.web.rules import console, needs, user
from medfed.web.security import ALONE
from medfed.web.speech import speech

blueprint = Blueprint("runs", __name__, url_prefix="/runs")
PER_PAGE = 25
CODES = {tag: code for code, tag in TAGS.items()}


@blueprint.get("/")
@needs("run.read")
def index() -> ResponseReturnValue:
    """All runs."""
    page = page_number()
    rows, total = console().runs.list(offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    runs = [shapes.run(row, console().runs) for row in rows]
    return render_template("runs.html", runs=runs, page=page, pages=-(-total // PER_PAGE))


@blueprint.get("/<run>")
@needs("run.read")
def show(run: str) -> ResponseReturnValue:
    """One run, live."""
    row = console().runs.find(run)
    if row.kind == "comparison":
        return comparisons.page_of(row)
    rounds = console().runs.rounds(run)
    model = console().models.of_run(run)
    names = sorted({name for each in rounds for name in each.metrics} | {row.metric})
    files = [name for name in DOWNLOADS if model and _there(run, name)]
    compared, study = console().runs.compared(row), parse_study(row.toml)
    comparing = None if compared else console().runs.comparing(row)
    return render_template(
        "run.html",
        run=shapes.run(row, console().runs),
        starter=row.starter,
        model=model,
        importance=_importance(row),
        private=bool(study.privacy),
        hidden=charts.hidden(study),
        no_directions=charts.no_directions(study),
        there=charts.states_of(row.sites, console().hospitals.list()),
        patients=model.patients if model else {},
        compared=compared,
        comparing=comparing,
        offer=offer_of(row, study) if model and not (compared or comparing) else None,
        verdicts=comparisons.verdicts_of(compared) if compared else [],
        figures=comparisons.overall_of(compared) if compared else [],
        files=files,
        metric_names={name: words.metric(name) for name in names},
        script={**words.script(), **charts.map_words(), **charts.unlike_words()},
        states={name: str(word) for name, word in words.STATES.items()},
    )


@blueprint.post("/<run>/stop")
@needs("run.stop")
def stop(run: str) -> ResponseReturnValue:
    """Ask a run to stop."""
    console().runs.stop(user(), run)
    return redirect(url_for(".show", run=run))


@blueprint.post("/<run>/resume")
@needs("run.stop")
def resume(run: str) -> ResponseReturnValue:
    """Ask a run to go on."""
    console().runs.resume(user(), run)
    return redirect(url_for(".show", run=run))


@blueprint.get("/<run>/report")
@needs("run.read")
def report(run: str) -> ResponseReturnValue:
    """The report of a finished run in the reader's language, as a page that can do nothing."""
    path = console().models.file(run, "report.html")
    answer = Response(report_in(path, speech()), mimetype="text/html")
    answer.headers["Content-Security-Policy"] = ALONE
    return answer


@blueprint.get("/<run>/files/<name>")
@needs("model.download")
def download(run: str, name: str) -> ResponseReturnValue:
    """A file of a finished run; its card also in another language, by ``?lang=zh-CN``."""
    path, kind = console().models.file(run, name), DOWNLOADS[name]
    tag = request.args.get("lang", "")
    if name == CARD and (code := CODES.get(tag)):
        with force_locale(code):
            card = BytesIO(card_in(path, speech(code)))
        called = f"{run}-model_card.{tag}.md"
        return send_file(card, mimetype=kind, as_attachment=True, download_name=called)
    return send_file(path, mimetype=kind, as_attachment=True, download_name=f"{run}-{name}")


def _importance(row: RunRow) -> list[dict[str, Any]]:
    try:
        return list(console().results.importance(row)["inputs"])
    except Missing:
        return []


def _there(run: str, name: str) -> bool:
    return (console().place.run_folder(run) / name).is_file()

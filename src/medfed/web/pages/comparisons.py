"""Comparisons: of a study with what hospitals could do otherwise, and of finished runs."""

from flask import Blueprint, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from medfed.core.errors import StudyError
from medfed.core.registry import names
from medfed.core.study_file import parse_study
from medfed.services.comparison.page import figure_rows, page_in, picture_in
from medfed.services.comparison.private import allowed
from medfed.services.comparison.statistics import ALL
from medfed.services.console.comparisons import DOWNLOADS, PICTURES, RECIPES, Comparison
from medfed.services.console.side_by_side import side_by_side
from medfed.services.trouble import Missing
from medfed.storage.database.tables import RunRow
from medfed.web import shapes, words
from medfed.web.errors import status_of
from medfed.web.rules import console, needs, user
from medfed.web.speech import speech, spoken

blueprint = Blueprint("comparisons", __name__, url_prefix="/comparisons")


@blueprint.get("/")
@needs("run.read")
def index() -> ResponseReturnValue:
    """Finished runs side by side."""
    here = console()
    found = side_by_side(here.runs, here.models, request.args.getlist("run"))
    return render_template("side_by_side.html", **found, script=words.script())


@blueprint.route("/new/<int(max=2147483647):number>", methods=["GET", "POST"])
@needs("run.start")
def new(number: int) -> ResponseReturnValue:
    """Compare a study with what each hospital could do otherwise."""
    row = console().studies.find(number)
    offered = allowed(parse_study(row.toml))
    about = {"row": row, "recipes": offered, "strategies": names("strategy")}
    if request.method == "GET":
        return render_template("comparison_new.html", **about, chosen=offered)
    form = request.form
    chosen = form.getlist("recipes")
    try:
        wish = Comparison(
            tuple(each for each in RECIPES if each in chosen),
            tuple(form.getlist("strategies")),
            form.get("seeds", 0, int),
        )
        run = console().runs.compare(user(), number, wish)
    except StudyError as error:
        problem = words.error(error)
        page = render_template("comparison_new.html", **about, chosen=chosen, problem=problem)
        return page, status_of(error)
    return redirect(url_for("runs.show", run=run.id))


@blueprint.get("/<run>/files/<name>")
@needs("run.read")
def file(run: str, name: str) -> ResponseReturnValue:
    """A file of a finished comparison; its page can do nothing."""
    path = console().comparisons.file(console().runs.find(run).id, name)
    if path is None:
        raise Missing("there is no such file", remedy="Look at what the run offers")
    if name == "comparison.html":
        return spoken(page_in(path, speech()), "text/html", speech())
    if name in PICTURES:
        return spoken(picture_in(path, speech()), DOWNLOADS[name], speech())
    return send_file(path, mimetype=DOWNLOADS[name], as_attachment=True)


def page_of(row: RunRow) -> str:
    """The page of one comparison, live until it is finished."""
    found = console().comparisons.answer(row.id)
    return render_template(
        "comparison.html",
        run=shapes.run(row, console().runs),
        found=found,
        rows=figure_rows(found) if found else [],
        verdicts=verdicts_of(row),
        script=words.script(),
        states={name: str(word) for name, word in words.STATES.items()},
    )


def overall_of(row: RunRow) -> list[dict[str, str]]:
    """The figures over all test patients, a row for each recipe."""
    found = console().comparisons.answer(row.id)
    rows = figure_rows(found) if found else []
    return [each for each in rows if each["place"].partition(" (")[0] == ALL]


def verdicts_of(row: RunRow) -> list[str]:
    """What is shown over all patients, by the comparison's metric, a sentence for each recipe."""
    found = console().comparisons.answer(row.id)
    if found is None:
        return []
    return [
        words.verdict(each)
        for each in found["differences"]
        if each["metric"] == found["metric"] and each["site"] == ALL
    ]

"""Studies: listed, written with advice as one types, approved, started."""

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import MedfedError
from medfed.core.study import Study
from medfed.services.accounts import Subject, require
from medfed.services.console.studies import check
from medfed.services.study_templates import TEMPLATES
from medfed.storage.database.tables import StudyRow
from medfed.web import choice_labels, shapes, wizard, words
from medfed.web.errors import problems_json, status_of
from medfed.web.paging import page_number
from medfed.web.rules import console, needs, user
from medfed.web.said import said, sentence

blueprint = Blueprint("studies", __name__, url_prefix="/studies")
FIRST = "tabular-classification"
PER_PAGE = 25


@blueprint.get("/")
@needs("study.read")
def index() -> ResponseReturnValue:
    """All studies."""
    page = page_number()
    rows, total = console().studies.list(offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return render_template("studies.html", studies=rows, page=page, pages=-(-total // PER_PAGE))


@blueprint.route("/new", methods=["GET", "POST"])
@needs("study.create")
def new() -> ResponseReturnValue:
    """Write a study."""
    template = request.args.get("template", FIRST)
    text = TEMPLATES.get(template, TEMPLATES[FIRST])
    if request.method == "GET":
        return render_template("study_edit.html", row=None, text=text, templates=TEMPLATES)
    text = _text()
    try:
        row = console().studies.create(user(), text)
    except MedfedError as error:
        return _refused(error, None, text)
    return redirect(url_for(".show", number=row.id))


@blueprint.get("/wizard")
@needs("study.create")
def new_by_wizard() -> ResponseReturnValue:
    """Put a study together, step by step."""
    template = request.args.get("template", FIRST)
    return _wizard(None, TEMPLATES.get(template, TEMPLATES[FIRST]))


@blueprint.get("/<int(max=2147483647):number>/wizard")
@needs("study.edit")
def edit_by_wizard(number: int) -> ResponseReturnValue:
    """Change a study, step by step."""
    row = console().studies.find(number)
    require(console().database, user(), "study.edit", Subject(f"study {number}", row.author))
    return _wizard(row, row.toml)


@blueprint.post("/<int(max=2147483647):number>/duplicate")
@needs("study.create")
def duplicate(number: int) -> ResponseReturnValue:
    """Copy a study, and go on in the copy."""
    row = console().studies.duplicate(user(), number)
    flash(_("This is the copy."))
    return redirect(url_for(".edit_by_wizard", number=row.id))


@blueprint.get("/<int(max=2147483647):number>")
@needs("study.read")
def show(number: int) -> ResponseReturnValue:
    """One study, and its runs."""
    row = console().studies.find(number)
    runs, _total = console().runs.list(study=number, limit=20)
    checked = check(row.toml)
    plan = _plan(checked.study) if checked.study else None
    runs_json = [shapes.run(each, console().runs) for each in runs]
    engines = console().runs.engines()
    return render_template(
        "study.html", row=row, runs=runs_json, checked=checked, plan=plan, engines=engines
    )


@blueprint.route("/<int(max=2147483647):number>/edit", methods=["GET", "POST"])
@needs("study.edit")
def edit(number: int) -> ResponseReturnValue:
    """Change a study."""
    row = console().studies.find(number)
    require(console().database, user(), "study.edit", Subject(f"study {number}", row.author))
    if request.method == "GET":
        return render_template("study_edit.html", row=row, text=row.toml)
    text = _text()
    version = request.form.get("version", 0, int)
    try:
        console().studies.edit(user(), number, text, version)
    except MedfedError as error:
        return _refused(error, row, text)
    return redirect(url_for(".show", number=number))


@blueprint.post("/check")
@needs("study.read")
def check_text() -> ResponseReturnValue:
    """What is wrong with a text, for the editor to say while one types."""
    text = _text()
    checked = check(text)
    problems = problems_json(checked.problems, text)
    plan = _plan(checked.study) if checked.study else None
    return jsonify(
        ok=checked.study is not None,
        message=sentence(said(checked.message)),
        problems=problems,
        plan=plan,
    )


@blueprint.post("/<int(max=2147483647):number>/approve")
@needs("study.approve")
def approve(number: int) -> ResponseReturnValue:
    """Approve a study as it was shown."""
    console().studies.approve(user(), number, request.form.get("digest", ""))
    flash(_("The study is approved."))
    return redirect(url_for(".show", number=number))


@blueprint.post("/<int(max=2147483647):number>/start")
@needs("run.start")
def start(number: int) -> ResponseReturnValue:
    """Run a study."""
    run = console().runs.start(user(), number, request.form.get("engine", "local"))
    return redirect(url_for("runs.show", run=run.id))


def _wizard(row: StudyRow | None, text: str) -> ResponseReturnValue:
    about = {
        "plan": wizard.plan_of(text),
        "steps": wizard.steps(),
        "parts": wizard.parts(),
        "fields": wizard.fields(),
        "words": wizard.script(),
    }
    return render_template("wizard.html", row=row, about=about, templates=TEMPLATES)


def _text() -> str:
    """The study as typed; browsers send line ends of their own."""
    return request.form.get("toml", "").replace("\r\n", "\n")


def _plan(study: Study) -> list[tuple[str, str]]:
    """A study in a few lines, for who does not read TOML."""
    privacy = ", ".join(_called(part.name) for part in study.privacy)
    lines = [
        (_("Task"), _called(study.task.name)),
        (_("Data"), _called(study.source.name)),
        (_("Hospitals"), ", ".join(study.sites)),
        (_("Rounds"), str(study.rounds)),
        (_("Strategy"), _called(study.strategy.name)),
        (_("Aggregation"), _called(study.aggregator.name)),
        (_("Privacy"), privacy or _("no mechanism beyond keeping records at their hospital")),
    ]
    if study.compression:
        lines.append((_("Compression"), _called(study.compression.name)))
    return lines


def _called(name: str) -> str:
    """A part as people call it, and as the file does."""
    title = choice_labels.part(name)
    return title if title == name else f"{title} · {name}"


def _refused(error: MedfedError, row: object, text: str) -> ResponseReturnValue:
    page = render_template(
        "study_edit.html",
        row=row,
        text=text,
        problem=words.error(error),
        templates={} if row else TEMPLATES,
    )
    return page, status_of(error)

"""Models asked about scans and patients; findings looked over, signed, handed on."""

from typing import Any

from flask import (
    Blueprint,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import MedfedError
from medfed.core.private_files import binary
from medfed.services.inference.sending import PacsSettings, ask_to_send
from medfed.services.prediction.report import report_in
from medfed.services.trouble import Missing
from medfed.web import inference_shapes, inference_words, words
from medfed.web.errors import status_of
from medfed.web.paging import page_number
from medfed.web.rules import can, desk, hospital, needs, user
from medfed.web.said import sentence
from medfed.web.speech import speech, spoken

blueprint = Blueprint("inference", __name__, url_prefix="/inference")
PER_PAGE = 25
SCANS = 50


@blueprint.get("/")
@needs("inference.read")
def index() -> ResponseReturnValue:
    """All inferences."""
    page, scan = page_number(), request.args.get("scan", "")
    rows, total = desk().inferences.list(scan=scan, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    titles = {row.id: row.title for row in desk().models.list()}
    return render_template(
        "inferences.html",
        rows=[inference_shapes.inference(row, desk()) for row in rows],
        titles=titles,
        scan=scan,
        page=page,
        pages=-(-total // PER_PAGE),
    )


@blueprint.get("/new")
@needs("inference.run")
def new() -> ResponseReturnValue:
    """Choose a model, and a scan or a form."""
    found = request.args.get("q", "")
    scans, total = hospital().scans.list(found, limit=SCANS)
    models = desk().models
    return render_template(
        "inference_new.html",
        models=models.list("scan", usable=True),
        tables=models.list("table", usable=True),
        scans=scans,
        more=max(0, total - len(scans)),
        found=found,
        chosen=request.args.get("scan", ""),
    )


@blueprint.post("/look")
@needs("inference.run")
def look() -> ResponseReturnValue:
    """Ask a model about a scan."""
    model, scan = request.form.get("model", 0, int), request.form.get("scan", "")
    row = desk().inferences.look(user(), model, scan)
    return redirect(url_for(".show", inference=row.id))


@blueprint.route("/form/<int(max=2147483647):number>", methods=["GET", "POST"])
@needs("inference.run")
def form(number: int) -> ResponseReturnValue:
    """Ask a model about a patient."""
    model = desk().models.usable(number, "table")
    problem, status = None, 200
    if request.method == "POST":
        try:
            row = desk().inferences.assess(user(), number, request.form.to_dict())
            return redirect(url_for(".show", inference=row.id))
        except MedfedError as error:
            problem, status = words.error(error), status_of(error)
    questions = desk().models.questions(model)
    about = {"model": model, "questions": questions, "given": request.form, "problem": problem}
    return render_template("inference_form.html", **about), status


@blueprint.get("/<inference>")
@needs("inference.view")
def show(inference: str) -> ResponseReturnValue:
    """One inference: how far it is, then what was found."""
    row = desk().inferences.find(inference)
    about: dict[str, Any] = {
        "row": row,
        "model": desk().models.find(row.model_id),
        "now": inference_shapes.inference(row, desk()),
        "script": inference_words.script(),
    }
    if not row.result:
        return render_template("inference_wait.html", **about)
    if row.kind == "table":
        return render_template("inference_risk.html", **about)
    standing = [inference_shapes.standing(each) for each in desk().reviews.standing(inference)]
    return render_template(
        "inference.html",
        standing=standing,
        pacs=_pacs(),
        may_review=can("inference.review") and row.signed is None,
        found=desk().inferences.files(row, "found"),
        **about,
    )


@blueprint.post("/<inference>/again")
@needs("inference.run")
def again(inference: str) -> ResponseReturnValue:
    """Try once more what failed."""
    desk().inferences.again(user(), inference)
    return redirect(url_for(".show", inference=inference))


@blueprint.post("/<inference>/findings/<int(max=255):number>")
@needs("inference.review")
def judge(inference: str, number: int) -> ResponseReturnValue:
    """Say something of a finding; for the page's script, which shows what is answered."""
    given = request.get_json(silent=True)
    given = given if isinstance(given, dict) else {}
    changes, last = given.get("changes"), given.get("last")
    try:
        desk().reviews.judge(
            user(),
            inference,
            number,
            str(given.get("verdict", "")),
            changes=changes if isinstance(changes, dict) else {},
            comment=str(given.get("comment") or ""),
            last=last if isinstance(last, int) else 0,
        )
    except MedfedError as error:
        message, remedy = map(sentence, words.error(error)[:2])
        return jsonify(message=message, remedy=remedy), status_of(error)
    rows = desk().reviews.standing(inference)
    return jsonify(findings=[inference_shapes.standing(each) for each in rows])


@blueprint.post("/<inference>/sign")
@needs("inference.review")
def sign(inference: str) -> ResponseReturnValue:
    """Confirm what was said of all findings, as the page showed it."""
    last, words_of = request.form.get("last", -1, int), inference_words.report()
    desk().reviews.sign(user(), inference, last=last, words=words_of)
    flash(_("The review is signed. What can be handed on is being made."))
    return redirect(url_for(".show", inference=inference))


@blueprint.post("/<inference>/reopen")
@needs("inference.review")
def reopen(inference: str) -> ResponseReturnValue:
    """Take the signature back."""
    desk().reviews.reopen(user(), inference)
    flash(_("The review is open again. What was made from it is offered no more."))
    return redirect(url_for(".show", inference=inference))


@blueprint.post("/<inference>/send")
@needs("inference.export")
def send(inference: str) -> ResponseReturnValue:
    """Send what was signed to the hospital's PACS."""
    ask_to_send(desk().inferences, user(), inference)
    return redirect(url_for(".show", inference=inference))


@blueprint.get("/<inference>/view/<name>")
@needs("inference.view")
def view_file(inference: str, name: str) -> ResponseReturnValue:
    """What the viewer loads."""
    path, kind = desk().inferences.file(inference, "view", name)
    return send_file(binary(path), mimetype=kind)


@blueprint.get("/<inference>/report")
@needs("inference.view")
def report(inference: str) -> ResponseReturnValue:
    """The model's own report, before anybody reviewed it, as a page that can do nothing."""
    path, _kind = desk().inferences.file(inference, "found", "report.html")
    return spoken(report_in(path, speech()), "text/html", speech())


@blueprint.get("/<inference>/files/<part>/<name>")
@needs("inference.export")
def download(inference: str, part: str, name: str) -> ResponseReturnValue:
    """A file of what was found, or of what was signed."""
    if part == "view":
        raise Missing("there is no such file", remedy="Look at what the page offers")
    path, kind = desk().inferences.file(inference, part, name)
    named = f"{inference}-{part}-{name}"
    return send_file(binary(path), mimetype=kind, as_attachment=True, download_name=named)


def _pacs() -> str:
    """Where results can be sent to; empty where nobody said."""
    try:
        settings = PacsSettings.read(desk().place.site)
    except MedfedError:
        return ""  # whoever sends is told what is wrong
    return settings.address if settings else ""

"""What the hospital takes part in, over the API. Approving is for persons, in a browser."""

from typing import Any

from apiflask import APIBlueprint

from medfed.services.reports.toml_text import study_toml
from medfed.web import participation_shapes, participation_words
from medfed.web.api.participation_schemas import ParticipationOut, ParticipationWhole
from medfed.web.api.schemas import ERRORS, StudyText, page_of
from medfed.web.rules import console, hospital, needs, user

blueprint = APIBlueprint("participation", __name__, tag="hospital", url_prefix="/participation")


@blueprint.get("")
@needs("participation.read")
@blueprint.output(page_of(ParticipationOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_participation() -> dict[str, Any]:
    """Studies that ask for this hospital's part, and those that were approved."""
    rows = [participation_shapes.asking(each) for each in hospital().participation.list()]
    return {"items": rows, "total": len(rows)}


@blueprint.post("")
@needs("participation.decide")
@blueprint.input(StudyText)
@blueprint.output(ParticipationOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def propose_study(json_data: dict[str, Any]) -> dict[str, Any]:
    """Add a study that somebody was sent; that approves nothing."""
    study = hospital().participation.propose(user(), json_data["toml"])
    return participation_shapes.asking(hospital().participation.find(study.digest))


@blueprint.get("/<digest>")
@needs("participation.read")
@blueprint.output(ParticipationWhole)
@blueprint.doc(responses=ERRORS, security="token")
def get_participation(digest: str) -> dict[str, Any]:
    """One of them: what it would do, what would leave, who is protected from whom."""
    here = hospital().participation
    asking = here.find(digest)
    promised = console().protections.of(asking.study)
    prices = console().protections.prices(asking.study, hospital().name)
    outlook = hospital().privacy.outlook(asking.study, prices)
    return {
        **participation_shapes.asking(asking),
        "does": participation_words.does(asking.study, here.least(asking.study)),
        "leaves": participation_words.leaves(asking.study),
        "stays": participation_words.stays(),
        "protections": participation_words.promised(promised),
        "price": [each.to_json() for each in outlook],
        "toml": study_toml(asking.study),
    }


@blueprint.post("/<digest>/approve")
@needs("participation.decide")
@blueprint.output(ParticipationOut)
@blueprint.doc(responses=ERRORS, security="token")
def approve_participation(digest: str) -> dict[str, Any]:
    """Take part in a study; a person does, never a token."""
    return participation_shapes.asking(hospital().participation.approve(user(), digest))


@blueprint.post("/<digest>/withdraw")
@needs("participation.decide")
@blueprint.output(ParticipationOut)
@blueprint.doc(responses=ERRORS, security="token")
def withdraw_participation(digest: str) -> dict[str, Any]:
    """Take part no more: every order of the study is refused from now on."""
    return participation_shapes.asking(hospital().participation.withdraw(user(), digest))


@blueprint.delete("/<digest>")
@needs("participation.decide")
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=ERRORS, security="token")
def dismiss_study(digest: str) -> str:
    """Forget a study that only asks."""
    hospital().participation.dismiss(user(), digest)
    return ""

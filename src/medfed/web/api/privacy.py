"""What was spent of patients' privacy, over the API. Limits are for persons, in a browser."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web import privacy_shapes
from medfed.web.api.privacy_schemas import (
    LimitIn,
    PrivacyAccountOut,
    PrivacySpentOut,
    RunSpentOut,
)
from medfed.web.api.schemas import ERRORS, PageQuery, page_of
from medfed.web.rules import hospital, needs, user

blueprint = APIBlueprint("privacy", __name__, tag="hospital", url_prefix="/privacy")


@blueprint.get("")
@needs("participation.read")
@blueprint.output(PrivacySpentOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_privacy_spent() -> dict[str, Any]:
    """For patients, records and the hospital: the limit, what is spent and left, and by whom."""
    accounts = hospital().privacy.accounts()
    told = [privacy_shapes.account(each) for each in accounts]
    return {"accounts": told, "replacing_a_patient": privacy_shapes.together(accounts)}


@blueprint.get("/runs")
@needs("participation.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(RunSpentOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_privacy_runs(query_data: dict[str, Any]) -> dict[str, Any]:
    """Runs that were paid for, the latest first, each with its ε by itself."""
    here, start = hospital().privacy, query_data["offset"]
    found = here.spendings()
    rows = found[start : start + query_data["limit"]]
    items = [privacy_shapes.spending(each, here.cost_of(each)) for each in rows]
    return {"items": items, "total": len(found)}


@blueprint.put("/limits/<unit>")
@needs("participation.decide")
@blueprint.input(LimitIn)
@blueprint.output(PrivacyAccountOut)
@blueprint.doc(responses=ERRORS, security="token")
def set_privacy_limit(unit: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Say how much may be spent in all; a person does, never a token."""
    return privacy_shapes.account(hospital().privacy.set_limit(user(), unit, **json_data))

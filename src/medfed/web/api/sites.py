"""Hospitals over the API."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint

from medfed.web.api.schemas import ERRORS, Invitation, InvitationOut, SiteOut, page_of
from medfed.web.rules import console, needs, user

blueprint = APIBlueprint("sites", __name__, tag="sites", url_prefix="/sites")


@blueprint.get("")
@needs("overview.read")
@blueprint.output(page_of(SiteOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_sites() -> dict[str, Any]:
    """All hospitals: online or not, their last reply, how many patients they test."""
    rows = [asdict(each) for each in console().hospitals.list()]
    for row in rows:
        row["last_reply"] = row["last_reply"].isoformat() if row["last_reply"] else None
    return {"items": rows, "total": len(rows)}


@blueprint.post("/invitations")
@needs("site.invite")
@blueprint.input(Invitation)
@blueprint.output(InvitationOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def invite_site(json_data: dict[str, Any]) -> dict[str, Any]:
    """Invite a hospital; the answer holds the code, which is never shown again."""
    site = json_data["site"]
    return {"site": site, "code": console().hospitals.invite(user(), site)}

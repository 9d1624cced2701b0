"""What the API of participation and receipts takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Integer, List, Nested, String

from medfed.web.api.privacy_schemas import OutlookOut
from medfed.web.api.schemas import ProtectionOut


class ParticipationOut(Schema):
    """A study as it stands at this hospital; ``approved`` is null where it asks only."""

    digest = String()
    title = String()
    question = String()
    sites = List(String())
    approved = String(allow_none=True)
    approver = String()


class ParticipationWhole(ParticipationOut):
    """The same, explained."""

    does = List(String())
    leaves = List(String())
    stays = List(String())
    protections = List(Nested(ProtectionOut))
    price = List(Nested(OutlookOut))
    toml = String()


class RunReceiptsOut(Schema):
    """What left in one run; ``bad`` counts signatures that do not hold."""

    run = String()
    title = String()
    study = String()
    first = String()
    last = String()
    count = Integer()
    bytes = Integer()
    patients = Integer()
    rounds = Integer()
    bad = Integer()
    damaged = Boolean()


class ReceiptOut(Schema):
    """A receipt as the site signed it, and whether the signature holds."""

    receipt = Dict()
    good = Boolean()


class VerdictOut(Schema):
    """What checking the site's log found; ``faults`` is empty where nothing was changed.

    Where ``writing`` is true the site kept writing, and faults may be of what was half written.
    """

    site = String()
    fingerprint = String()
    entries = Integer()
    receipts = Integer()
    faults = List(String())
    writing = Boolean()
    checked = String()

"""What the API of inference takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, Raw, String
from apiflask.validators import Length, OneOf, Range

from medfed.services.inference.reviews import LONGEST_COMMENT, VERDICTS
from medfed.web.api.schemas import MOST, PageQuery


class InferencesQuery(PageQuery):
    """Which inferences."""

    scan = String(load_default="", validate=Length(max=64))


class InferenceNew(Schema):
    """Which model is asked about what: a scan, or a patient by answers."""

    model = Integer(required=True, validate=Range(1, MOST))
    scan = String(load_default="", validate=Length(max=64))
    answers = Dict(load_default=None, allow_none=True)


class ReviewNew(Schema):
    """What is said of a finding."""

    verdict = String(required=True, validate=OneOf(VERDICTS))
    changes = Dict(load_default=dict)
    comment = String(load_default="", validate=Length(max=LONGEST_COMMENT))
    last = Integer(load_default=0, validate=Range(0, MOST))


class SignNew(Schema):
    """What is signed: all reviews up to the latest that was seen."""

    last = Integer(required=True, validate=Range(0, MOST))


class InferenceOut(Schema):
    """An inference as it stands."""

    id = String()
    kind = String()
    model = Integer()
    scan = String()
    patient = String()
    starter = String()
    created = String()
    work = String()
    state = String()
    done = Integer()
    total = Integer(allow_none=True)
    message = String()
    remedy = String()
    ready = Boolean()
    findings = Integer()
    signer = String()
    signed = String(allow_none=True)
    files = List(String())
    sent = Dict()


class ResultOut(InferenceOut):
    """An inference with what the model said."""

    given = Dict()
    result = Dict()


class ReviewOut(Schema):
    """What somebody said of a finding."""

    id = Integer()
    verdict = String()
    changes = Dict()
    comment = String()
    reviewer = String()
    at = String()


class FindingOut(Schema):
    """A finding as the model has it, and what was said of it, the latest last."""

    number = Integer()
    model = Dict()
    reviews = List(Nested(ReviewOut))


class QuestionOut(Schema):
    """One thing that the form of a model asks."""

    name = String()
    kind = String()
    usual = Raw()
    spread = Float()
    low = Float(allow_none=True)
    high = Float(allow_none=True)
    choices = List(String())
    unit = String()


class ReleasedOut(Schema):
    """A released model that the hospital uses, or has used."""

    id = Integer()
    kind = String()
    title = String()
    sha256 = String()
    study = String()
    task = String()
    state = String()
    approver = String()
    approved = String()
    withdrawn = String(allow_none=True)
    usable = Boolean()
    recall = Dict()
    guideline = Dict()
    questions = List(Nested(QuestionOut))

"""What the API takes and gives of runs and models."""

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, Raw, String
from apiflask.validators import Length, Range

from medfed.services.console.comparisons import MOST_SEEDS, RECIPES
from medfed.services.console.side_by_side import MOST as MOST_RUNS
from medfed.web.api.schemas import MOST


class EventsQuery(Schema):
    """Which events of a run."""

    after = Integer(load_default=0, validate=Range(0, MOST))
    limit = Integer(load_default=200, validate=Range(1, 1000))


class StartQuery(Schema):
    """How a run is carried out."""

    engine = String(load_default="local", validate=Length(max=20))


class ComparisonWish(Schema):
    """What a comparison compares."""

    recipes = List(String(validate=Length(max=40)), load_default=lambda: list(RECIPES))
    strategies = List(String(validate=Length(max=60)), load_default=list)
    seeds = Integer(load_default=3, validate=Range(1, MOST_SEEDS))


class SideBySideQuery(Schema):
    """Which finished runs."""

    run = List(String(validate=Length(max=32)), required=True, validate=Length(2, MOST_RUNS))


class SideBySideOut(Schema):
    """Finished runs beside one another; ``figures`` has a value for each run, in their order."""

    runs = List(Dict())
    figures = List(Dict())
    same_patients = Boolean()


class RunOut(Schema):
    """A run."""

    id = String()
    study = Integer()
    kind = String()
    engine = String()
    title = String()
    digest = String()
    sites = List(String())
    metric = String()
    state = String()
    round = Integer()
    rounds = Integer()
    bytes_up = Integer()
    bytes_down = Integer()
    seconds_left = Float(allow_none=True)
    message = String()
    remedy = String()
    starter = String()
    created = String()
    started = String(allow_none=True)
    ended = String(allow_none=True)


class RoundOut(Schema):
    """A round; its metrics are those of its aggregate, once it was scored."""

    round = Integer()
    finished = String(allow_none=True)
    seconds = Float(allow_none=True)
    bytes_up = Integer()
    bytes_down = Integer()
    participants = List(String())
    loss = Float(allow_none=True)
    site_loss = Dict()
    site_up = Dict()
    site_down = Dict()
    site_change = Dict()
    metrics = Dict()
    site_metrics = Dict()


class InputOut(Schema):
    """What one input is worth."""

    name = String()
    value = Float(allow_none=True)
    low = Float(allow_none=True)
    high = Float(allow_none=True)


class ImportanceOut(Schema):
    """What inputs are worth: how far the metric falls when one is shuffled."""

    metric = String()
    inputs = List(Nested(InputOut))


class PrivacyOut(Schema):
    """What was spent at each hospital; null where the study has no privacy lines."""

    privacy = Dict(allow_none=True)


class EventOut(Schema):
    """Something that happened in a run."""

    number = Integer()
    at = String()
    kind = String()
    body = Dict()
    text = String()


class ReleaseOut(Schema):
    """A hospital that a model is approved for."""

    site = String()
    by = String()
    at = String()


class ReleaseWish(Schema):
    """A hospital."""

    site = String(required=True, validate=Length(1, 64))


class Withdrawal(Schema):
    """Why a model is withdrawn."""

    reason = String(required=True, validate=Length(1, 500))


class ModelOut(Schema):
    """A model."""

    id = Integer()
    run = String()
    title = String()
    sha256 = String()
    kept_round = Integer()
    metrics = Raw()
    patients = Raw()
    created = String()
    releases = List(Nested(ReleaseOut))
    withdrawn = String(allow_none=True)
    reason = String()

"""What the API of privacy spent takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Float, Integer, List, Nested, String


class LimitIn(Schema):
    """How much may be spent in all; ``epsilon`` 0 stops all private work."""

    epsilon = Float(required=True)
    delta = Float(required=True)


class BalanceOut(Schema):
    """ε at ``delta``, of the one who has spent most; null where it has no bound."""

    unit = String()
    limit = Float()
    delta = Float()
    spent = Float(allow_none=True)
    left = Float()


class OutlookOut(BalanceOut):
    """What a study would cost here; ``after`` is null where some of it is spent already."""

    alone = Float(allow_none=True)
    by_study = Float(allow_none=True)
    after = Float(allow_none=True)
    fits = Boolean()


class StandingOut(Schema):
    """Those of one source who were in the same runs, how many they are, and what each has spent."""

    source = String()
    members = Integer()
    runs = List(String())
    spent = Float(allow_none=True)
    left = Float()


class PrivacyAccountOut(BalanceOut):
    """What patients, records or the hospital may spend, and have."""

    cohorts = List(Nested(StandingOut))


class PrivacySpentOut(Schema):
    """All of them."""

    accounts = List(Nested(PrivacyAccountOut))


class RunSpentOut(Schema):
    """What one run was paid for.

    ``again`` counts rounds paid for beyond once, ``lost`` what was paid for and of which no receipt
    tells (null where the receipts cannot be read). The ε of runs are not added: together they cost
    less.
    """

    run = String()
    study = String()
    title = String()
    unit = String()
    first = String()
    last = String()
    rounds = Integer()
    questions = Integer()
    figures = Integer()
    again = Integer()
    lost = Integer(allow_none=True)
    epsilon = Float(allow_none=True)

"""What the API of privacy spent takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Float, Integer, List, Nested, String
from apiflask.validators import OneOf

from medfed.core.ledger import RULES


class LimitIn(Schema):
    """How much may be spent in all; ``epsilon`` 0 stops all private work.

    ``rule`` is ``proven`` (a Rényi filter has to admit the work too) or ``sum``; as before without.
    """

    epsilon = Float(required=True)
    delta = Float(required=True)
    rule = String(validate=OneOf(RULES))


class BalanceOut(Schema):
    """ε at ``delta``, of the one who has spent most; null where it has no bound.

    ``used`` is the share of what the Rényi filter of ``order`` admits; beyond 1 nothing more is
    admitted where ``rule`` is ``proven``.
    """

    unit = String()
    limit = Float()
    delta = Float()
    spent = Float(allow_none=True)
    left = Float()
    rule = String()
    order = Integer()
    used = Float(allow_none=True)


class OutlookOut(BalanceOut):
    """What a study would cost here.

    ``after``, ``left_after`` and ``used_after`` are null where some of it is spent already.
    """

    alone = Float(allow_none=True)
    by_study = Float(allow_none=True)
    after = Float(allow_none=True)
    left_after = Float(allow_none=True)
    used_after = Float(allow_none=True)
    fits = Boolean()


class StandingOut(Schema):
    """Those of one source who were in the same runs, how many they are, and what each has spent."""

    source = String()
    members = Integer()
    runs = List(String())
    spent = Float(allow_none=True)
    left = Float()
    used = Float(allow_none=True)


class PrivacyAccountOut(BalanceOut):
    """What patients, records or the hospital may spend, and have."""

    cohorts = List(Nested(StandingOut))


class ReplacingOut(Schema):
    """What the limits of patients and records allow together, at a δ of 1 for no promise."""

    epsilon = Float()
    delta = Float()


class PrivacySpentOut(Schema):
    """All of them, and what replacing one patient by another may cost by two of them."""

    accounts = List(Nested(PrivacyAccountOut))
    replacing_a_patient = Nested(ReplacingOut)


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

"""What was spent of patients' privacy as plain data, for the API."""

import math
from collections.abc import Sequence
from typing import Any

from medfed.core.ledger import Balance, replacing
from medfed.services.hospital.privacy import Account, Spending


def account(each: Account) -> dict[str, Any]:
    """What one kind of unit may spend, and has."""
    limit = each.balance.limit
    standings = [
        {
            "source": one.source,
            "members": one.members,
            "runs": list(one.runs),
            "spent": _finite(one.spent),
            "left": max(0.0, limit - one.spent),
            "used": _finite(one.used),
        }
        for one in each.standings
    ]
    return {"unit": each.unit, **_balance(each.balance), "cohorts": standings}


def spending(each: Spending, epsilon: float) -> dict[str, Any]:
    """What one run was paid for."""
    return {
        "run": each.run,
        "study": each.study,
        "title": each.title,
        "unit": each.unit,
        "first": each.first,
        "last": each.last,
        "rounds": each.rounds,
        "questions": each.questions,
        "figures": each.figures,
        "again": each.again,
        "lost": each.lost,
        "epsilon": _finite(epsilon),
    }


def _balance(each: Balance) -> dict[str, Any]:
    return {
        "limit": each.limit,
        "delta": each.delta,
        "spent": _finite(each.spent),
        "left": each.left,
        "rule": each.rule,
        "order": each.order,
        "used": _finite(each.used),
    }


def together(accounts: Sequence[Account]) -> dict[str, float]:
    """What the limits of patients and records allow where one patient is replaced by another."""
    by_unit = {each.unit: each.balance for each in accounts}
    epsilon, delta = replacing(by_unit["patient"], by_unit["record"])
    return {"epsilon": epsilon, "delta": delta}


def _finite(value: float) -> float | None:
    """ε as JSON; nothing where it has no bound."""
    return value if math.isfinite(value) else None

"""Limits for tests, in one call."""


def allow(ledger, epsilon, delta, unit="patient", **more):
    """Say how much a unit may spend."""
    ledger.set_limit(ledger.limit_for(epsilon, delta, unit, **more), unit)

"""How noise goes over the rounds: fixed before the first, so that plain composition holds."""

STAGES = 4
"""Most stages of a schedule: each is composed by itself, which takes time."""
RISE = 2.0
"""How many times the noise of the last stage the first one's is."""


def shares(budget: str, rounds: int) -> tuple[float, ...]:
    """By what the noise of each round is multiplied.

    ``constant`` is 1 throughout. ``rising`` spends less first and more later: the noise falls by
    equal factors in four stages, from √2 to 1/√2, for early steps are large whatever the noise
    and late ones are not.
    """
    if budget == "constant" or rounds < 2:
        return (1.0,) * rounds
    stages = min(STAGES, rounds)
    at = [min(stages - 1, r * stages // rounds) / (stages - 1) for r in range(rounds)]
    return tuple(float(RISE ** (0.5 - place)) for place in at)

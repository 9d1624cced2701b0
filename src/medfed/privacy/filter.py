"""Noise that is chosen on the way, by what was learnt so far, under a filter that checks first.

Plain composition holds for noise that was fixed beforehand. Where each round's noise follows from
earlier answers it needs a *privacy filter* (Rogers, Roth, Ullman and Vadhan 2016): a rule that sees
what the next answer costs before it is given, and stops what would pass the budget. For Gaussian
answers about everybody (not about a sample) there is one that costs nothing: an answer with noise z
weighs z^-2, and as long as the weights add up to no more than W, all together are as private as one
answer with noise W^-1/2, however the weights were chosen (Smith and Thakurta 2022, "Fully adaptive
composition for Gaussian differential privacy", arXiv 2210.17520). For samples no such rule is known
that is as tight; the natural one is wrong (arXiv 2602.06756).

Weights are in units of a constant budget's round: the whole is as many as there are rounds.
"""

from dataclasses import dataclass

LESS, EVEN, MORE = 0.5, 1.0, 2.0
"""What a round may weigh. Few values, since a ledger composes each by itself."""
LOUD = 4.0
"""An answer so many times as long as noise alone (squared) can do with more noise."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left of a budget.

    Attributes:
        rounds: Rounds of the whole, and so its weight.
        done: Rounds that were paid for.
        spent: What these weighed.
    """

    rounds: int
    done: int = 0
    spent: float = 0.0

    def admits(self, weight: float) -> bool:
        """Whether a round may weigh so much, such that every later one can still be paid for."""
        later = max(self.rounds - self.done - 1, 0)
        return self.spent + weight + LESS * later <= self.rounds * (1 + 1e-12)

    def after(self, weight: float) -> "Filter":
        """What is left when a round was paid for.

        Raises:
            ValueError: It does not fit: this is checked before anything is spent.
        """
        if not self.admits(weight):
            raise ValueError("the privacy filter admits no such round")
        return Filter(self.rounds, self.done + 1, self.spent + weight)

    def chosen(self, loudness: float, numbers: int) -> float:
        """What the next round shall weigh, by the noised answer of the last one.

        Args:
            loudness: The answer's squared length, in those that are expected of noise alone.
            numbers: How many numbers it has.
        """
        drowned = 1.0 + 2.0 * (2.0 / max(numbers, 1)) ** 0.5  # two deviations of noise alone
        wanted = MORE if loudness < drowned else LESS if loudness > LOUD else EVEN
        return next(one for one in (wanted, EVEN, LESS) if one <= wanted and self.admits(one))

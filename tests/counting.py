"""An accountant that a test can follow."""

import math


class Counting:
    """One ε an answer; its filter admits as many as the limit has ε."""

    def epsilon(self, answers, delta):
        return float(sum(a.times for a in answers))

    def order(self, epsilon, delta):
        return 2

    def used(self, answers, limit):
        count = self.epsilon(answers, limit.delta)
        return count / limit.epsilon if limit.epsilon else (math.inf if count else 0.0)

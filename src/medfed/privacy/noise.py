"""Randomness that protects patients: from the system and ChaCha20, never from a seed."""

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

MASK = 2**53 - 1
SUMMED = 4
"""Normal numbers in one of noise, two in each product; see `SecretRandom.gaussian`."""


class SecretRandom:
    """Random numbers that nobody can draw again.

    Each call stretches a fresh key of the operating system by ChaCha20, and forgets it: nothing is
    kept that could be reused, in this process or in a copy of it.
    """

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Numbers in [0, 1), of 53 bits."""
        return np.asarray((self._words(count) >> np.uint64(11)) * 2.0**-53, np.float64)

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Standard normal numbers.

        In exact arithmetic each is the sum of four, halved. The low bits of a single floating-point
        number could tell what it was added to (Mironov, CCS 2012), and a sum makes that costly
        (Holohan, Braghin: "Secure Random Sampling in Differential Privacy", ESORICS 2021, who count
        the effort for four). Here two of the four come from one product of a radius and a sine, so
        the machine adds two numbers, and not four: their count of the effort does not carry over.
        It is no proof against such attacks; `medfed.privacy.statistics.noise` gives one.
        """
        import torch  # slow to load; its sines are several times as quick as NumPy's

        pairs = SUMMED // 2
        bits = self._bytes(12 * pairs * count)
        radius = torch.frombuffer(bits, dtype=torch.int64, count=pairs * count) & MASK
        angle = torch.frombuffer(bits, dtype=torch.int32, offset=8 * pairs * count)
        # Box and Muller: two normal numbers from a radius of 53 bits and an angle of 32. Their sum
        # cos t + sin t = √2 sin(t + π/4), and π/4 is a whole number of the angle's steps.
        away = radius.double().add_(1.0).mul_(2.0**-53).log_().mul_(-4.0).sqrt_()
        both = angle.double().mul_(np.pi * 2.0**-31).sin_().mul_(away).view(pairs, count)
        return both.sum(0).div_(SUMMED**0.5).numpy()

    def laplace(self, count: int) -> NDArray[np.float64]:
        """Laplace numbers of scale 1, each the difference of two exponential ones."""
        words = self._words(2 * count).reshape(2, count) >> np.uint64(11)
        first, second = -np.log((words + 1) * 2.0**-53)
        return np.asarray(first - second)

    def seed(self) -> int:
        """63 secret bits, for streams that stay within one piece of work."""
        return int.from_bytes(os.urandom(8), "big") >> 1

    def _words(self, count: int) -> NDArray[np.uint64]:
        return np.frombuffer(self._bytes(8 * count), np.uint64)

    @staticmethod
    def _bytes(count: int) -> bytearray:
        stream = Cipher(ChaCha20(os.urandom(32), bytes(16)), mode=None).encryptor()
        found = bytearray(count)
        stream.update_into(found, found)
        return found

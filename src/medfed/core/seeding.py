"""Reproducible randomness: every use draws from its own stream.

Only for what may be public. Noise, masks and keys never come from here.
"""

import hashlib

import numpy as np


def derive(seed: int, *labels: object) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose.

    Args:
        seed: The study's seed.
        labels: Site, round and purpose, in this order where they apply.

    Returns:
        The first 63 bits of SHA-256 over the seed and the labels.
    """
    text = "\x1f".join(map(str, (seed, *labels)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *labels: object) -> np.random.Generator:
    """A NumPy generator for one purpose; see `derive`."""
    return np.random.default_rng(derive(seed, *labels))

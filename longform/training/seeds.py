"""Random numbers as a function of the seed, the step and the example, so that a restarted run draws the same."""

import random

import numpy as np
import torch

READING, STEP, EVALUATION = range(3)
"""What a stream of random numbers is for; the first key of `derived_seed`."""


def derived_seed(seed: int, *keys: int) -> int:
    """A seed in [0, 2^63) for each tuple of keys, as good as independent of those for other tuples."""
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU and GPU)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

"""Random numbers as functions of (seed, key, attempt): what a step draws does not depend on who executes it, or when.

In: integers. Out: a uniform number or a lognormal factor. The mixing is splitmix64's finaliser [Steele, Lea, Flood
2014], twice, so that neighbouring keys and attempts are unrelated. No string hash: every process draws the same.
"""

from __future__ import annotations

from math import exp
from statistics import NormalDist

_MASK = 0xFFFFFFFFFFFFFFFF
_TO_UNIT = 2.0**-53
_FACTOR_PURPOSE = 0x5F3759DF
_quantile = NormalDist().inv_cdf


def uniform(seed: int, key: int, attempt: int, purpose: int) -> float:
    """A number in [0, 1); another purpose gives an independent one."""
    return (_mixed(seed, key, attempt, purpose) >> 11) * _TO_UNIT


def factor(seed: int, key: int, attempt: int, spread: float) -> float:
    """A lognormal factor of median 1; its logarithm has the standard deviation `spread`. Exactly 1.0 without spread."""
    if spread == 0.0:
        return 1.0
    return exp(spread * _quantile(((_mixed(seed, key, attempt, _FACTOR_PURPOSE) >> 12) + 0.5) * 2.0**-52))


def _mixed(seed: int, key: int, attempt: int, purpose: int) -> int:
    bits = (seed * 0x9E3779B97F4A7C15 ^ key) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    bits = ((bits ^ (bits >> 31)) + attempt * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)

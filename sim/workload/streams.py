"""One random stream per purpose and entity, so that nothing drawn for one entity can shift another's draws.

In: the run's seed, a purpose's name and the entity's stable numbers (entry, client, ...). Out: a numpy generator.
They are `SeedSequence(seed, spawn_key)` on the counter-based Philox (simulators section 2: common random numbers).
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, purpose: str, *entity: int) -> np.random.Generator:
    """The generator of a purpose and an entity: a function of its arguments alone, in every process."""
    named = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(named, *entity))))

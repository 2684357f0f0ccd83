"""CPU work lost, done again and saved, exactly (issue 5, item 6).

In: the facts of step rows. Out: `Work` over any group of rows. Each core-second stands in the one row that paid for it, so
sums over groups add up: all = led to a result + lost. "Again" is the part of what led to a result that was needless.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.distribution import whole
from sim.metrics.steps import StepFacts, owner_rows
from sim.trace import OUT_OF_MEMORY, Codes, Words


@dataclass(frozen=True, slots=True)
class Work:
    """Core-seconds of steps, exports and overheads; None is n/a.

    `cpu_s` = `executed_s` + `lost_s`, and `lost_s` = `failed_s` + `cancelled_s` (killed, and nobody else took it over);
    `out_of_memory_s` is a part of `failed_s`. `again_*_s` are parts of `executed_s`: another runner of the pool had it, this
    one had thrown it away, or a --no-cache build wanted it anew (all that it executed). `would_have_s` = `cpu_s` + `saved_*_s`:
    what the same rows use when nothing is kept and nothing shared.
    """

    cpu_s: float | None = None
    executed_s: float | None = None
    lost_s: float | None = None
    failed_s: float | None = None
    out_of_memory_s: float | None = None
    cancelled_s: float | None = None
    again_clone_s: float | None = None
    again_evicted_s: float | None = None
    again_no_cache_s: float | None = None
    saved_dedup_s: float | None = None
    saved_cache_s: float | None = None
    would_have_s: float | None = None


def work(facts: StepFacts, rows: Codes) -> Work:
    """Sum over some step rows. A trace without steps knows nothing."""
    steps = facts.trace.steps
    if not len(steps):
        return Work()
    failed, cancelled = (rows[steps.equals("outcome", name)[rows]] for name in ("failed", "cancelled"))
    lost = np.concatenate((failed, cancelled))
    executed = rows[~(steps.equals("outcome", "failed") | steps.equals("outcome", "cancelled"))[rows]]
    killed = _begins(steps.words("reason"), OUT_OF_MEMORY)
    misses, missed = steps.words("miss"), _misses(facts, executed)
    again = {name: executed[missed == _code(misses, name)] for name in ("clone", "evicted", "no_cache")}
    return Work(
        cpu_s=whole(facts.cpu_s[rows]),
        executed_s=whole(facts.cpu_s[executed]),
        lost_s=whole(facts.cpu_s[lost]),
        failed_s=whole(facts.cpu_s[failed]),
        out_of_memory_s=whole(facts.cpu_s[failed[killed[failed]]]),
        cancelled_s=whole(facts.cpu_s[cancelled]),
        again_clone_s=whole(facts.cpu_s[again["clone"]]),
        again_evicted_s=whole(facts.cpu_s[again["evicted"]]),
        again_no_cache_s=whole(facts.cpu_s[again["no_cache"]]),
        saved_dedup_s=whole(facts.saved_cpu_s[rows[facts.is_shared[rows]]]),
        saved_cache_s=whole(facts.saved_cpu_s[rows[steps.equals("outcome", "cached")[rows]]]),
        would_have_s=whole(facts.cpu_s[rows] + facts.saved_cpu_s[rows]),
    )


def _misses(facts: StepFacts, executed: Codes) -> Codes:
    """Why each row missed. Who takes over an execution that its owner has left pays for it: the miss is then the owner's."""
    codes = facts.trace.steps.words("miss").codes[executed].copy()
    took_over = facts.is_shared[executed] & (facts.cpu_s[executed] > 0)
    if took_over.any():
        owners = owner_rows(facts.trace, executed[took_over])
        codes[took_over] = np.append(facts.trace.steps.words("miss").codes, -1)[owners]
    return codes


def _code(words: Words, label: str) -> int:
    return words.labels.index(label) if label in words.labels else -2


def _begins(words: Words, with_text: str) -> NDArray[np.bool_]:
    """Where a text column begins so."""
    of_label = np.array([*(str(label).startswith(with_text) for label in words.labels), False], dtype=np.bool_)
    found: NDArray[np.bool_] = of_label[words.codes]
    return found

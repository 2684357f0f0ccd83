"""Whether a prediction agrees with a recorded run of real BuildKit, by the rules of the cases' README.

In: a trace, and a run of truth.json. Out: a list of disagreements, empty when it agrees.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

END_TOLERANCE_S = 0.35
TOGETHER_S = 0.05
# In the recordings `alpine:3.20` was a named context, which BuildKit does not number: [1/2] there is [2/2] here.
_NUMBERS = re.compile(r"(\[(?:[^\]]* )?)\d+/\d+\]")
_INTERNAL = re.compile(r"^\[(\S+ )?(internal|context)\b|\bFROM ")
_WORST = ("ok", "cancelled", "timed_out", "failed")


def plain_name(name: str) -> str:
    return _NUMBERS.sub(r"\1#]", name)


def predicted(trace) -> dict[int, dict]:
    """By request: outcome, start, end, and by step the set of outcomes."""
    found: dict[int, dict] = {}
    request_of = {}
    for row in trace.builds.rows():
        build, request, arrived_s, ended_s, outcome = row[0], row[1], row[7], row[10], row[11]
        request_of[build] = request
        one = found.setdefault(request, {"start": arrived_s, "end": 0.0, "outcome": "ok", "steps": defaultdict(list)})
        one["end"] = max(one["end"], ended_s)
        one["outcome"] = max(one["outcome"], outcome, key=_WORST.index)
    for row in trace.steps.rows():
        if not _INTERNAL.search(row[1]):
            found[request_of[row[0]]]["steps"][plain_name(row[1])].append(row[5])
    return found


def recorded(run) -> dict[int, dict]:
    found: dict[int, dict] = {}
    for build in run:
        one = found.setdefault(
            build["request"], {"start": build["started_s"], "end": 0.0, "outcome": "ok", "steps": defaultdict(list)}
        )
        one["end"] = max(one["end"], build["completed_s"])
        one["outcome"] = max(one["outcome"], build["outcome"], key=_WORST.index)
        for name, step in build["steps"].items():
            if not _INTERNAL.search(name):
                outcome = step["outcome"]
                # Merged into another's just after it had started (semantics 1): it shows as cancelled at once.
                if outcome == "cancelled" and build["outcome"] == "ok":
                    outcome = "shared"
                one["steps"][plain_name(name)].append(outcome)
    return found


def disagreements(trace, run) -> list[str]:
    mine, truth = predicted(trace), recorded(run)
    problems = []
    if mine.keys() != truth.keys():
        return [f"requests {sorted(mine)} instead of {sorted(truth)}"]
    for request, true in truth.items():
        own = mine[request]
        if own["outcome"] != true["outcome"]:
            problems.append(f"request {request}: {own['outcome']} instead of {true['outcome']}")
        if abs(own["end"] - true["end"]) > END_TOLERANCE_S:
            problems.append(f"request {request}: ends at {own['end']:.2f} instead of {true['end']:.2f}")
        together = [other for other in truth if abs(truth[other]["start"] - true["start"]) <= TOGETHER_S]
        for name, outcomes in true["steps"].items():
            own_outcome, true_outcome = _main(own["steps"].get(name, ())), _main(outcomes)
            if own_outcome == true_outcome:
                continue
            # Which of the builds that start together executes is chance; how many do is not (counted below).
            if len(together) > 1 and {own_outcome, true_outcome} == {"executed", "shared"}:
                continue
            problems.append(f"request {request}: {name}: {own_outcome} instead of {true_outcome}")
    executed = Counter(
        name for one in truth.values() for name, got in one["steps"].items() for o in got if o == "executed"
    )
    own_executed = Counter(
        name for one in mine.values() for name, got in one["steps"].items() for o in got if o == "executed"
    )
    for name in executed.keys() | own_executed.keys():
        if executed[name] != own_executed[name]:
            problems.append(f"{name}: executed {own_executed[name]} times instead of {executed[name]}")
    return problems


def _main(outcomes) -> str | None:
    """Of several rows of a step in one request (bake's targets), the one that ran."""
    order = ("failed", "executed", "cancelled", "shared", "cached")
    return min(outcomes, key=order.index, default=None)

"""Rules: which names a pattern matches, what a rule's cost is."""

from math import inf

import pytest

from sim.graph import Step
from sim.profile.rules import RULE_SPREAD, first_match, rules_of
from sim.scenario.fields.costs import CostRule


def a_step(name: str, platform: str = "linux/amd64") -> Step:
    return Step("d", "o", name, "exec", platform)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*npm ci*", "[app build 3/5] RUN npm ci --omit=dev", True),
        ("*npm ci*", "[app build 3/5] RUN npm install", False),
        ("[app build 3/5] *", "[app build 3/5] RUN npm ci", True),
        ("[app build 3/5] *", "a RUN npm ci", False),
        ("[app build ?/5] *", "[app build 3/5] RUN npm ci", True),
        ("RUN x", "[1/2] RUN x", False),
        ("*a.b*", "RUN axb", False),
        ("*first*last*", "RUN first\n  last", True),
        ("*", "anything", True),
    ],
)
def test_only_star_and_question_mark_are_special(pattern, name, matches):
    assert rules_of([CostRule(step=pattern)], "rule")[0].matches(a_step(name)) is matches


def test_first_match_wins_and_the_platform_must_fit():
    rules = rules_of(
        [
            CostRule(step="*npm*", platform="linux/arm64", cpu="9s"),
            CostRule(step="*npm*", cpu="1s"),
            CostRule(step="*", cpu="2s"),
        ],
        "rule",
    )
    found = [first_match(rules, a_step("RUN npm ci", platform)) for platform in ("linux/amd64", "linux/arm64")]
    assert [rule.cost.cpu_s for rule in found] == [1.0, 9.0]
    assert first_match(rules[:1], a_step("RUN npm ci")) is None


def test_a_rule_becomes_a_cost():
    written = CostRule(
        step="*go build*", cpu="2m", threads="all", serial="10%", warm="20%", download="1MB", write="2MB",
        memory="1GiB",        latency="3s", fails="3%", same_output=["dist/"], overlap=True, read="5MB",
    )  # fmt: skip
    cost = rules_of([written], "profile")[0].cost
    assert (cost.cpu_s, cost.threads, cost.serial, cost.warm, cost.latency_s) == (120.0, inf, 0.1, 0.2, 3.0)
    assert (cost.download_bytes, cost.read_bytes, cost.write_bytes, cost.memory_bytes) == (1e6, 5e6, 2e6, 2**30)
    assert (cost.fails, cost.same_output, cost.overlap) == (0.03, ("dist/",), True)
    assert (cost.origin, cost.rule) == ("profile", "*go build*")


def test_what_a_rule_leaves_open():
    silent, told = rules_of(
        [CostRule(step="*", write="2MB"), CostRule(step="*", write="2MB", layer="1MB", spread=0)], "rule"
    )
    assert (silent.cost.layer_bytes, silent.cost.spread) == (2e6, RULE_SPREAD)
    assert (told.cost.layer_bytes, told.cost.spread) == (1e6, 0.0)

"""Random scenarios: valid, seeded, of every kind."""

from pathlib import Path
from random import Random

import pytest
import yaml

from sim.fit.validation.invent import Traits, invent
from sim.fit.validation.search import mutated, random_traits, search
from sim.scenario import load

CORPUS = sorted(path.parent for path in (Path(__file__).parents[2] / "real" / "corpus").glob("*/scenario.yaml"))


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("seed", range(12))
def test_a_random_scenario_is_valid(tmp_path, seed):
    traits = random_traits(Random(seed))
    scenario = load(written(tmp_path, invent(f"r-{seed}", traits, seed)))
    assert len(scenario.workload) == traits.builds
    assert scenario.farm.host is not None


def test_the_same_seed_gives_the_same_texts():
    traits = Traits(kind="mixed", edits=2)
    assert invent("one", traits, 1) == invent("one", traits, 1)
    assert invent("one", traits, 1) != invent("one", traits, 2)


def test_stretching_changes_times_and_no_names():
    traits = Traits()
    short, long = (yaml.safe_load(invent("one", traits, 1, by)["scenario.yaml"]) for by in (1.0, 2.0))
    assert [cost["step"] for cost in short["costs"]] == [cost["step"] for cost in long["costs"]]
    stretched = [[cost for cost in one["costs"] if "FROM" not in cost["step"]] for one in (short, long)]
    cpu_s = [sum(float(str(cost["cpu"])[:-1]) for cost in one) for one in stretched]
    assert cpu_s[1] == pytest.approx(2 * cpu_s[0], rel=0.02)


def test_the_corpus_is_large_enough():
    assert len(CORPUS) >= 24


def test_a_mutation_changes_little():
    traits = random_traits(Random(3))
    changed = mutated(traits, Random(4))
    different = [name for name in Traits.__dataclass_fields__ if getattr(traits, name) != getattr(changed, name)]
    assert len(different) <= 3


def test_the_search_finds_what_is_bad_and_keeps_its_budget():
    tried = search(lambda name, traits, seed: traits.depth + traits.images / 10, 40, seed=1)
    assert len(tried) == 40
    assert tried[0].error == pytest.approx(3.4)
    assert [one.error for one in tried] == sorted((one.error for one in tried), reverse=True)

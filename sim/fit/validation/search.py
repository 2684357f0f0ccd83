"""A search for scenarios that the model predicts badly [Velho et al. 2013: look for where a model fails, not where it works].

In: who measures a scenario's error (one replay against the prediction), a budget of replays, a seed. Out: what was tried,
worst first. Half of the budget is random scenarios, the rest changes the worst ones a little. The largest of many noisy errors
is partly noise: replay the first few again before believing them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from sim.fit.validation.invent import Traits

Evaluate = Callable[[str, Traits, int], float]

_PARENTS = 3
_CHANGES = 2


@dataclass(frozen=True, slots=True)
class Tried:
    """One scenario of the search: what `invent` needs to make it again, and its error as a share."""

    name: str
    traits: Traits
    seed: int
    error: float

    def told(self) -> str:
        """What it is about: the traits that are not the usual ones, and the seed."""
        usual = Traits()
        given = {name: getattr(self.traits, name) for name in Traits.__dataclass_fields__}
        unusual = [f"{name} {value}" for name, value in given.items() if value != getattr(usual, name)]
        return ", ".join([*unusual, f"seed {self.seed}"])


def search(evaluate: Evaluate, budget: int, seed: int) -> list[Tried]:
    """Spend the budget; worst first. Scenarios are named `search-1`, `search-2`, ... in order of trial."""
    random = Random(seed)
    tried: list[Tried] = []
    for number in range(1, budget + 1):
        worst = sorted(tried, key=lambda one: -one.error)[:_PARENTS]
        if number <= (budget + 1) // 2 or not worst:
            traits, at = random_traits(random), random.randrange(1_000_000)
        else:
            parent = random.choice(worst)
            traits, at = mutated(parent.traits, random), parent.seed
        name = f"search-{number}"
        tried.append(Tried(name, traits, at, evaluate(name, traits, at)))
    return sorted(tried, key=lambda one: -one.error)


def random_traits(random: Random) -> Traits:
    """Anything that `invent` can make, within seconds of work."""
    traits = Traits(kind="mixed" if random.random() < 0.6 else "cpu")
    for name in _CHOICES:
        traits = _set(traits, name, random)
    return traits


def mutated(traits: Traits, random: Random) -> Traits:
    """The same but for a trait or two."""
    for name in random.sample(sorted(_CHOICES), _CHANGES):
        traits = _set(traits, name, random)
    return traits


_CHOICES: dict[str, tuple[object, ...]] = {
    "images": (1, 2, 3, 4),
    "stages": (1, 2, 3, 4),
    "depth": (1, 2, 3),
    "builds": (2, 4, 6, 8),
    "size_s": (0.1, 0.3, 0.6, 1.0),
    "gap_s": (0.1, 0.5, 1.0, 2.0),
    "shared": (False, True),
    "edits": (0, 0, 2, 4),
    "slots": (0, 0, 1, 2, 4),
    "platforms": (1, 1, 2),
    "locked": (False, False, True),
    "bake": (False, False, False, True),
    "scale": (0, 0, 0, 1, 2),
    "export": ("", "", "", "oci", "local", "image"),
    "threads": ((1,), (1, 2), (2, 4), (1, 1, 2, 4)),
}


def _set(traits: Traits, name: str, random: Random) -> Traits:
    changed = replace(traits, **{name: random.choice(_CHOICES[name])})  # type: ignore[arg-type]
    # Clones of two platforms would be four runners of half a core: more of the quota's quirks than of the model's.
    return replace(changed, platforms=1) if changed.scale and changed.platforms > 1 else changed

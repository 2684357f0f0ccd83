"""A scenario's builds with synthetic steps: the same shape, keys, mounts and copies, at costs that are given.

In: graphs and costs. Out: a `Recipe` (Dockerfiles, base images, bake files), a `Checkout` of its files, a `Control` server.
"""

from sim.real.recipe.contexts import Checkout, Contexts
from sim.real.recipe.control import Control, Run
from sim.real.recipe.writing import Args, Build, Key, Recipe, write

__all__ = ["Args", "Build", "Checkout", "Contexts", "Control", "Key", "Recipe", "Run", "write"]

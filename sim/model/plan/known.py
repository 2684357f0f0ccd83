"""What a build knows of its steps: final keys, as soon as they can be known, and the digests of results.

In: a compiled graph at a content, a cache's links, results of stages. Out: the final key of a step, or None for not yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.model.plan.compiled import CONTEXT, Compiled, same_result
from sim.model.store.cache import Cache
from sim.workload.request import Content


class Known:
    """By step: `final` keys and `result` digests. `imported` are the results of bases in other projects, by target."""

    __slots__ = ("_compiled", "_imported", "_keys", "_links", "final", "result")

    def __init__(self, compiled: Compiled, content: Content, links: Cache | None, imported: Mapping[str, int]) -> None:
        self.final: list[int | None] = [None] * (compiled.size + 2)
        self.result: list[int | None] = [None] * (compiled.size + 2)
        self._compiled = compiled
        self._keys = compiled.keys(content)
        self._links = links
        self._imported = imported

    def end(self, index: int, key: int, result: int, cache: Cache) -> None:
        """The step has a result; from now on its definition key leads to its final one."""
        self.final[index] = key
        self.result[index] = result
        if self._compiled.content_inputs[index]:
            cache.add_link(self._compiled.link_key(index, self._keys, self._imported), key)

    def key(self, index: int) -> int | None:
        """The final key, if it is known: by definition, by an earlier link, or from the contents of its inputs."""
        key = self.final[index]
        if key is not None:
            return key
        compiled = self._compiled
        if not compiled.dynamic[index]:
            key = self._keys.definition[index]
        else:
            if index in compiled.imports:
                key = compiled.import_key(index, self._imported[compiled.imports[index]])
            elif compiled.content_inputs[index] and self._links is not None:
                key = self._links.link(compiled.link_key(index, self._keys, self._imported))
            if key is None:
                key = self._from_inputs(index)
        self.final[index] = key
        return key

    def links(self) -> dict[int, int]:
        """Which definition keys lead to which final keys, as far as this build knows."""
        compiled = self._compiled
        return {
            compiled.link_key(index, self._keys, self._imported): key
            for index, key in enumerate(self.final[: compiled.size])
            if key is not None and compiled.content_inputs[index]
        }

    def _from_inputs(self, index: int) -> int | None:
        compiled = self._compiled
        contents = {position: (step, paths) for position, step, paths, _ in compiled.content_inputs[index]}
        finals: list[int] = []
        for position, given in enumerate(compiled.inputs[index]):
            if position in contents:
                found = self._content(*contents[position])
            elif compiled.kinds[given] == CONTEXT:
                found = 0
            else:
                found = self.key(given)
            if found is None:
                return None
            finals.append(found)
        return compiled.final_key(index, self._keys.selected, finals)

    def _content(self, step: int, paths: tuple[str, ...]) -> int | None:
        """The digest of the selected paths of a stage's result; None until the stage has one."""
        result = self.result[step]
        if result is None:
            return None
        same = self._compiled.costs[step].same_output
        if isinstance(same, tuple) and all(_covered(path, same) for path in paths):
            return same_result(self._compiled, step)
        return result


def _covered(path: str, stable: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in stable)

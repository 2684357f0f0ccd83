"""Clients' logs as they may be kept: without what steps printed, and with hashes in place of build arguments' values.

In: rawjson as buildctl and buildx write it. Out: the same, one file a client. The hash is keyed anew in every run: equal values
look equal within a run, and no short value can be guessed from it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from sim.errors import replacing
from sim.hide import scrubbed
from sim.real.drive.world import World

_TEXTS = frozenset({"name", "id", "error", "short", "detail", "url"})


class Scrubber:
    """Takes values of build arguments out of a log."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def line(self, line: str, args: Mapping[str, str]) -> str:
        """One line; '' for one that is left out."""
        if not line.startswith("{"):
            return json.dumps({"said": self.text(line.strip(), args)}) if line.strip() else ""
        try:
            event = json.loads(line)
        except ValueError:
            return ""
        for log in event.get("logs") or ():
            log.pop("data", None)
            log.pop("msg", None)
        return json.dumps(self._clean(event, args))

    def text(self, text: str, args: Mapping[str, str]) -> str:
        """A text with `<NAME hash>` in place of values."""
        return scrubbed(text, args, self._mark)

    def _mark(self, name: str, value: str) -> str:
        return f"<{name} {blake2b(value.encode(), key=self._key, digest_size=4).hexdigest()}>"

    def _clean(self, value: object, args: Mapping[str, str], name: str = "") -> object:
        if isinstance(value, dict):
            return {key: self._clean(one, args, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self._clean(one, args, name) for one in value]
        return self.text(value, args) if isinstance(value, str) and name in _TEXTS else value


def keep_logs(world: World, folder: Path) -> None:
    """Write every client's log into the folder, in place of an older run's: CLIENT-TARGETS.jsonl."""
    for old in folder.glob("[0-9]*.jsonl"):
        old.unlink()
    scrubber = Scrubber()
    of_client: dict[int, dict[str, dict[str, str]]] = {}
    for attempt in world.attempts:
        if attempt.client is not None:
            of_client.setdefault(attempt.client.number, {})[attempt.target] = world.arguments(attempt)
    for client in world.clients.started:
        targets = of_client.get(client.number)
        if targets is None:
            continue
        args = {name: value for one in targets.values() for name, value in one.items()}
        label = re.sub(r"[^\w.-]+", "-", "-".join(targets))[:60]
        with (
            client.log.open(encoding="utf-8", errors="replace") as log,
            replacing(folder / f"{client.number:04}-{label}.jsonl") as file,
        ):
            for line in log:
                if kept := scrubber.line(line, args):
                    file.write(kept + "\n")

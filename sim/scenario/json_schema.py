"""The JSON schema of a scenario, for editors: completion and wrong fields while typing.

In: the models. Out: `schema.json` of this package, which shipped scenarios name in their first line.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import JsonValue

from sim.errors import replacing
from sim.scenario.fields.scenario import Scenario

SCHEMA_FILE = Path(__file__).parent / "schema.json"


def schema() -> dict[str, JsonValue]:
    """The JSON schema (draft 2020-12), made of the models. It knows single fields, not the checks between them."""
    made: dict[str, JsonValue] = Scenario.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "buildcast scenario"
    return made


def schema_text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_schema(path: Path = SCHEMA_FILE) -> None:
    """Writes the schema. EnvironmentMissing where the place is not writable."""
    with replacing(path) as file:
        file.write(schema_text())

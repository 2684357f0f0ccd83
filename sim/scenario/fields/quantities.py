"""Field types of a scenario: text with a unit on the way in, a plain float for the program.

In: what YAML gave. Out: seconds, bytes, cores and the like, or a ValueError that says what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sim import units

_LISTED = 30  # names that a message lists; the `farm` section has 18 keys

_DURATION = r"^(\s*[0-9.eE+-]+\s*(w|d|h|m|min|s|ms|us|µs|ns))+\s*$|^P[0-9.WDTHMS]+$"
_SIZE = r"^[0-9.eE+]+\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
_BANDWIDTH = r"^[0-9.eE+]+\s*([kMGT]?bit/s|[kMG]?bps|([kKMGT]?B|[KMGT]iB)/s)$"
_MONEY = r"^\$?\s*[0-9.eE+-]+\s*(/\s*[A-Za-z-]+)?$"


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, an empty value means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, written: object) -> object:
        """`profile:` with nothing behind it is as if it were not there; a field that may be None keeps it."""
        if written is None:
            return {}
        if not isinstance(written, dict):
            return written
        fields = {(field.alias or name): field for name, field in cls.model_fields.items()}
        return {
            key: value
            for key, value in written.items()
            if value is not None or key not in fields or fields[key].get_default(call_default_factory=True) is None
        }


class Quantity:
    """Marks a float that is written with a unit; carries its parser and what an editor should know of it."""

    def __init__(
        self,
        parse: Callable[[str | int | float], float],
        pattern: str,
        meaning: str,
        *,
        words: Mapping[str, float] | None = None,
        positive: bool = False,
    ) -> None:
        self.parse, self.pattern, self.meaning = parse, pattern, meaning
        self.words, self.positive = words or {}, positive

    def read(self, written: Any) -> float:
        """The value, or ValueError."""
        if isinstance(written, str) and written.strip() in self.words:
            return self.words[written.strip()]
        value = self.parse(written)
        if self.positive and value <= 0:
            raise ValueError(f"{written} must be more than 0")
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text: JsonSchemaValue = {"type": "string", "pattern": self.pattern}
        choices = [text, {"type": "number", "minimum": 0}]
        if self.words:
            choices.append({"enum": list(self.words)})
        return {"anyOf": choices, "description": self.meaning}


class WholeNumber:
    """Marks an int from `least` on; `true` and `2.5` are none."""

    def __init__(self, least: int) -> None:
        self.least = least

    def read(self, written: object) -> int:
        """The value, or ValueError."""
        if isinstance(written, bool) or not isinstance(written, int):
            raise ValueError(f"'{written}' is not a whole number; write {max(self.least, 1)} or more")
        if written < self.least:
            raise ValueError(f"{written} is too small; it must be {self.least} or more")
        return written

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.least}


class PlainSchema:
    """Gives a field that has a validator of its own the JSON schema that editors see."""

    def __init__(self, schema: JsonSchemaValue) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return self.schema


class OrElse:
    """Adds further forms to the JSON schema of a field, for what a validator before it turns into the proper one."""

    def __init__(self, *forms: JsonSchemaValue) -> None:
        self.forms = forms

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), *self.forms]}


def switch(written: object) -> bool:
    """`on`, `off`, `true`, `false`."""
    known = {"on": True, "off": False, "yes": True, "no": False}
    if isinstance(written, bool):
        return written
    if isinstance(written, str) and written in known:
        return known[written]
    raise ValueError(f"'{written}' is neither on nor off; write on or off")


def one_or_more(written: object) -> object:
    """`build: app` is short for `build: [app]`."""
    return [written] if isinstance(written, str) else written


def off_is_none(written: object) -> object:
    """`autoscaling: off` is the same as leaving it out."""
    return None if written in ("off", False) else written


def _text(written: object) -> object:
    return str(written) if isinstance(written, int | float) and not isinstance(written, bool) else written


def _platform_name(written: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?", written):
        raise ValueError(f"'{written}' is not a platform; write os/architecture, as linux/amd64")
    return written


Seconds = Annotated[float, Quantity(units.parse_duration_s, _DURATION, "a duration: 90s, 5m, 1h30m, 250ms, 14d")]
PositiveSeconds = Annotated[
    float, Quantity(units.parse_duration_s, _DURATION, "a duration above 0: 5m, 14d", positive=True)
]
SecondsOrNever = Annotated[
    float,
    Quantity(units.parse_duration_s, _DURATION, "a duration, or never", words={"never": inf, "none": inf}),
]
CoreSeconds = Annotated[float, Quantity(units.parse_duration_s, _DURATION, "core-seconds in all: 40s on one core")]
Bytes = Annotated[float, Quantity(units.parse_bytes, _SIZE, "a size: 200MB (decimal), 2GiB (binary), 1024B")]
PositiveBytes = Annotated[float, Quantity(units.parse_bytes, _SIZE, "a size above 0: 50GB, 32GiB", positive=True)]
BytesOrUnlimited = Annotated[
    float,
    Quantity(units.parse_bytes, _SIZE, "a size above 0, or unlimited", positive=True, words={"unlimited": inf}),
]
Bandwidth = Annotated[
    float,
    Quantity(
        units.parse_bandwidth_bytes_per_s,
        _BANDWIDTH,
        "a bandwidth: 5Gbit/s, 500MB/s, or unlimited",
        positive=True,
        words={"unlimited": inf},
    ),
]
RatePerSecond = Annotated[
    float, Quantity(units.parse_rate_per_s, r"^[0-9.eE+]+\s*/\s*[a-z]+$", "a rate: 12/h, 100/day", positive=True)
]
Share = Annotated[float, Quantity(units.parse_share, r"^[0-9.eE+-]+\s*%?$", "a share: 8% or 0.08")]
PositiveShare = Annotated[
    float, Quantity(units.parse_share, r"^[0-9.eE+-]+\s*%?$", "a share above 0: 5%", positive=True)
]
Cores = Annotated[
    float,
    Quantity(units.parse_cores, r"^[0-9.eE+-]+\s*(cpus?|cores?)?$", "cores: 16, 0.5cpu", positive=True),
]
Threads = Annotated[
    float,
    Quantity(
        units.parse_cores,
        r"^[0-9.eE+-]+$",
        "threads: 4, or all of the runner's cores",
        positive=True,
        words={"all": inf},
    ),
]
DollarsPerMinute = Annotated[float, Quantity(partial(units.parse_money, per="min"), _MONEY, "dollars a minute: $0.04")]
DollarsPerHour = Annotated[float, Quantity(partial(units.parse_money, per="h"), _MONEY, "dollars an hour: $100")]
DollarsPerGBMonth = Annotated[
    float, Quantity(partial(units.parse_money, per="GB-month"), _MONEY, "dollars a GB and month: $0.20")
]
WeekSecond = Annotated[
    float, Quantity(units.parse_start, r"^[A-Za-z]+ [0-9]{1,2}:[0-9]{2}$", "a weekday and a time: mon 08:00")
]
Count = Annotated[int, WholeNumber(0)]
PositiveCount = Annotated[int, WholeNumber(1)]
Switch = Annotated[bool, BeforeValidator(switch), PlainSchema({"enum": ["on", "off", True, False]})]
Text = Annotated[str, BeforeValidator(_text), PlainSchema({"type": ["string", "number", "boolean"]})]
Names = Annotated[tuple[str, ...], BeforeValidator(one_or_more), OrElse({"type": "string"})]
PlatformName = Annotated[str, AfterValidator(_platform_name)]


def nearest(word: str, choices: Iterable[str]) -> str:
    """The hint after an unknown word: `did you mean 'sticky'? (fill_first, least_loaded, sticky, random)`."""
    known = list(choices)
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    found = found or [choice for choice in known if word and choice.startswith(word)]
    listed = ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
    return f"did you mean '{found[0]}'? ({listed})" if found else f"known: {listed}" if known else ""


def literals(kind: object) -> tuple[str, ...]:
    """The values of a Literal type."""
    return tuple(str(value) for value in get_args(kind))

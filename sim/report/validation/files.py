"""The files of a validation: a page, numbers, a figure.

In: a `Validation` and a folder. Out: `validation.{md,json,png}`.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.errors import replacing
from sim.fit.validate import Validation
from sim.report.figures import save
from sim.report.validation.figure import validation_figure
from sim.report.validation.text import validation_markdown
from sim.trace.meta import plain

FILES = ("validation.md", "validation.json", "validation.png")


def write_validation(found: Validation, folder: Path) -> list[Path]:
    """Write the three files. EnvironmentMissing: the disk refuses."""
    page, numbers, picture = (folder / name for name in FILES)
    with replacing(numbers) as file:
        json.dump(plain({"schema_version": 1} | found.to_json()), file, indent=1, allow_nan=False)
        file.write("\n")
    save(validation_figure(found), picture)
    with replacing(page) as file:
        file.write("\n".join(validation_markdown(found)) + "\n")
    return [page, numbers, picture]

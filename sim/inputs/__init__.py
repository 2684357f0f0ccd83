"""What people have (logs of builds, a daemon's memory of them) as measured traces.

In: rawjson and plain progress of buildctl and buildx, `.dockerbuild` bundles, a daemon's address. Out: `Recorded` builds,
and the `Trace` that they give together; `Vertices`, `Owners`, `step_rows` for those who watch builds themselves.
"""

from sim.inputs.formats.history import read_answers, read_daemon
from sim.inputs.read import read_log
from sim.inputs.recorded import Recorded, assemble
from sim.inputs.rows import BuildFacts, build_row, step_rows
from sim.inputs.sharing import Owners, align
from sim.inputs.status import Seen, Vertices

__all__ = [
    "BuildFacts",
    "Owners",
    "Recorded",
    "Seen",
    "Vertices",
    "align",
    "assemble",
    "build_row",
    "read_answers",
    "read_daemon",
    "read_log",
    "step_rows",
]

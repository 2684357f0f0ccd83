"""Lets tests import `stress_worlds`, `stress_runs` and `stress_invariants` from beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

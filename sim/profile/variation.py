"""How a daemon and its machine vary: from execution to execution, and from one replication to the next.

In: sigmas that a calibration found (a profile file's `spread`, `error` and `core_speed`). Out: factors as functions of (seed,
what), so that a replication draws the same whoever asks. Without a profile file nothing varies here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import exp

from sim.profile import draws
from sim.profile.cost import Daemon


@dataclass(frozen=True, slots=True)
class Variation:
    """Lognormal sigmas. `spreads`: single executions of a constant; `errors`: how well a constant is known; `core`: the speed of
    the machine's cores from one run to the next (buildkit-semantics 13.3: sd 1.7 %); `share`: a step's share of busy cores, as
    the kernel's scheduler gives it, against a fair one, of a step that needs one core-second (`unevenness`); `whole`: all that
    the daemon does and waits for, from one scenario to the next, which its constants do not explain.
    """

    spreads: tuple[tuple[str, float], ...] = ()
    errors: tuple[tuple[str, float], ...] = ()
    core: float = 0.0
    share: float = 0.0
    whole: float = 0.0

    def spread(self, name: str) -> float:
        """Of single executions; 0 where nobody measured it."""
        return next((sigma for known, sigma in self.spreads if known == name), 0.0)

    def factor(self, name: str, seed: int, key: int, attempt: int = 0) -> float:
        """Of one execution of a constant: lognormal, of mean 1, for the values are fitted to means; 1 without a spread."""
        sigma = self.spread(name)
        return draws.factor(seed, key ^ _number(name), attempt, sigma) * exp(-sigma * sigma / 2) if sigma else 1.0

    @property
    def is_none(self) -> bool:
        """Every replication has the same daemon on the same machine."""
        return not self.errors and self.core == self.share == self.whole == 0.0

    def slowness(self, seed: int) -> float:
        """By what factor work on the cores takes longer in this replication."""
        return draws.factor(seed, _number("core"), 0, self.core)

    def weight(self, seed: int, key: int, attempt: int, cpu_s: float, cpus: float) -> float:
        """Of one step of `cpu_s` core-seconds among those it shares a runner's cores with."""
        return draws.factor(seed, key ^ _number("share"), attempt, self.share * unevenness(cpu_s, cpus))

    def daemon(self, daemon: Daemon, seed: int) -> Daemon:
        """The daemon of one replication: constants as uncertain as they are, on cores as fast as they are this time."""
        slow = self.slowness(seed)
        whole = draws.factor(seed, _number("daemon"), 0, self.whole) * exp(-self.whole * self.whole / 2)
        errors = dict(self.errors)
        changed = {
            name: getattr(daemon, name)
            * draws.factor(seed, _number(name), 0, errors.get(name, 0.0))
            * (slow if name.endswith("cpu_s") else 1.0)
            * (whole if name in TIMES else 1.0)
            for name in Daemon.__dataclass_fields__
            if name != "daemon_cgroup"
        }
        return replace(daemon, **changed)


CONSTANT = Variation()
TIMES = tuple(name for name in Daemon.__dataclass_fields__ if name.endswith("_s") and name != "lock_poll_s")
"""Constants that are a daemon's or a client's time, by piece, byte or file."""
_SHORT_CORE_S, _EVENING = 0.25, -0.2


def unevenness(cpu_s: float, cpus: float) -> float:
    """How much more unevenly a step gets its share than one of a core-second: luck evens out, but slowly, for the kernel
    leaves threads where they are (corpus, 435 executions: weights that follow cpu_s ** -0.2 spread the steps of 0.2, 0.5, 1,
    2 and 5 core-s as they were measured, the root gives short ones a quarter more and long ones a third less).

    What is luck is which threads meet on a core: 0 where there is only one.
    """
    return float(max(cpu_s, _SHORT_CORE_S) ** _EVENING) if cpus > 1.0 else 0.0


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

"""Small observed runs."""

from math import inf

from sim.fit.validation.observed import BuildId, Observed, Seen


def a_build(request=0, target="app", platform="linux/amd64"):
    return BuildId(request, target, (platform,))


def a_run(*ends_s, arrived_s=None, steps=None, outcome="ok"):
    """One build a request, that ends then; `steps`: by request, outcomes by name. None: nobody saw its end."""
    arrivals = arrived_s or [0.0] * len(ends_s)
    return Observed(
        {
            a_build(at): Seen(
                arrivals[at],
                inf if end_s is None else end_s,
                outcome,
                {name: (value,) for name, value in (steps or {}).get(at, {}).items()},
            )
            for at, end_s in enumerate(ends_s)
        }
    )

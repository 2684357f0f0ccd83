"""The makespan of a build that is alone: between work over cores and critical path, and their sum [Brent 1974; Graham 1969].

In: random graphs of one-thread steps. Out: whether the bounds hold; equality on one core and on cores without end.
"""

from math import inf

from builders import a_farm, a_graph, a_request, ends, ideal, run, simulated
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.model.buildkit.daemon import Daemon
from sim.model.machine.fair_share import Group
from sim.model.plan.compiled import Compiled

CLOSE = 1e-9


@st.composite
def dags(draw):
    """Costs in core-seconds, and for each step the earlier steps that it takes."""
    size = draw(st.integers(1, 14))
    costs = draw(st.lists(st.floats(0.01, 100.0), min_size=size, max_size=size))
    inputs = [draw(st.sets(st.integers(0, step - 1), max_size=3)) if step else set() for step in range(size)]
    return costs, [tuple(sorted(given)) for given in inputs]


def makespan(costs, inputs, cpus, slots=0):
    """How long the model takes for it."""
    steps = [run(f"step {step}", *given) for step, given in enumerate(inputs)]
    graph = a_graph(*steps, run("join", *range(len(steps))))
    profile = ideal(*((f"RUN step {step}", {"cpu": cost}) for step, cost in enumerate(costs)))
    farm = a_farm(cpus=cpus, max_parallelism=slots)
    return ends(simulated(graph, [a_request(0)], profile, farm, steps=False))[0]


def critical_path(costs, inputs):
    ended = []
    for cost, taken in zip(costs, inputs, strict=True):
        ended.append(cost + max((ended[step] for step in taken), default=0.0))
    return max(ended)


def within_bounds(costs, inputs, cores, slots=0):
    """Brent's and Graham's bounds on `cores` of unit speed; slots, when fewer, are the cores."""
    taken, whole, longest = makespan(costs, inputs, float(cores), slots), sum(costs), critical_path(costs, inputs)
    at_once = min(cores, slots or cores)
    lower = max(whole / at_once, longest)
    upper = whole / at_once + (1 - 1 / at_once) * longest
    return lower * (1 - CLOSE) <= taken <= upper * (1 + CLOSE)


def exact(costs, inputs):
    """On one core all work, on cores without end the critical path."""
    of_one, of_all = makespan(costs, inputs, 1.0), makespan(costs, inputs, inf)
    return abs(of_one / sum(costs) - 1.0) <= CLOSE and abs(of_all / critical_path(costs, inputs) - 1.0) <= CLOSE


# The second and third end at one time, which floats reach a little late: SimPy refused the timer.
THREE_ENDS = ([1.0, 0.01, 0.01], [(), (), ()])
DIAMOND = ([1.0, 2.0, 3.0, 4.0], [(), (0,), (0,), (1, 2)])


@settings(max_examples=200, deadline=None, print_blob=True)
@given(dag=dags(), cores=st.integers(1, 5), slots=st.integers(0, 5))
@example(dag=THREE_ENDS, cores=1, slots=0)
def test_makespan_is_within_brents_and_grahams_bounds(dag, cores, slots):
    assert within_bounds(*dag, cores, slots)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(dag=dags())
def test_one_core_takes_all_work_and_cores_without_end_the_critical_path(dag):
    assert exact(*dag)


def test_twin_fails_when_cores_are_left_idle(monkeypatch):
    """Broken: the machine gives out half a core less than it has."""
    monkeypatch.setattr(Group, "fill", lambda group, allowance, fill=Group.fill: fill(group, allowance - 0.5))
    assert not within_bounds([1.0] * 4, [()] * 4, 1)
    assert not exact(*DIAMOND)


def test_twin_fails_when_steps_do_not_share_the_cores(monkeypatch):
    """Broken: every step runs at its cap, so many together are faster than the work over the cores."""
    monkeypatch.setattr(Group, "fill", lambda group, allowance, fill=Group.fill: fill(group, group.demand()))
    assert not within_bounds([1.0] * 4, [()] * 4, 2)
    assert not exact(*DIAMOND)


def test_twin_fails_when_slots_have_no_limit(monkeypatch):
    """Broken: the daemon forgets its limit, so more steps run at once than there are slots."""
    make = Daemon.__init__
    monkeypatch.setattr(Daemon, "__init__", lambda *args, **options: make(*args, **(options | {"slots": 0})))
    assert not within_bounds([1.0] * 4, [()] * 4, 4, slots=2)


def test_twin_fails_when_a_step_does_not_wait_for_its_inputs(monkeypatch):
    """Broken: the solver waits for inputs of the last step only, so what depends on each other runs side by side."""
    make = Compiled.__init__

    def careless(self, graph, profile):
        make(self, graph, profile)
        last = len(graph.steps) - 1
        self.inputs = [given if step == last else () for step, given in enumerate(self.inputs)]

    monkeypatch.setattr(Compiled, "__init__", careless)
    assert not within_bounds(*DIAMOND, 4)
    assert not exact(*DIAMOND)

"""What a replay looks like from beside: samples of runners, other work on the machine, names of steps, clients' logs.

In: the world of `sim.real.drive`. Out: rows and notes for `sim.real.record` and `sim.real.replay`.
"""

"""The requests of a run in real time: a clock, pools with real daemons, requests in progress, what they looked like.

In: what `sim.real.replay` made ready. Out: what happened. It mirrors `sim.model.simulate`, `order` and `site`.
"""

"""The simulated world: requests on a farm, in SimPy's time. `sim.model.simulate.simulate` is the entry."""

"""A BuildKit daemon and its builds: keys, cache, slots, sharing. Pure state machines; `sim.model.engine` gives them time."""

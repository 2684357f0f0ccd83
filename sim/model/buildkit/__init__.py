"""A BuildKit daemon and its builds: keys, cache, slots, sharing. Pure state machines; `engine.py` gives them SimPy's time."""

"""The fields of a scenario, as pydantic models: one module a section of the file (design section 3).

In: plain values of the YAML tree. Out: frozen models with parsed quantities; attributes have the names of the file and
are in seconds, bytes, cores, dollars and events per second.
"""

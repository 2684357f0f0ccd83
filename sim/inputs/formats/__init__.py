"""The formats in which people have builds: rawjson, plain progress, a daemon's history, `.dockerbuild` bundles.

In: lines, bytes, answers of a daemon. Out: `Recorded` builds.
"""

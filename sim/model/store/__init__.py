"""What a runner's disk holds: records and links, cache mounts, copies of contexts, and how room is made for more."""

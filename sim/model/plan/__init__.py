"""Graphs made ready for the inner loop: their steps as lists, their keys at a content, their parts by lease."""

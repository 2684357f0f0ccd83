"""What arrives: pushes, commits, failures and re-runs, drawn before any farm is chosen."""

from sim.workload.draw import draw
from sim.workload.request import Content, Request

__all__ = ["Content", "Request", "draw"]

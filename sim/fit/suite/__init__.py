"""A few minutes of builds on a real daemon that show its constants and the machine under it."""

from sim.fit.suite.measure import Suite, measure

__all__ = ["Suite", "measure"]

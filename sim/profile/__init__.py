"""What a step costs: rules, a calibrated profile, priors, and a daemon's own constants."""

from sim.profile.constants import CONSTANTS, DAEMON, IDEAL
from sim.profile.cost import Cost, Daemon, Origin
from sim.profile.costs import Profile

__all__ = ["CONSTANTS", "DAEMON", "IDEAL", "Cost", "Daemon", "Origin", "Profile"]

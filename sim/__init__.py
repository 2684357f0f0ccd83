"""buildcast: forecast a container-build farm before you buy it."""

__version__ = "0.1.0"

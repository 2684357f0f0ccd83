"""A validation for people: tables for a terminal, Markdown pages, a figure."""

from sim.report.validation.decisions import decision_lines, write_decisions
from sim.report.validation.figure import validation_figure
from sim.report.validation.files import FILES, write_validation
from sim.report.validation.text import validation_lines, validation_markdown

__all__ = [
    "FILES",
    "decision_lines",
    "validation_figure",
    "validation_lines",
    "validation_markdown",
    "write_decisions",
    "write_validation",
]

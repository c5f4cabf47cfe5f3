"""Surrogate realities that training never equals: a population of them, their severities, and what keeps them apart."""

from scenes.twins.leakage import Leak, leak
from scenes.twins.population import NAMES, SEALED, at_severity, require_open, severity_of, twin
from scenes.twins.severity import BANDS, GROUPS, SEVERITIES, Severity

__all__ = [
    "BANDS",
    "GROUPS",
    "NAMES",
    "SEALED",
    "SEVERITIES",
    "Leak",
    "Severity",
    "at_severity",
    "leak",
    "require_open",
    "severity_of",
    "twin",
]

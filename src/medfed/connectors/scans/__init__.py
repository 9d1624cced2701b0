"""Scans in every form that medfed reads, by one door."""

from medfed.connectors.scans.problems import PROBLEMS, ScanError, ScanProblem
from medfed.connectors.scans.reading import ReadScan, read_grid, read_labels, read_scan

__all__ = [
    "PROBLEMS",
    "ReadScan",
    "ScanError",
    "ScanProblem",
    "read_grid",
    "read_labels",
    "read_scan",
]

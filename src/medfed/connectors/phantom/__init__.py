"""Synthetic thorax CTs with lung nodules, one folder for each made-up hospital.

Nothing here shows a person, and a figure obtained on it says nothing clinical.
"""

from medfed.connectors.phantom.patient import Patient, draw_patient
from medfed.connectors.phantom.scanner import PRESETS, Scanner, scanner_of
from medfed.connectors.phantom.writer import Phantom, make_phantom

__all__ = [
    "PRESETS",
    "Patient",
    "Phantom",
    "Scanner",
    "draw_patient",
    "make_phantom",
    "scanner_of",
]

"""What the report says, a module for each section, as plain data for its template.

Each has a function `section`; other functions are for the model card too.
"""

from medfed.services.reports.sections import (
    calibration,
    comparison,
    cost,
    curves,
    headline,
    importance,
    notes,
    participation,
    pictures,
    receipts,
    repeat,
    results,
    study,
)

__all__ = [
    "calibration",
    "comparison",
    "cost",
    "curves",
    "headline",
    "importance",
    "notes",
    "participation",
    "pictures",
    "receipts",
    "repeat",
    "results",
    "study",
]

"""What a run leaves for people: a report to look at and a model card to file.

Import it where a run ends, not at start-up: it brings Jinja2, and Matplotlib with the first chart.
"""

from medfed.services.reports.card import TOLD, card_in, retell, write_model_card
from medfed.services.reports.report import report_in, write_report

__all__ = ["TOLD", "card_in", "report_in", "retell", "write_model_card", "write_report"]

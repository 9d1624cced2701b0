"""The table at the end of the demo."""

from __future__ import annotations

from medfed.cli.demo import _show


def test_a_figure_without_an_interval_is_shown_by_itself(capsys):
    nothing = {"value": 0.0, "low": None, "high": None}
    _show(
        {
            "sites": {"federated": {"north": 0.4}, "all-background": {"north": 0.0}},
            "intervals": {
                "federated": {"value": 0.41, "low": 0.3, "high": 0.5},
                "all-background": nothing,
            },
            "patients": 9,
            "with_nodules": 7,
        }
    )
    said = capsys.readouterr().out
    assert "0.41 [0.30, 0.50]" in said
    assert "None" not in said
    assert "2 without" in said

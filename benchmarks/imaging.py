"""What imaging costs: reading, a training step, a prediction, in time and in memory.

Every group is measured in a fresh process. Where there is a GPU, a last group tells what it does;
its rows carry the device's name and have no limit.
"""

import importlib
import json
import sys

from _common import Row, arguments, in_fresh_process, report

GROUPS = {
    "prediction": "_imaging_prediction:prediction_rows",
    "training": "_imaging_training:step_rows",
    "precision": "_imaging_training:precision_rows",
    "memory": "_imaging_prediction:memory_rows",
    "reading": "_imaging_reading:reading_rows",
    "device": "_imaging_device:device_rows",
}
"""Each by the function that measures it; `--only` runs some of them."""


def measured(group: str, *, quick: bool) -> list[Row]:
    """In the fresh process: the rows of a group."""
    module, _, function = GROUPS[group].partition(":")
    rows: list[Row] = getattr(importlib.import_module(module), function)(quick)
    return rows


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        print(json.dumps(measured(sys.argv[2], quick=sys.argv[3] == "quick")))
        return
    parser = arguments(__doc__)
    words = f"groups with commas between: {', '.join(GROUPS)}"
    parser.add_argument("--only", default=",".join(GROUPS), help=words)
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; {words}")
    size = "quick" if given.quick else "full"
    rows = [row for name in chosen for row in in_fresh_process(__file__, "child", name, size)]
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()

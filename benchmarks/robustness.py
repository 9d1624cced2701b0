"""What each rule bears: five attacks by two of eleven sites, on real patients, in real runs.

Accuracy on the test patients of the nine honest hospitals: 569 real patients of the breast cancer
data, dealt out by Dirichlet draws that differ between seeds; a network of one hidden layer, ten
rounds. `--docs FILE` writes the table into a page, between its marks.
"""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

from _attacks import ATTACKS, features, hostile_channel, write_sites
from _common import Row, arguments, report, row

from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.services import run_sites
from medfed.services.runs import RunOptions, start

SITES = tuple(f"site{number:02}" for number in range(11))
HOSTILE = (SITES[3], SITES[7])
SEEDS = (1, 2, 3)
ROUNDS = 10
RULES = {
    "mean": 'name = "mean"',
    "mean, norm_limit = 3": 'name = "mean"\nnorm_limit = 3.0',
    "median": 'name = "median"',
    "trimmed-mean": 'name = "trimmed-mean"\ntrim = 0.2',
    "geometric-median": 'name = "geometric-median"',
    "centred-clipping": 'name = "centred-clipping"',
    "multi-krum": 'name = "multi-krum"\nwrong = 2',
    "nnm-trimmed-mean": 'name = "nnm-trimmed-mean"\nwrong = 2',
}
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def study_of(rule: str, seed: int, rounds: int) -> Study:
    """The study that all rules are tried on."""
    return parse_study(f"""
title = "Robustness"
sites = {list(SITES)!r}
rounds = {rounds}
min_sites = {len(SITES) - len(HOSTILE)}
seed = {seed}
[task]
name = "tabular-classification"
target = "malignant"
numeric = {features()!r}
hidden = [16]
[source]
name = "csv"
file = "{{site}}.csv"
patient = "patient"
[split]
name = "hash"
test = 0.3
[strategy]
name = "fedavg"
local_epochs = 1
batch_size = 16
lr = 0.1
[aggregator]
{rule}
""")


def accuracy(rule: str, attack: str, seed: int, rounds: int) -> float:
    """Accuracy over the test patients of the honest sites, after one run.

    Args:
        rule: One of `RULES`.
        attack: See `_attacks.ATTACKS`.
        seed: Of the draw of patients, and of the study.
        rounds: Of the study.
    """
    channel = hostile_channel(ATTACKS[attack], HOSTILE if ATTACKS[attack] else ())
    with tempfile.TemporaryDirectory(prefix="medfed-robustness-") as place:
        data = Path(place) / "data"
        data.mkdir()
        write_sites(data, SITES, HOSTILE if attack == "label flip" else (), seed)
        options = RunOptions(Path(place) / "run", data=data, report=False)
        with mock.patch.object(run_sites, "LocalChannel", channel):
            result = start(study_of(RULES[rule], seed, rounds), options)
    right = total = 0.0
    for site in set(SITES) - set(HOSTILE):
        patients = result["patients"][site]
        right += patients * result["metrics"]["sites"][site]["accuracy"]["value"]
        total += patients
    return right / total


Cells = Mapping[tuple[str, str], Sequence[float]]


def measured(seeds: Sequence[int], rounds: int) -> Cells:
    """Accuracy in percent of every rule under every attack, a figure a seed."""
    return {
        (rule, attack): [100 * accuracy(rule, attack, seed, rounds) for seed in seeds]
        for rule in RULES
        for attack in ATTACKS
    }


def rows_of(cells: Cells) -> list[Row]:
    """The benchmark's rows: without a limit, for a table makes no promise."""
    found = []
    for (rule, attack), values in cells.items():
        name = f"{rule}, {attack}"
        found.append(row(f"{name}: accuracy", statistics.mean(values), "%", None, "higher"))
        if len(values) > 1:
            found.append(row(f"{name}: spread over seeds", statistics.stdev(values), "%"))
    return found


def table(cells: Cells) -> str:
    """The cells as a Markdown table: mean ± standard deviation over seeds."""
    lines = ["| rule | " + " | ".join(ATTACKS) + " |", "|---|" + "---:|" * len(ATTACKS)]
    for rule in dict.fromkeys(rule for rule, _ in cells):
        values = [cells[rule, attack] for attack in ATTACKS]
        figures = [f"{statistics.mean(v):.0f} ± {statistics.stdev(v):.0f}" for v in values]
        lines.append(f"| `{rule}` | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def write_docs(page: Path, text: str) -> None:
    """Put the table into a page, between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    given = parser.parse_args()
    cells = measured(SEEDS[:1], 1) if given.quick else measured(SEEDS, ROUNDS)
    if given.docs and not given.quick:
        write_docs(given.docs, table(cells))
    report(rows_of(cells), as_json=given.json)


if __name__ == "__main__":
    main()

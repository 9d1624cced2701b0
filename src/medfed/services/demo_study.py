"""The demo's study and its patients, in one place: small enough for a minute on two cores."""

from medfed.core.study import Study
from medfed.core.study_file import parse_study

HOSPITALS = ("northgate", "riverside", "hillcrest")
PATIENTS = 16
SEED = 1

TEXT = """\
# The study of `medfed demo`: examples/nodules.toml, made small enough for a minute on two cores.

title = "Demo: lung nodules on CT, three synthetic hospitals"
question = "Which voxels of this chest CT belong to a nodule?"
sites = ["northgate", "riverside", "hillcrest"]
rounds = 7
min_sites = 2
seed = 1

[task]
name = "nodule-segmentation"
filters = [16, 32, 64]     # three levels
patch = 16
positive = 0.5
augment = 0.0              # in a minute no patient is seen often enough to be varied
threshold = 0.7            # half of the patches hold a nodule, of a scan next to nothing does

[source]
name = "volumes"

[split]
name = "shuffle"
test = 0.25                # the held-out patients that all figures are about
valid = 0.08               # one patient a hospital, to watch while learning goes on

[strategy]
name = "fedavg"
local_steps = 40
batch_size = 4
optimizer = "adam"
lr = 0.006
lr_schedule = "cosine"
"""


def demo_study() -> Study:
    """The federated study."""
    return parse_study(TEXT)


def alone(study: Study, site: str) -> Study:
    """What one hospital does by itself: the same network, rounds, steps and patients."""
    return study.evolve(title=f"Demo: {site} alone", sites=(site,), min_sites=1)

"""Studies to begin with: what ``medfed study new`` writes and the console offers."""

TEMPLATES = {
    "tabular-classification": """\
# A study: the plan that every site reads, approves and signs.
# `medfed parts` lists everything that can stand here; `medfed study check FILE` checks it.

title = "Breast cancer from cell measurements"
question = "Is this tumour malignant?"
sites = ["north", "west", "south"]
rounds = 15
min_sites = 2              # replies that a round needs
deadline = 600             # seconds a site has for its reply
seed = 1

[task]                     # the learning problem
name = "tabular-classification"
target = "diagnosis"       # the column to predict ...
positive = "= malignant"   # ... and when it counts as positive
numeric = ["mean radius", "mean texture", "mean smoothness", "mean concavity"]
scaling = "federated"      # mean and deviation over all sites, from sums only

[source]                   # what kind of data each site has
name = "breast-cancer"     # ships with scikit-learn; for your own tables use "csv"

[split]                    # by patient
name = "hash"
test = 0.25                # held out for the final figures
valid = 0.15               # held out for stopping and choosing

[strategy]                 # how sites learn together
name = "fedavg"
local_epochs = 2
lr = 0.1

[aggregator]               # how their updates become one
name = "mean"

[stop]                     # optional: stop when validation no longer improves
metric = "auc"
patience = 8
""",
    "nodule-segmentation": """\
# A study: the plan that every site reads, approves and signs.
# `medfed parts` lists everything that can stand here; `medfed study check FILE` checks it.

title = "Lung nodules on CT"
question = "Which voxels of this chest CT belong to a nodule?"
sites = ["hospital_a", "hospital_b", "hospital_c"]
rounds = 20
min_sites = 2              # replies that a round needs
deadline = 3600            # seconds a site has for its reply
seed = 1

[task]                     # the learning problem: a 3D U-Net on patches
name = "nodule-segmentation"

[source]                   # CT volumes with masks: SITE/PATIENT/ct.mhd and mask.mhd
name = "volumes"           # `medfed data phantom --out DIR` makes synthetic ones

[split]                    # by patient
name = "hash"
test = 0.25

[strategy]
name = "fedavg"
local_steps = 20
optimizer = "adam"
lr = 0.002
batch_size = 4

[aggregator]
name = "mean"
""",
}

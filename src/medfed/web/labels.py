"""What people call a study's options, beside their identifiers."""

import re
from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

OPTIONS: Mapping[str, object] = {
    # study fields
    "title": _l("Title"),
    "question": _l("Clinical question"),
    "sites": _l("Hospitals"),
    "rounds": _l("Rounds"),
    "min_sites": _l("Fewest replies a round"),
    "deadline": _l("Time to reply, seconds"),
    "report": _l("Whose figures are shown"),
    "keep": _l("Model that is kept"),
    "seed": _l("Seed of chance"),
    "sampling.fraction": _l("Share of hospitals in a round"),
    "stop.metric": _l("Metric to watch"),
    "stop.patience": _l("Rounds to wait"),
    "stop.min_delta": _l("Smallest improvement"),
    "cohort.where": _l("Conditions on patients"),
    "cohort.min_patients": _l("Fewest training patients"),
    "guideline.title": _l("Title of the guideline"),
    "guideline.url": _l("Address of the guideline"),
    "compare.recipes": _l("Ways of learning compared"),
    "compare.strategies": _l("Other strategies compared"),
    # tasks
    "activation": _l("Activation function"),
    "augment": _l("Share of patches varied"),
    "blur": _l("Strongest blur"),
    "brightness": _l("Largest change of brightness"),
    "cache_mb": _l("Memory for prepared scans, MB"),
    "categorical": _l("Categorical inputs"),
    "contrast": _l("Largest change of contrast"),
    "crop": _l("Only around the lungs"),
    "cube": _l("Edge of the cube, voxels"),
    "device": _l("Computing device"),
    "distance_mm": _l("Distance between candidates, mm"),
    "drop_first": _l("Leave one category out"),
    "dropout": _l("Dropout"),
    "facts_epsilon": _l("ε of scaling facts"),
    "filters": _l("Channels of each level"),
    "focal": _l("Weight of the focal loss"),
    "hidden": _l("Hidden layers"),
    "indicate_missing": _l("Mark missing values"),
    "label_epsilon": _l("ε of the outcome"),
    "margin": _l("Shift of cubes, voxels"),
    "min_count": _l("Patients that share a category"),
    "mirror": _l("Mirror patches"),
    "model": _l("Segmentation model (SHA-256)"),
    "most": _l("Candidates looked at"),
    "move": _l("Largest shift"),
    "noise_hu": _l("Strongest noise, HU"),
    "norm": _l("Normalisation"),
    "numeric": _l("Numeric inputs"),
    "one_class": _l("If a hospital has one class only"),
    "overlap": _l("Overlap of windows"),
    "patch": _l("Edge of a patch, voxels"),
    "patches": _l("Patches of a scan"),
    "per_scan": _l("Candidates of a scan"),
    "task.positive": _l("Positive outcomes"),
    "nodule-segmentation.positive": _l("Share of patches on a nodule"),
    "nodule-detection.positive": _l("Share of nodules"),
    "precision": _l("Numeric precision"),
    "public_ranges": _l("Usual ranges of inputs"),
    "public_values": _l("Known categories"),
    "roi": _l("Edge of the window, voxels"),
    "rotate": _l("Largest turn, degrees"),
    "round_windows": _l("Windows that score a round"),
    "scaling": _l("Scaling of numbers"),
    "shift_hu": _l("Largest change of brightness, HU"),
    "smallest_mm3": _l("Smallest candidate, mm³"),
    "spacing_mm": _l("Voxel spacing, mm"),
    "start": _l("Beginning of a logistic regression"),
    "step_mm": _l("Distance of voxels, mm"),
    "target": _l("Outcome"),
    "threshold": _l("Threshold of probability"),
    "units": _l("Units of inputs"),
    "window_hu": _l("Window, HU"),
    "zoom": _l("Largest zoom"),
    # sources and splits
    "annotations": _l("Table of nodules"),
    "columns": _l("Names of columns"),
    "decimal": _l("Decimal sign"),
    "drop": _l("Columns left out"),
    "drop_incomplete": _l("Columns without gaps"),
    "excluded": _l("Table of excluded findings"),
    "file": _l("File"),
    "image": _l("File of the CT"),
    "mask": _l("File of the mask"),
    "missing": _l("Sign of a missing value"),
    "patient": _l("Column of patients"),
    "separator": _l("Separator"),
    "skew": _l("How unlike hospitals are made"),
    "stratify": _l("Balanced by"),
    "variant": _l("Version of the data"),
    "zeros": _l("Meaning of zeros"),
    "test": _l("Share of test patients"),
    "valid": _l("Share of validation patients"),
    "source.seed": _l("Seed of the dealing"),
    "split.seed": _l("Seed of the split"),
    # strategies
    "batch_size": _l("Batch size"),
    "beta1": _l("Momentum (β₁)"),
    "beta2": _l("Memory of squares (β₂)"),
    "buffer": _l("Replies a step (K)"),
    "finetune_epochs": _l("Passes of fine-tuning"),
    "finetune_lr": _l("Learning rate of fine-tuning"),
    "head_epochs": _l("Passes for the head alone"),
    "l2": _l("Weight decay"),
    "lam": _l("Pull to the common model (λ)"),
    "local": _l("Tensors kept at the hospital"),
    "local_epochs": _l("Passes a round"),
    "local_steps": _l("Steps a round"),
    "lr": _l("Learning rate"),
    "lr_every": _l("Rounds between drops"),
    "lr_gamma": _l("Factor of a drop"),
    "lr_schedule": _l("Course of the learning rate"),
    "momentum": _l("Momentum"),
    "mu": _l("Pull to the model sent (µ)"),
    "optimizer": _l("Optimiser"),
    "personal_epochs": _l("Passes for the personal model"),
    "server_lr": _l("Learning rate of the coordinator"),
    "server_momentum": _l("Momentum of the coordinator"),
    "staleness": _l("Discount of stale replies"),
    "tau": _l("Adaptivity (τ)"),
    # aggregators and compression
    "bits": _l("Bits of a word"),
    "exchanges": _l("Exchanges a round"),
    "aggregator.keep": _l("Hospitals averaged"),
    "least": _l("Fewest hospitals in a sum"),
    "norm_limit": _l("Longest change allowed"),
    "radius": _l("Clipping distance (τ)"),
    "reach": _l("Largest element"),
    "smoothing": _l("Smoothing distance (ν)"),
    "steps": _l("Steps a round"),
    "trim": _l("Share trimmed at each end"),
    "wrong": _l("Hospitals that may be wrong"),
    "fraction": _l("Share of elements sent"),
    "smallest": _l("Smallest tensor packed"),
    # privacy and statistics
    "budget": _l("Course of the budget"),
    "clip": _l("Clipping length"),
    "clip_lr": _l("Speed of the clip (η)"),
    "count_noise": _l("Noise of the counts"),
    "delta": _l("δ"),
    "epsilon": _l("ε"),
    "mechanism.noise": _l("Noise instead of ε"),
    "noise": _l("Distribution of the noise"),
    "patients": _l("Training patients, public"),
    "quantile": _l("Share left whole"),
    "score_epsilon": _l("ε of the final figures"),
    "scores": _l("Figures of test patients"),
    "at": _l("Quantiles"),
    "bins": _l("Bins"),
    "bounds": _l("Lowest and highest value"),
    "by": _l("Second column"),
    "by_values": _l("Values of the second column"),
    "column": _l("Column"),
    "ranges": _l("Ranges of columns"),
    "row_values": _l("Values of the first column"),
    "rows": _l("First column"),
    "values": _l("Values counted"),
}
"""By name; where parts mean different things by it, by ``kind.name`` or ``part.name``."""


PARTS: Mapping[str, object] = {
    "task": _l("Task"),
    "source": _l("Data"),
    "split": _l("Test and validation patients"),
    "strategy": _l("Strategy"),
    "aggregator": _l("Aggregation"),
    "compression": _l("Compression"),
    "mechanism": _l("Privacy"),
    "query": _l("Statistics"),
}
"""Kinds of parts."""
TABLES: Mapping[str, object] = {
    "stop": _l("Stop early"),
    "guideline": _l("Guideline to read the results with"),
    "cohort": _l("Cohort"),
    "sampling": _l("Sampling of hospitals"),
    "compare": _l("Comparison"),
}
"""The study's own tables."""
KIND_OF = {"privacy": "mechanism", "statistics": "query"}
"""The kind of parts that a list of the study holds."""
STEP = re.compile(r"(?P<name>[A-Za-z_]+)(?:\[(?P<index>\d+)\])?")


def field(path: str, plan: Mapping[str, Any] | None = None) -> str:
    """What people call a place in a study's text, such as ``strategy.lr``; empty if nothing.

    Args:
        path: The place, as problems name it.
        plan: The study, where it is at hand: parts may call different things by one name.
    """
    head, _dot, name = path.partition(".")
    if not (step := STEP.fullmatch(head)):
        return ""
    kind = KIND_OF.get(step["name"], step["name"])
    if kind not in PARTS:
        return str(OPTIONS.get(path) or TABLES.get(path) or "")
    part = _part(plan or {}, step["name"], step["index"])
    called = str(PARTS[kind])
    if step["index"]:
        called = f"{called} {int(step['index']) + 1}"
    if name in ("", "name"):
        return called
    return str(_("%(part)s: %(option)s", part=called, option=option(name, kind, part)))


def _part(plan: Mapping[str, Any], name: str, index: str | None) -> str:
    """The part that stands at a place of a plan, be the plan as wrong as it will."""
    found = plan.get(name)
    if index and isinstance(found, list):
        found = found[int(index)] if int(index) < len(found) else None
    return str(found.get("name", "")) if isinstance(found, Mapping) else ""


def option(name: str, kind: str = "", part: str = "") -> str:
    """What people call an option; one that another package brought as it calls it itself."""
    for key in (f"{part}.{name}", f"{kind}.{name}", name):
        if key in OPTIONS:
            return str(OPTIONS[key])
    return name.rpartition(".")[2].replace("_", " ").capitalize()

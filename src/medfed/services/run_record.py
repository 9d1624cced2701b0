"""What a run writes about itself: what it stood on, and what came of it."""

import os
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medfed.core.study import Study
from medfed.core.task import Metrics
from medfed.federation.coordinator import Verdict
from medfed.services.run_options import RunOptions

SCHEMA = 1
"""Version of what ``run.json`` and ``result.json`` hold."""


def new_record(study: Study, options: RunOptions) -> dict[str, Any]:
    """What ``run.json`` says: id, engine, environment, and what must stay the same."""
    execution = study.make_task().execution()
    if options.threads:
        execution = replace(execution, threads=options.threads)
    return {
        "schema": SCHEMA,
        "run": secrets.token_hex(8),
        "study": study.digest,
        "title": study.title,
        "engine": options.engine,
        "workers": options.workers,
        "coordinator": str(options.coordinator.resolve()) if options.coordinator else None,
        "cluster": options.cluster,
        "data": str(options.data.resolve()) if options.data else None,
        **({"encrypt_with": options.encrypt_with} if options.encrypt_with else {}),
        "execution": asdict(execution),
        "environment": environment(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def about_model(
    study: Study, record: Mapping[str, Any], verdict: Verdict, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What a model's file says of itself, wherever it goes.

    Args:
        study: What trained it.
        record: What ``run.json`` says.
        verdict: What the test patients said.
        facts: What the task learnt of the data beforehand.
    """
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "study": study.digest,
        "title": study.title,
        "task": study.task.to_json(),
        "facts": dict(facts),
    }
    if study.guideline:
        about["guideline"] = study.guideline.to_json()
    if verdict.calibration and "scores" in verdict.calibration:
        about["calibration"] = dict(verdict.calibration)
    if record.get("notice"):
        about["notices"] = list(record["notice"])  # travels with the model: to every finding
    return about


def environment() -> dict[str, Any]:
    """What the run stood on."""
    packages = ("medfed", "numpy", "torch", "monai", "scikit-learn")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in packages},
    }


def result_of(
    *,
    study: str,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    rounds: int,
    verdict: Verdict,
    model_sha256: str,
    seconds: float,
    run_dir: Path,
) -> dict[str, Any]:
    """What ``result.json`` says and ``medfed run --json`` prints.

    Args:
        study: The study's digest.
        record: What ``run.json`` says.
        rows: The finished rounds.
        rounds: How many rounds were run.
        verdict: How the resulting model did.
        model_sha256: Hash of its file.
        seconds: How long scoring it took.
        run_dir: The run's folder.
    """
    return {
        "schema": SCHEMA,
        "study": study,
        "engine": record["engine"],
        "rounds": rounds,
        "model_sha256": model_sha256,
        "metrics": {
            "overall": _plain(verdict.overall),
            "sites": {site: _plain(metrics) for site, metrics in verdict.sites.items()},
        },
        "patients": dict(verdict.patients),
        "kept_round": verdict.round,
        "importance": _plain(verdict.importance),
        **({"calibration": dict(verdict.calibration)} if verdict.calibration else {}),
        "seconds": seconds + sum(row["seconds"] for row in rows),
        "bytes_up": verdict.bytes_up + _traffic(rows, "bytes_up"),
        "bytes_down": verdict.bytes_down + _traffic(rows, "bytes_down"),
        "run_dir": str(run_dir.resolve()),
    }


def _plain(metrics: Metrics) -> dict[str, dict[str, float | None]]:
    return {name: interval.to_json() for name, interval in metrics.items()}


def _traffic(rows: Sequence[Mapping[str, Any]], way: str) -> int:
    return sum(row.get(way, 0) + row.get(f"score_{way}", 0) for row in rows)

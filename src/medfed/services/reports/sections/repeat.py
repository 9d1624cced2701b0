"""All that it takes to make the same model again."""

import shlex
from collections.abc import Mapping
from typing import Any

from medfed.services.reports import words
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any]:
    """Digests, versions and the command that makes the same model again."""
    record = view.record
    execution = record.get("execution", {})
    rows = [
        ("study digest", str(view.result.get("study", record.get("study", "")))),
        ("model SHA-256", str(view.result.get("model_sha256", ""))),
        ("run", str(record.get("run", ""))),
        ("started", str(record.get("started", "")).replace("T", " ").replace("Z", " UTC")),
        ("engine", _engine(record)),
        ("seed", str(view.study.seed)),
        ("execution", ", ".join(f"{name} {value}" for name, value in execution.items())),
    ]
    return {
        "digests": [row for row in rows if row[1]],
        "versions": ", ".join(f"{k} {v}" for k, v in record.get("environment", {}).items()),
        "saved": (view.path / "study.toml").exists(),
        "command": shlex.join(view.repeat),
        "same_bits": not view.study.privacy,
    }


def _engine(record: Mapping[str, Any]) -> str:
    engine = record.get("engine", "")
    if record.get("coordinator"):
        return f"{engine}, sites of a federation"
    if record.get("cluster"):
        return f"{engine}, cluster {record['cluster']}"
    if engine != "local":
        return f"{engine}, all sites on this machine"
    workers = int(record.get("workers") or 0)
    how = (
        f"{words.count(workers, 'worker process', 'worker processes')}"
        if workers
        else "one process"
    )
    return f"{engine}, {how}"

"""All that it takes to make the same model again."""

import shlex
from collections.abc import Mapping
from typing import Any

from medfed.services.reports.speech import Speech, later
from medfed.services.reports.view import RunView

_EXECUTION = (later("threads"), later("precision"), later("device"), later("layout"))


def section(view: RunView) -> dict[str, Any]:
    """Digests, versions and the command that makes the same model again."""
    say, record = view.say, view.record
    execution = record.get("execution", {}).items()
    digests = [
        (say("study digest"), str(view.result.get("study", record.get("study", "")))),
        (say("model SHA-256"), str(view.result.get("model_sha256", ""))),
    ]
    rows = [
        (say("run"), str(record.get("run", ""))),
        (say("started"), say.moment(str(record.get("started", "")))),
        (say("engine"), _engine(record, say)),
        (say("seed"), str(view.study.seed)),
        (say("execution"), say(", ").join(_set(name, value, say) for name, value in execution)),
    ]
    return {
        "digests": [row for row in digests if row[1]],
        "facts": [row for row in rows if row[1]],
        "versions": ", ".join(f"{k} {v}" for k, v in record.get("environment", {}).items()),
        "saved": (view.path / "study.toml").exists(),
        "command": shlex.join(view.repeat()),
        "same_bits": not view.study.privacy,
    }


def _set(name: str, value: object, say: Speech) -> str:
    return f"{say(name) if name in _EXECUTION else name} {value}"


def _engine(record: Mapping[str, Any], say: Speech) -> str:
    engine = record.get("engine", "")
    if record.get("coordinator"):
        return say("{engine}, sites of a federation", engine=engine)
    if record.get("cluster"):
        return say("{engine}, cluster {cluster}", engine=engine, cluster=record["cluster"])
    if engine != "local":
        return say("{engine}, all sites on this machine", engine=engine)
    if workers := int(record.get("workers") or 0):
        return say.many(
            "{engine}, {many} worker process",
            "{engine}, {many} worker processes",
            workers,
            engine=engine,
        )
    return say("{engine}, one process", engine=engine)

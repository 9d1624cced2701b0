"""A run's folder: everything needed to go on, to look at the result, and to repeat it.

::

    study.toml  study.json           the study, as written and as signed
    run.json                         run id, engine, environment, execution
    checkpoints/round-NNNNNN.safetensors     the last two states
    attempt.json                     which try at a round this is, where the noise is added here
    metrics.jsonl                    a row a round
    spool/                           replies not yet summed
    sites/NAME/                      the sites' folders, when they live here
    best.safetensors  model.safetensors  facts.json
    result.json  report.html  model_card.md  model_card.json
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfed.core.errors import CheckpointError, DataError, RunError
from medfed.core.files import append_line, canonical_json, read_lines, write_atomic, write_json
from medfed.core.study import Study
from medfed.core.update import State, Tensors, group, grouped
from medfed.core.vault import OPEN, Vault
from medfed.storage.models import read_model, tensors_digest, write_model

KEPT = 2
"""Checkpoints kept: the latest, and one to fall back on."""


LOOK_SECONDS = 0.2
"""How often to look whether another process has ended."""


class Busy(RunError):
    """Another process is working in a run's folder; later it may not be.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process is working in {path}",
            remedy="Wait for it, or stop it; then go on with --resume",
        )


class RunFolder:
    """Access to a run's folder; every write is whole or absent.

    Attributes:
        vault: How checkpoints and the best aggregate lie there. The result lies as it is: it is
            what the run was for.
    """

    def __init__(self, path: Path, vault: Vault = OPEN) -> None:
        self.path = path
        self.vault = vault
        self._lock = -1

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "run.json").exists()

    def only_begun(self) -> bool:
        """Whether there is nothing here but what a run killed in its first moment leaves."""
        ours = {".lock", "study.toml", "study.json", "spool", "checkpoints", "at-rest.json"}
        return all(f.name in ours or f.name.endswith(".part") for f in self.path.iterdir())

    def has_checkpoints(self) -> bool:
        """Whether anything lies here that a run goes on from."""
        return bool(self._checkpoints())

    @property
    def spool(self) -> Path:
        """Where replies lie until they are summed."""
        return self.path / "spool"

    def create(self, study: Study, text: str | None, record: Mapping[str, Any]) -> None:
        """Begin a run here.

        Args:
            study: The study.
            text: Its TOML as the person wrote it, if there is one.
            record: Run id, engine, environment, execution.
        """
        for folder in (self.path, self.spool, self.path / "checkpoints"):
            folder.mkdir(parents=True, exist_ok=True)
        if text is not None:
            write_atomic(self.path / "study.toml", text.encode())
        write_json(self.path / "study.json", study.to_json())
        write_json(self.path / "run.json", record)

    def lock(self, patience: float = 0.0) -> None:
        """Keep other processes out until this one ends.

        Args:
            patience: Seconds to wait for another process to end.

        Raises:
            Busy: Another process runs here.
        """
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        until = time.monotonic() + patience
        try:
            while not _locked(handle):
                if time.monotonic() >= until:
                    raise Busy(self.path)
                time.sleep(LOOK_SECONDS)
        except BaseException:
            os.close(handle)
            raise
        self._lock = handle

    def unlock(self) -> None:
        """Let other processes in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        return self._json("run.json")

    def study(self) -> Study:
        """The study of this run."""
        try:
            return Study.from_json(self._json("study.json"))
        except (LookupError, TypeError):
            raise _damaged(self.path / "study.json") from None

    def save(self, state: State) -> None:
        """Write a checkpoint; the two latest are kept."""
        tensors = {**grouped("model", state.model), **grouped("memory", state.memory)}
        fields = {
            "round": state.round,
            "counted": dict(state.counted),
            "facts": dict(state.facts),
            "scores": dict(state.scores),
            "row": dict(state.row),
            "waiting": [list(pair) for pair in state.waiting],
        }
        about = {**fields, "digest": _digest(tensors, fields)}
        write_model(self._checkpoint(state.round), tensors, about, vault=self.vault)
        for file in self._checkpoints()[:-KEPT]:
            file.unlink(missing_ok=True)

    def load(self) -> tuple[State | None, list[str]]:
        """The latest readable checkpoint, and a sentence for each that was not.

        Raises:
            CheckpointError: There are checkpoints and none can be read.
        """
        notes: list[str] = []
        files = self._checkpoints()
        for file in reversed(files):
            try:
                return _read_state(file, self.vault), notes
            except DataError as error:
                notes.append(f"{error.message}; going back to the checkpoint before it")
        if files:
            raise CheckpointError(
                f"no checkpoint in {self.path / 'checkpoints'} can be read",
                remedy="Restore the folder from a backup, or begin again in another folder",
            )
        return None, notes

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Append a finished round."""
        append_line(self.path / "metrics.jsonl", dict(row))

    def rows(self) -> list[dict[str, Any]]:
        """The finished rounds."""
        return read_lines(self.path / "metrics.jsonl")

    def forget_rows(self, from_round: int) -> None:
        """Drop rows at and after a round: it will be run again, to the same figures."""
        kept = [row for row in self.rows() if row["round"] < from_round]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        write_atomic(self.path / "metrics.jsonl", text.encode())

    def save_best(self, state: State, scored_on: str, *, durable: bool) -> None:
        """Keep the best aggregate so far, and by which patients it was found the best.

        Args:
            state: The state whose model it is.
            scored_on: ``valid``; or ``test``, and then it is for looking at only.
            durable: Flush it to the disk, because the result may come from it.
        """
        fields = {"round": state.round, "scored_on": scored_on}
        about = {**fields, "digest": _digest(state.model, fields)}
        file = self.path / "best.safetensors"
        write_model(file, state.model, about, durable=durable, vault=self.vault)

    def best(self, state: State) -> State:
        """The best aggregate, as a state to judge.

        Raises:
            CheckpointError: Its file is damaged.
        """
        file = self.path / "best.safetensors"
        try:
            tensors, about = _read_checked(file, self.vault)
        except DataError as error:
            remedy = 'Restore it from a backup, or run the study again with keep = "last"'
            raise CheckpointError(
                f"{error.message}: the best aggregate is lost", remedy=remedy
            ) from None
        return state.evolve(model=tensors, round=about["round"])

    def finish(self, state: State, about: Mapping[str, Any]) -> str:
        """Write the resulting model and the facts it stands on; the model file's SHA-256."""
        write_json(self.path / "facts.json", dict(state.facts))
        return write_model(self.path / "model.safetensors", state.model, about)

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Write the result; its presence says that the run is finished."""
        write_json(self.path / "result.json", result)

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run."""
        return self._json("result.json") if (self.path / "result.json").exists() else None

    def tidy(self) -> None:
        """Remove what a process that was killed left half written."""
        for folder in (self.path, self.spool, self.path / "checkpoints"):
            for file in folder.glob(".*.part"):
                file.unlink(missing_ok=True)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.path / name).read_bytes()))
        except (OSError, ValueError, TypeError):
            raise _damaged(self.path / name) from None

    def _checkpoint(self, round_: int) -> Path:
        return self.path / "checkpoints" / f"round-{round_:06d}.safetensors"

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / "checkpoints").glob("round-*.safetensors"))


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_state(file: Path, vault: Vault) -> State:
    tensors, about = _read_checked(file, vault)
    about["waiting"] = tuple((site, base) for site, base in about["waiting"])
    return State(model=group("model", tensors), memory=group("memory", tensors), **about)


def _read_checked(file: Path, vault: Vault) -> tuple[Tensors, dict[str, Any]]:
    tensors, about = read_model(file, vault)
    if about.pop("digest", None) != _digest(tensors, about):
        raise DataError(f"{file} is damaged")
    return tensors, about


def _digest(tensors: Tensors, fields: Mapping[str, Any]) -> str:
    """One hash over all a file says, so that no flipped bit goes unnoticed."""
    return hashlib.sha256(tensors_digest(tensors).encode() + canonical_json(fields)).hexdigest()


def _damaged(file: Path) -> RunError:
    return RunError(
        f"{file} is missing or damaged", remedy="Restore it, or begin in another folder"
    )

"""A folder of results that is whole or absent."""

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medfed.core.errors import DataError
from medfed.core.files import sync

FINDINGS = "findings.json"


def check_free(out: Path, same: Mapping[str, Any]) -> None:
    """Refuse a folder that holds anything but an earlier prediction of the same kind.

    Args:
        out: The folder asked for.
        same: The digests of input and model that an earlier prediction must have.

    Raises:
        DataError: It holds something else.
    """
    if not out.parent.is_dir():
        raise DataError(f"there is no folder {out.parent}", remedy="Make it first")
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file", remedy="Choose a folder with --out")
    if not any(out.iterdir()):
        return
    if made_from(out) != same:
        raise DataError(
            f"{out} holds something else than an earlier prediction of this scan by this model",
            remedy="Choose another folder with --out",
        )


def made_from(out: Path) -> dict[str, Any] | None:
    """The digests of the input and model of an earlier prediction; None if it is none."""
    try:
        earlier = json.loads((out / FINDINGS).read_bytes())
        return {"input": earlier["input"]["sha256"], "model": earlier["model"]["sha256"]}
    except (OSError, ValueError, LookupError, TypeError):
        return None


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when it is full; nothing is left on failure.

    What was there before under the name is replaced; until then it stays as it was.
    """
    mark = secrets.token_hex(4)
    part, old = (out.with_name(f".{out.name}.{mark}.{kind}") for kind in ("part", "old"))
    part.mkdir(mode=0o700)
    try:
        yield part
        for file in part.rglob("*"):
            sync(file)
        if out.exists():
            out.rename(old)
        try:
            part.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
        sync(out.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)

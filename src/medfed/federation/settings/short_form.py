"""The short form: a whole federation on one machine in one file.

::

    {"workers": [{"id": "north", "host": "127.0.0.1", "port": 9001, "data": "north"}],
     "model": "mlp", "epochs": 1, "batch_size": 32, "dp_epsilon": null, "encryption": "none",
     "target": "outcome", "numeric": ["age", "bmi"]}

``target`` and the columns go with the models for tables; the model ``unet`` needs none. With
``dp_epsilon`` each worker says roughly how many ``patients`` it has, ``ranges`` the usual limits of
each number (everybody may know both, and no hospital is asked for them), and ``patient`` names the
column by which patients are told apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.options import describe, option
from medfed.federation.enrolment.address import is_loopback
from medfed.federation.settings.reading import Reader

MODELS = ("logistic", "mlp", "unet")
ENCRYPTION = ("none", "secure-sum", "ckks", "paillier")
"""How updates travel: plainly, or by the aggregator of this name."""


@dataclass(frozen=True, slots=True)
class _Worker:
    """A member of ``workers``."""

    id: str = option(help="The site's name")
    host: str = option("127.0.0.1", help="Where its console listens: this machine")
    port: int = option(
        0, help="Port of its console in a browser; 0: it has none", low=0, high=65535
    )
    data: str = option(help="Folder of its data")
    patients: int = option(0, help="Roughly how many patients it has, for all to know", low=0)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the short form says about the study."""

    model: str = option("mlp", help="The model", choices=MODELS)
    rounds: int = option(10, help="Rounds of training", low=1, high=1_000_000)
    epochs: int = option(1, help="Passes over a site's patients in a round", low=1)
    batch_size: int = option(32, help="Patients in a step", low=1)
    target: str = option("", help="Tables: the column with the outcome")
    positive: str = option("", help='Tables: which outcomes are positive, such as "> 0"')
    numeric: tuple[str, ...] = option((), help="Tables: columns used as numbers")
    categorical: tuple[str, ...] = option((), help="Tables: columns used as categories")
    patient: str = option("", help="Tables: the column that identifies patients")
    dp_epsilon: float | None = option(
        None, help="What the study may cost a patient (DP-SGD); null: no such promise", above=0
    )
    ranges: Mapping[str, Any] | None = option(
        None, help="With dp_epsilon: lowest and highest usual value of each number"
    )
    encryption: str | None = option("none", help="How updates travel", choices=ENCRYPTION)


@dataclass(frozen=True, slots=True)
class Worker:
    """A site of a federation on one machine."""

    id: str
    host: str
    port: int
    data: Path
    patients: int = 0


@dataclass(frozen=True, slots=True)
class ShortForm:
    """What the short form says beside names and addresses."""

    workers: tuple[Worker, ...]
    model: str
    rounds: int
    epochs: int
    batch_size: int
    target: str = ""
    positive: str = ""
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    patient: str = ""
    dp_epsilon: float | None = None
    ranges: Mapping[str, Any] | None = None
    encryption: str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """A file in the short form: what is the short form's own, and the rest."""

    form: ShortForm
    rest: Mapping[str, Any]


def read_short_form(reader: Reader) -> Split:
    """Read the short form's own fields; problems stay with the reader."""
    own = {one.name for one in describe(_Fields)}
    given = {name: value for name, value in reader.given.items() if name in own}
    values = reader.fields(_Fields, given)
    workers = _workers(reader)
    rest = {k: v for k, v in reader.given.items() if k not in own | {"workers", "sites"}}
    if reader.problems:
        return Split(ShortForm((), MODELS[0], 1, 1, 1), rest)
    _check_columns(reader, values)
    if values["dp_epsilon"] is not None:
        _check_privacy(reader, values, workers)
    return Split(ShortForm(workers, **{name: values[name] for name in own}), rest)


def _check_privacy(reader: Reader, values: Mapping[str, Any], workers: tuple[Worker, ...]) -> None:
    """Nothing that the noise stands on may be asked of the patients."""
    for number, worker in enumerate(workers):
        if not worker.patients:
            message = "is missing: dp_epsilon needs it"
            remedy = 'Write "patients": roughly how many it has; everybody may know that'
            reader.complain(f"workers[{number}].patients", message, remedy)
    lacking = [name for name in values["numeric"] if name not in (values["ranges"] or {})]
    if values["model"] != "unet" and not values["patient"]:
        message = "is missing: dp_epsilon protects patients, not rows"
        reader.complain("patient", message, "Name the column that identifies them")
    if lacking:
        remedy = 'Write "ranges": {"COLUMN": [LOW, HIGH]} by what is usual, not by your patients'
        reader.complain("ranges", f"lacks {', '.join(lacking)}: dp_epsilon needs them", remedy)


def _check_columns(reader: Reader, values: Mapping[str, Any]) -> None:
    tables, columns = values["model"] != "unet", values["numeric"] or values["categorical"]
    if tables and not values["target"]:
        remedy = 'Write "target": "COLUMN", and "numeric" or "categorical"'
        reader.complain("target", f"is missing: the model {values['model']} needs one", remedy)
    elif tables and not columns:
        reader.complain("numeric", "names no column to learn from", "List the columns to use")


def _workers(reader: Reader) -> tuple[Worker, ...]:
    found = reader.tables("workers", _Worker)
    reader.names("workers", found)
    if not found and not reader.problems:
        reader.complain("workers", "names no site", "Give at least one, with id and data")
    taken: dict[int, int] = {}
    workers = []
    for i, one in enumerate(found):
        _check_host(reader, i, one.get("host"))
        port = one.get("port", 0)
        if port and taken.setdefault(port, i) != i:
            message = f"{port} is the port of workers[{taken[port]}] too"
            reader.complain(f"workers[{i}].port", message, "Give each its own, or 0 for any")
        data = reader.path(one.get("data"))
        if data and not data.is_dir():
            remedy = "Give a folder that exists; paths begin at the file's own folder"
            reader.complain(f"workers[{i}].data", f"there is no folder {data}", remedy)
        if data and "id" in one and "host" in one:
            workers.append(Worker(one["id"], one["host"], port, data, one.get("patients", 0)))
    return tuple(workers)


def _check_host(reader: Reader, number: int, host: str | None) -> None:
    if host is None or is_loopback(host):
        return
    message = f"{host!r} is another machine, and the short form is for one"
    remedy = 'Write "127.0.0.1"; a hospital elsewhere joins with `medfed coordinator invite`'
    reader.complain(f"workers[{number}].host", message, remedy)

"""How a study is to be run here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medfed.core.events import Event

ENGINES = ("local", "ray", "flower")
"""Ways of carrying messages; the resulting model is the same to the bit."""

Listener = Callable[[Event], None]
"""Told everything that happens in a run."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a study here.

    Attributes:
        out: The run's folder.
        engine: What carries the messages, see `ENGINES`.
        coordinator: Folder of a coordinator that is running; None starts a federation here.
        cluster: Address of a Ray cluster; None starts one here.
        cpus: CPUs of each site on a Ray cluster; None for an equal part.
        gpus: GPUs of each site on a Ray cluster; None for an equal part where the run uses them.
        data: The folder of the sites' data; None where the study brings its own.
        resume: Go on with the run in ``out``.
        workers: Processes for the sites; 0 for one after another in this process.
        sites: Folder of existing site folders, each with its own key, data and approvals; None
            makes fresh ones inside the run.
        ledgers: Folder of site folders in whose ledgers sites pay that are made inside the run;
            None gives each a ledger of its own.
        threads: Threads for the numerics; None leaves it to the task.
        replay: Folder of an asynchronous run whose order of arrivals is to be repeated.
        encrypt_with: ``passphrase`` or the path of a key file: what lies in the run's folder, and
            in sites made there, is encrypted; None leaves it as it is.
        patience: Seconds to wait where another process still works in ``out``.
        report: Write the report and the model card; a comparison's many runs go without.
    """

    out: Path
    engine: str = "local"
    coordinator: Path | None = None
    cluster: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    data: Path | None = None
    resume: bool = False
    workers: int = 0
    sites: Path | None = None
    ledgers: Path | None = None
    threads: int | None = None
    replay: Path | None = None
    encrypt_with: str | None = None
    patience: float = 0.0
    report: bool = True

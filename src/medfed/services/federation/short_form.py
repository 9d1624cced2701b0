"""A federation on one machine from the short form: folders, keys, enrolment, study, approvals.

Whoever runs it here speaks for all sites, so nothing has to be invited or compared by telephone.
What is there already is left as it is.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from medfed import __version__
from medfed.core.files import write_atomic
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.folder import SETTINGS, CoordinatorFolder, init_coordinator
from medfed.federation.enrolment.node_key import (
    NODE_KEY,
    load_node_key,
    make_node_key,
    public_line,
)
from medfed.federation.enrolment.roster import EnrolledSite, add_site, enrolled_site
from medfed.federation.keys import PUBLIC, fingerprint, load_public, public_pem
from medfed.federation.peers import pin
from medfed.federation.settings.coordinator import CoordinatorSettings
from medfed.federation.settings.short_form import ShortForm, Worker
from medfed.services.reports.toml_text import study_toml
from medfed.services.sites import create_site, open_site, trust

STUDY = "study.toml"


def prepare(settings: CoordinatorSettings, form: ShortForm, say: Callable[[str], None]) -> None:
    """Make what the short form asks for, and say how to go on.

    Raises:
        SiteError: A folder is in the way.
        StudyError: The fields make no study.
    """
    home = settings.folder
    if not (home / SETTINGS).exists():
        bind = f"{settings.bind_host}:{settings.bind_port}"
        init_coordinator(home, settings.address, name=settings.name, bind=bind)
    study = short_study(form)
    file = home.parent / STUDY
    write_atomic(file, study_toml(study).encode())
    for worker in form.workers:
        _site(CoordinatorFolder(home), home.parent / worker.id, worker, study)
    keys = {worker.id: load_public(home.parent / worker.id / PUBLIC) for worker in form.workers}
    for worker in form.workers:
        pin(home.parent / worker.id, keys)
    say("start each site by")
    for worker in form.workers:
        say(f"  medfed site --config {settings.file} --id {worker.id}")
    say(f"then: medfed run {file} --engine flower --coordinator {home}")


def _site(coordinator: CoordinatorFolder, folder: Path, worker: Worker, study: Study) -> None:
    if not (folder / "key.pub").exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "site.toml").unlink(missing_ok=True)  # a crash may have left it alone
        create_site(folder, worker.id, worker.data)
    trust(folder, coordinator.public_key())
    site = open_site(folder)
    site.folder.approve(study)
    write_atomic(folder / CA, (coordinator.path / CA).read_bytes())
    node = load_node_key(folder) if (folder / NODE_KEY).exists() else make_node_key(folder)
    if enrolled_site(coordinator.path, worker.id) is None:
        public = site.key.public_key()
        known = EnrolledSite(
            name=worker.id,
            key=public_pem(public).decode(),
            fingerprint=fingerprint(public),
            node_key=public_line(node.public_key()),
            enrolled=datetime.now(UTC).replace(microsecond=0).isoformat(),
            software=__version__,
        )
        add_site(coordinator.path, known)


def short_study(form: ShortForm) -> Study:
    """The study that the short form describes.

    Raises:
        StudyError: It does not fit together.
    """
    sites = [worker.id for worker in form.workers]
    about = f"""\
title = "{form.model} at {len(sites)} sites"
sites = {json.dumps(sites)}
rounds = {form.rounds}
[strategy]
name = "fedavg"
local_epochs = {form.epochs}
batch_size = {form.batch_size}
"""
    about += _UNET if form.model == "unet" else _table(form)
    return parse_study(about + _protection(form))


def _protection(form: ShortForm) -> str:
    """The study's lines on how updates travel, and on what a patient may be charged."""
    lines = []
    if form.encryption not in (None, "none"):
        lines += ["[aggregator]", f"name = {_toml(str(form.encryption))}"]
    if form.dp_epsilon is not None:
        known = ", ".join(f"{_toml(w.id)} = {w.patients}" for w in form.workers)
        lines += ["[[privacy]]", 'name = "dp-sgd"', f"epsilon = {form.dp_epsilon}"]
        lines += [f"patients = {{ {known} }}"]
    return "\n".join(lines) + "\n"


_UNET = """\
optimizer = "adam"
lr = 0.01
[task]
name = "nodule-segmentation"
[source]
name = "volumes"
[split]
name = "shuffle"
test = 0.2
"""


def _table(form: ShortForm) -> str:
    hidden = [] if form.model == "logistic" else [16]
    return f"""\
lr = 0.1
[task]
name = "tabular-classification"
target = {_toml(form.target)}
positive = {_toml(form.positive)}
numeric = {_toml(form.numeric)}
categorical = {_toml(form.categorical)}
hidden = {hidden}
{_ranges(form)}
[source]
name = "csv"
{f"patient = {_toml(form.patient)}" if form.patient else ""}
[split]
name = "hash"
test = 0.2
"""


def _ranges(form: ShortForm) -> str:
    if form.dp_epsilon is None:
        return ""
    lines = [
        f"{_toml(name)} = {json.dumps(limits)}" for name, limits in (form.ranges or {}).items()
    ]
    return "\n".join(['one_class = "train"', "[task.public_ranges]", *lines])


def _toml(value: str | tuple[str, ...]) -> str:
    """Text and lists of text are spelt in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)

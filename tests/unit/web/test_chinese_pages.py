"""Every page of both faces, in Chinese: no English but names and what people wrote."""

from __future__ import annotations

import io
import re

from accounting import BREAST_CANCER, PASSWORD
from consoles import Stage, csrf_of
from unit.web.test_reports import english_in
from unit.web.test_said import NOT_OURS
from working_sites import a_study

from medfed.core.registry import names
from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES
from medfed.services.accounts.tokens import SCOPES
from medfed.services.study_templates import TEMPLATES

ROOT = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
FILES = re.compile(r"^(api|aliases|health|openapi|static)\b|\.(download|report|file|picture|part)$")
"""What is no page: for programs, and files, which `test_reports` looks at."""
BETWEEN, DIGITS = re.compile(r">[^<]*<"), re.compile(r"[\w.-]*\d[\w.-]*|[\w-]*[a-z]{16}", re.ASCII)
NAMED = (
    "medfed English API OpenAPI openapi PNG PDF JSON CSV TLS HTTP Flower SQLite PostgreSQL",
    "PACS NIfTI GB Rényi",
    "api root JavaScript",
    "mha mhd raw nii gz csv zip report.html model_card.md model.safetensors Python Werkzeug",
    "medfed serve --federation; medfed audit verify --checkpoint; medfed site encrypt",
    "--data MEDFED_CONSOLE --database MEDFED_DATABASE --url https MEDFED_URL Prometheus",
    "site.toml pacs.toml coordinator.toml FedAvg",
    *("all admin system", *ROLES, *(name.title() for name in ROLES), *SCOPES),
)
"""Names of things, endings of files, commands, and who uses the console; scopes are named so."""


def crawled(stage: Stage, **fill: object) -> dict[str, str]:
    """Every page that a person who may do anything can open, in Chinese, by its path."""
    accounts = stage.console.accounts
    user, _ = accounts.create(ROOT, "all", "", list(ROLES))
    accounts._set_password(ROOT, user, PASSWORD, must_change=False)
    client = stage.client("all")
    stage.post(client, "/language", "/", language="zh_Hans_CN")
    found = {}
    for path in paths(stage, {"name": "viewer", "path": "none", **fill}):
        answer = client.get(path)
        if answer.mimetype == "text/html":
            found[path] = answer.text
    return found


def paths(stage: Stage, fill: dict[str, object]) -> list[str]:
    found = []
    with stage.app.test_request_context():
        for rule in stage.app.url_map.iter_rules():
            is_page = "GET" in rule.methods and not FILES.search(rule.endpoint)
            if is_page and rule.arguments <= set(fill):
                given = {name: fill[name] for name in rule.arguments}
                found.append(stage.app.url_for(rule.endpoint, **given))
    return sorted(set(found) - {"/login"})


def left_in(pages: dict[str, str], *known: object) -> dict[str, set[str]]:
    """The English of each page that has some; a digit or 16 letters make an id or digest."""
    seen = {}
    for path, text in pages.items():
        ours = BETWEEN.sub(lambda m: DIGITS.sub(" ", m[0]), NOT_OURS.sub(" ", text))
        if words := english_in(ours, *NAMED, *known):
            seen[path] = words
    return seen


def test_the_coordinators_pages_are_all_chinese(stage):
    pages = crawled(stage, number=stage.study, run=stage.run)
    study = stage.console.studies.find(stage.study)
    assert len(pages) > 15
    url = f"{stage.console.database.engine.url} pysqlite"
    known = (study.toml, stage.run, stage.console.place.path, url, *names("strategy"), *TEMPLATES)
    assert left_in(pages, *known) == {}


def test_the_hospitals_pages_are_all_chinese(make_clinic):
    clinic = make_clinic()
    inference, stage = clinic.signed(), clinic.stage
    client = stage.client("data-steward")
    file = (io.BytesIO(BREAST_CANCER.encode()), "study.toml")
    form = {"csrf_token": csrf_of(client, "/profile/"), "file": file}
    client.post("/participation/", data=form, content_type="multipart/form-data")
    asked = clinic.desk.inferences.find(inference)
    fill = {
        "inference": inference, "scan": clinic.scan, "number": clinic.nodules, "job": asked.job,
        "digest": a_study().digest, "model": clinic.nodules,
    }  # fmt: skip
    pages = crawled(stage, **fill)
    known = (stage.console.place.path, f"{stage.console.database.engine.url} pysqlite")
    known += (BREAST_CANCER, "threshold risk tests dp-sgd", "Nodules: what to do")
    assert {"/", f"/inference/{inference}", f"/participation/{a_study().digest}"} <= set(pages)
    assert left_in(pages, *known) == {}

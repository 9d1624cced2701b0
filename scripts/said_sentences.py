"""Sentences that layers below the pages say to people: gathered from their source as templates.

What studies are checked by and runs complain with is written where it is found out, as plain
English or as f-strings. Their places become ``{0}``, ``{1}``: `medfed.web.said` recognises them by
that.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard, get_args

from medfed.core import registry
from medfed.core.errors import REFUSALS
from medfed.core.mechanism import Unit
from medfed.core.study import PLAIN
from medfed.services.accounts.roles import ACTIONS
from medfed.services.hospital.work import HANDLERS
from medfed.services.inference.reviews import VERDICTS
from medfed.services.part_list import fields_json, offered, parts_json
from medfed.services.refusals import REST
from medfed.web import data_words, words
from medfed.web.said import AUDITED, CONTEXT
from medfed.web.wizard import KINDS

__all__ = ["AUDITED", "CONTEXT", "ELSEWHERE", "NOT", "gather", "gather_audited", "said_in"]

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "medfed"
SPOKEN = (
    *("core", "strategies", "aggregators", "tasks", "privacy", "connectors"),
    *("services/console", "services/hospital", "services/inference", "services/accounts"),
    *("services/viewing", "services/imports", "services/setting.py", "web"),
)
"""Whose complaints pages show."""
FILES = (
    *(f"storage/{name}.py" for name in ("ledger", "ledger_file", "ledger_head", "ledger_rows")),
    *("services/sites.py", "services/consoles_of.py", "services/act_files.py"),
    "services/outlook_words.py",
    *("services/runs.py", "services/run_sites.py", "services/accounts/rights.py"),
    *("services/comparison/runner.py", "services/comparison/recipes.py"),
    *("services/comparison/scoring.py", "services/comparison/answer.py"),
    *("services/comparison/private.py", "services/comparison/ledgers.py"),
    "storage/run_folder.py",
    *("frameworks/torch_job.py", "frameworks/held.py"),
    *("services/federation/attached.py", "federation/exchange.py"),
    *("federation/coordinator.py", "federation/asynchronous.py"),
    *(f"federation/{name}.py" for name in ("site", "site_desk", "site_work", "gates")),
    *("federation/privacy.py", "federation/enrolment/invites.py"),
    *("federation/receipts.py", "federation/audit/verify.py", "services/protections.py"),
    *("services/demo.py", "services/demo_pictures.py"),
    *("services/prediction/predict.py", "services/prediction/findings_json.py"),
    *(f"inference/{name}.py" for name in ("model", "predictor", "second_look", "reviewing")),
    *(f"inference/{name}.py" for name in ("dicom_common", "dicom_seg", "risk")),
    *(f"services/prediction/{name}.py" for name in ("folder", "model_file")),
    *("services/reports/report.py", "storage/models.py", "storage/catalogue.py"),
    *(f"storage/database/{name}.py" for name in ("engine", "mirrored", "bell")),
    *(f"services/federation/{name}.py" for name in ("control", "alone")),
    *(f"federation/flower/{name}.py" for name in ("channel", "conversation", "fleet", "records")),
    *(
        f"federation/{name}.py"
        for name in ("wire", "spool", "keys", "peers", "site_folder", "site_settings")
    ),
    *(f"federation/audit/{name}.py" for name in ("log", "note")),
    *(f"federation/enrolment/{name}.py" for name in ("certificates", "roster")),
    "frameworks/private.py",
)
TOLD = ("privacy/words.py", "privacy/local_words.py", "services/outlook_words.py")
"""Where every string is shown."""
READERS = ("dicom/decoder", "dicom/segmentation", "pacs", "fetch", "annotations.py", "pseudonyms")
NOT: tuple[str, ...] = (
    *(f"connectors/{name}" for name in (*READERS, "phantom", "pooled.py", "patches_2d.py")),
    *(f"aggregators/secure/{name}" for name in ("k", "l", "m", "o", "rules", "site", "fixed")),
    *(f"aggregators/encrypted/{name}" for name in ("context", "coordinator", "crew", "site")),
    *(f"core/{name}.py" for name in ("vault", "no_pickles", "packing", "files", "update", "query")),
    "tasks/segmentation_predictor.py",
    "tasks/detection_predictor.py",
    "privacy/at_rest",
)
"""What only technicians meet: readers of files, and protocols that were broken."""
ELSEWHERE = (
    *(f"federation/enrolment/{name}" for name in ("address", "code", "folder", "node_key")),
    *("federation/enrolment/statement", "federation/flower/superlink", "federation/nginx"),
    *("federation/settings", "frameworks/export", "imaging", "inference/__init__"),
    *(f"services/federation/{name}" for name in ("coordinator_process", "site_process")),
    *("services/federation/loopback", "services/federation/short_form"),
    *("storage/database/backup", "storage/database/types", "web/options", "web/server"),
    "services/reports/retold",
)
"""What pages load and only a terminal says: commands, how a server starts, mistakes in a call."""
MORE = (
    *ACTIONS.values(),
    *("the study", "one problem", "{0} problems", 'Did you mean "{0}"?', "Known: {0}", "Give {0}"),
    *("a whole number", "a number", "text in quotes", "true or false", "a table"),
    *("a list, each {0}", "{0} or {1}", "{0}; {1}", "{0}: {1}, {2}"),
    *("{0} of the {1} sites", "one of the sites", "receipt {0} of {1}"),
    *("mirroring", "no hospital", PLAIN, "Use {0}", 'unknown {0} "{1}"', "Write [[{0}]]"),
    *("a training patient", "a training patient's record", "a hospital"),
    *KINDS,
)
"""What is put into other sentences, and what `_is_sentence` takes for none."""
CALLS = re.compile(
    r"Problem|Decision|\w+Error|Refused|Notice|Conflict|Missing|Unfit|_?complain\w*|_ended|_wrong|_miss"
)
NAMES = re.compile(
    r"\w*(message|remedy|why|complaint|warning|notes?|protection|faults)"
    r"|_what|_sentence|LEDGERS|REMEDY|SAID|SENT|WHY|ALL_REJECTED|NOTHING_FOUND"
    r"|_?about\w*|_?reason|_rounding|describe|statement|captions|\w*notice|SYNTHETIC"
)


SUBJECT_AT = {
    **dict.fromkeys(("record", "refuse", "denied"), 3),
    **dict.fromkeys(("_record", "_recorded", "leave_act"), 2),
    "refused": 1,
    "about_to": 2,
    "recorded": 0,
}
"""What records acts, and with which argument it begins to say upon what and why."""
AUDITED_MORE = (
    REST,
    *(f"{kind} {{0}}" for kind in HANDLERS),
    *(f"finding {{0}} {verdict}" for verdict in VERDICTS),
    *(f"privacy limit of a {unit}" for unit in get_args(Unit)),
    *("acts: {0}", "since {0} UTC: {1}", "until {0}"),
    "from ε = {0} at δ = {1} to ε = {2} at δ = {3}",
    "ε = {0} at δ = {1} became ε = {2} at δ = {3}",
)
"""What the record says with words that are kept elsewhere, and what it said once."""


def gather() -> list[tuple[str, str]]:
    """Each sentence with the file that says it."""
    found = dict.fromkeys((*REFUSALS.values(), *MORE), "core/errors.py")
    found |= dict(_options())
    for file in _files():
        for text in said_in(file):
            found.setdefault(text, file.relative_to(PACKAGE).as_posix())
    own = {*words.SENTENCES, *data_words.SENTENCES}  # pages have words of their own for these
    told = {text: file for text, file in found.items() if text not in own}
    return sorted(told.items(), key=lambda pair: (pair[1], pair[0]))


def gather_audited() -> list[tuple[str, str]]:
    """What the record of acts says: upon what they were done, and why, with the file."""
    found = dict.fromkeys(AUDITED_MORE, "services/audit.py")
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        nodes = list(ast.walk(tree))
        kept = [node for node in nodes if isinstance(node, ast.Assign)]
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            for text in _audited(call, kept):
                found.setdefault(text, file.relative_to(PACKAGE).as_posix())
    told = {text: file for text, file in found.items() if text not in words.SENTENCES}
    return sorted(told.items(), key=lambda pair: (pair[1], pair[0]))


def _audited(call: ast.Call, kept: list[ast.Assign]) -> Iterator[str]:
    given = {word.arg: word.value for word in call.keywords}
    match _name(call.func):
        case "Subject":
            values = call.args[:1]
        case name if name in SUBJECT_AT and len(call.args) >= 2:
            values = call.args[SUBJECT_AT[name] :]
            values += [given[name] for name in ("subject", "reason") if name in given]
        case _:
            return
    named = {each.id for value in values for each in _alternatives(value)} - {"name"}
    values += [node.value for node in kept if {_name(each) for each in node.targets} & named]
    for value in values:
        yield from (text for text in _templates(value) if re.search("[a-z]", _fixed(text)))


def _alternatives(value: ast.expr) -> list[ast.Name]:
    """The names of which one is the value."""
    given = value.values if isinstance(value, ast.BoolOp) else [value]
    return [each for each in given if isinstance(each, ast.Name)]


def _fixed(template: str) -> str:
    return re.sub(r"\{\d\}", " ", template)


def _options() -> Iterator[tuple[str, str]]:
    """What parts and their options are for."""
    for kind, members in parts_json(KINDS).items():
        for name, part in members.items():
            module = registry.load(kind, name).__module__
            file = module.removeprefix("medfed.").replace(".", "/")
            yield part["summary"], file  # which reports say of every part
            if offered(kind, name):
                yield from ((option["help"], file) for option in part["options"])
    for options in fields_json().values():
        yield from ((option["help"], "core/study_file") for option in options)


def _files() -> list[Path]:
    wanted = [PACKAGE / name for name in (*SPOKEN, *FILES)]
    files = [f for path in wanted for f in ([path] if path.is_file() else path.rglob("*.py"))]
    return sorted(
        f for f in files if not f.relative_to(PACKAGE).as_posix().startswith((*NOT, *ELSEWHERE))
    )


def said_in(file: Path) -> Iterator[str]:
    """The sentences of one file, as templates."""
    tree = ast.parse(file.read_text("utf-8"))
    if file.relative_to(PACKAGE).as_posix() in TOLD:
        yield from filter(_is_sentence, _every(tree))
        return
    for node in ast.walk(tree):
        values: list[ast.expr | None]
        if isinstance(node, ast.Raise) and _is_ours(node.exc):
            values = [*node.exc.args, *(word.value for word in node.exc.keywords)]
        elif isinstance(node, ast.Call) and _says(node):
            values = [*node.args, *(word.value for word in node.keywords)]
        elif isinstance(node, ast.Assign) and _assigns(node):
            values = [node.value]
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            values = [*node.value.elts]  # a message and its remedy
        elif isinstance(node, ast.FunctionDef) and NAMES.fullmatch(node.name):
            values = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
        else:
            continue
        for value in values:
            yield from filter(_is_sentence, _templates(value))


def _every(node: ast.AST) -> Iterator[str]:
    """All strings below a node but documentation."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant | ast.JoinedStr):
            yield from _templates(child)
        else:
            yield from _every(child)


def _name(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


def _is_ours(raised: ast.expr | None) -> TypeGuard[ast.Call]:
    """Whether an error of medfed's is raised; Python's own tell programmers of mistakes."""
    return isinstance(raised, ast.Call) and not hasattr(builtins, _name(raised.func))


def _says(call: ast.Call) -> bool:
    """Whether it is a complaint, or adds to a list of remarks."""
    function = call.func
    if any(word.arg == "remedy" for word in call.keywords):
        return True
    if isinstance(function, ast.Attribute) and function.attr == "append":
        return bool(NAMES.fullmatch(_name(function.value)))
    return bool(CALLS.fullmatch(_name(function)))


def _assigns(node: ast.Assign) -> bool:
    names = [n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)]
    return any(NAMES.fullmatch(name) for name in names)


def _templates(node: ast.expr | None) -> Iterator[str]:
    """The strings that an expression may be, as templates."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield _template(node)
        case ast.IfExp():
            yield from _templates(node.body)
            yield from _templates(node.orelse)
        case (
            ast.Tuple(elts=several)
            | ast.List(elts=several)
            | ast.BoolOp(values=several)
            | ast.Dict(values=several)
        ):
            for each in several:
                yield from _templates(each)
        case ast.ListComp():
            yield from _templates(node.elt)


def _template(node: ast.JoinedStr) -> str:
    pieces, places = [], 0
    for piece in node.values:
        if isinstance(piece, ast.Constant):
            pieces.append(str(piece.value))
        else:
            pieces.append(f"{{{places}}}")
            places += 1
    return "".join(pieces)


def _is_sentence(text: str) -> bool:
    """Two words or more, for a person; names of fields and lines of logs are none."""
    return (
        "%" not in text
        and len(re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\d\}", " ", text))) >= 2
        and " " in text
    )

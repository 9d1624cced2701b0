"""Lists of the reference that are read from the code, so they cannot go stale.

A page of the docs holds a line such as ``<!-- from the code: parts -->``; the list stands there.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MARK = re.compile(r"^<!-- from the code: (?P<what>[a-z-]+) -->$", re.MULTILINE)


def parts() -> str:
    """Every registered part with its options, by kind."""
    from medfed.core import registry

    pages = []
    for kind in registry.KINDS:
        names = registry.names(kind)
        if not names:
            continue
        pages.append(f"## {_title(kind)}\n")
        if kind == "strategy":
            pages.append(_local_training())
        pages += [_part(kind, name) for name in names]
    return "\n".join(pages)


def part_groups() -> str:
    """Which entry-point group holds which kind of part."""
    from medfed.core import registry

    rows = [
        (f"`{kind}`", f"`{group}`", ", ".join(f"`{n}`" for n in registry.names(kind)) or "none yet")
        for kind, group in registry.KINDS.items()
    ]
    return _table(("kind", "entry-point group", "registered now"), rows)


def study_fields() -> str:
    """Every field of a study file outside the parts."""
    from medfed.core import study_file

    pages = ["## Top of the file\n", _options(study_file._Top)]  # noqa: SLF001  # the one declaration of these fields
    for name, cls in study_file.TABLES.items():
        pages += [f"\n## `[{name}]`\n", _options(cls)]
    return "\n".join(pages)


def refusals() -> str:
    """The public names of refusals."""
    from medfed.core.errors import REFUSALS

    return _table(("name", "what it says"), [(f"`{n}`", text) for n, text in REFUSALS.items()])


def coordinator_fields() -> str:
    """Every field of a coordinator's file."""
    from medfed.federation.settings import coordinator

    return _options(coordinator._Fields)  # noqa: SLF001  # the one declaration of these fields


def pinned_site_fields() -> str:
    """Every field of ``[[sites]]`` in a coordinator's file."""
    from medfed.federation.settings import coordinator

    return _options(coordinator._Site)  # noqa: SLF001  # as above


def site_fields() -> str:
    """Every field of a site's file."""
    from medfed.federation.settings import site

    return _options(site._Fields)  # noqa: SLF001  # as above


def short_form_fields() -> str:
    """Every field of the short form beside ``workers``."""
    from medfed.federation.settings import short_form

    return _options(short_form._Fields)  # noqa: SLF001  # as above


def worker_fields() -> str:
    """Every field of ``workers`` in the short form."""
    from medfed.federation.settings import short_form

    return _options(short_form._Worker)  # noqa: SLF001  # as above


def enrolment_reasons() -> str:
    """Why a site is not enrolled."""
    from medfed.federation.enrolment.desk import REASONS

    rows = [(f"`{n}`", str(code), text, todo) for n, (text, todo, code) in REASONS.items()]
    return _table(("name", "HTTP", "what it says", "what to do"), rows)


def errors() -> str:
    """The tree of errors with the exit codes."""
    from medfed.core import errors as module

    tree = (module.__doc__ or "").split("::\n", 1)[1].split("\n\nA message")[0]
    return f"```text\n{inspect.cleandoc(tree)}\n```"


def settings() -> str:
    """The environment variables, from the docstring of the settings."""
    from medfed.config import Settings

    found = re.findall(r"``(MEDFED_\w+)``: (.+)", inspect.getdoc(Settings) or "")
    rows = [(f"`{name}`", text.replace("``", "`")) for name, text in found]
    return _table(("variable", "meaning"), rows)


def wire() -> str:
    """The messages as the protobuf file declares them."""
    from importlib.resources import files

    text = files("medfed.federation").joinpath("wire.proto").read_text("utf-8")
    return f"```proto\n{text}```"


LISTS: Mapping[str, Callable[[], str]] = {
    "coordinator-fields": coordinator_fields,
    "enrolment-reasons": enrolment_reasons,
    "errors": errors,
    "part-groups": part_groups,
    "parts": parts,
    "pinned-site-fields": pinned_site_fields,
    "refusals": refusals,
    "settings": settings,
    "short-form-fields": short_form_fields,
    "site-fields": site_fields,
    "study-fields": study_fields,
    "wire": wire,
    "worker-fields": worker_fields,
}


def _title(kind: str) -> str:
    return {"query": "Queries", "strategy": "Strategies"}.get(kind, f"{kind.capitalize()}s")


def _part(kind: str, name: str) -> str:
    from medfed.core.options import describe
    from medfed.core.registry import load

    cls = load(kind, name)
    about = inspect.getdoc(cls) or ""
    lines = [f"### {name}\n", f"{about}\n"]
    if kind == "strategy":
        shared = {option.name for option in describe(_training())}
        own = [o for o in describe(cls) if o.name not in shared]
        also = [o.name for o in describe(cls) if o.name in shared]
        lines.append(_rows(own))
        lines.append("\nOf local training: " + ", ".join(f"`{n}`" for n in also) + ".\n")
    else:
        lines.append(_options(cls))
    return "\n".join(lines) + "\n"


def _local_training() -> str:
    text = (
        "### Local training\n\nHow a site trains within a round. Most strategies take these "
        "options; each says below which.\n"
    )
    return f"{text}\n{_options(_training())}\n"


def _training() -> type:
    from medfed.strategies.local import LocalTraining

    return LocalTraining


def _options(cls: type) -> str:
    from medfed.core.options import describe

    return _rows(describe(cls))


def _rows(options: Sequence[Any]) -> str:
    if not options:
        return "No options of its own.\n"
    rows = [
        (f"`{o.name}`", o.type_name, _default(o), o.help.replace("|", "\\|") + _bounds(o))
        for o in options
    ]
    return _table(("field", "type", "if silent", "meaning"), rows)


def _default(option: Any) -> str:
    if option.required:
        return "*required*"
    return "–" if option.default is None else f"`{json.dumps(option.default, ensure_ascii=False)}`"


def _bounds(option: Any) -> str:
    if option.choices:
        shown = (json.dumps(choice, ensure_ascii=False) for choice in option.choices)
        return "; one of " + ", ".join("`" + text.replace("|", "\\|") + "`" for text in shown)
    limits = []
    if option.above is not None:
        limits.append(f"above {_plain(option.above)}")
    if option.low is not None:
        limits.append(f"{_plain(option.low)} or more")
    if option.high is not None:
        limits.append(f"{_plain(option.high)} or less")
    return f" ({', '.join(limits)})" if limits else ""


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"

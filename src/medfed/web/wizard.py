"""What the study wizard asks, step by step, in the reader's language."""

import tomllib
from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from medfed.services.part_list import fields_json, offered, parts_json
from medfed.web import choice_labels, labels
from medfed.web.said import said

KINDS = ("task", "source", "split", "strategy", "aggregator", "compression", "mechanism", "query")


def steps() -> list[dict[str, Any]]:
    """The steps: each with its name, an explanation, and what it asks for.

    A field is named by its path in the study, ``cohort.where``; a part by its kind.
    """
    return [
        {
            "name": _("Task"),
            "about": _("What is to be learnt, from which data, and which patients test it."),
            "asks": [
                *map(_field, ("title", "question")),
                _table("guideline"),
                *map(_part, ("task", "source", "split")),
            ],
        },
        {
            "name": _("Cohort"),
            "about": _("Which hospitals take part, with which of their patients."),
            "asks": [
                *map(_field, ("sites", "cohort.where", "cohort.min_patients", "min_sites")),
                *map(_field, ("deadline", "sampling.fraction")),
            ],
        },
        {
            "name": _("Strategy"),
            "about": _("How each hospital learns, and how the common model moves."),
            "asks": [_part("strategy")],
        },
        {
            "name": _("Aggregation"),
            "about": _("How the hospitals' updates become one, and who sees a single one."),
            "asks": [_part("aggregator"), _part("compression", optional=True), _field("report")],
        },
        {
            "name": _("Privacy"),
            "about": _("What is added so that nobody can be recognised in the model."),
            "asks": [_part("mechanism", several=True)],
            "costs": True,
        },
        {
            "name": _("Statistics"),
            "about": _(
                "Figures of the cohort that are asked for once, noised at each hospital. They cost "
                "privacy, too."
            ),
            "asks": [{"list": "statistics", "part": "query", "label": str(labels.PARTS["query"])}],
            "costs": True,
        },
        {
            "name": _("Rounds"),
            "about": _("How long they learn together, and which model is kept."),
            "asks": [_field("rounds"), _field("keep"), _table("stop"), _field("seed")],
        },
    ]


def _field(path: str) -> dict[str, Any]:
    return {"field": path}


def _part(kind: str, *, optional: bool = False, several: bool = False) -> dict[str, Any]:
    return {
        "part": kind,
        "label": str(labels.PARTS[kind]),
        "optional": optional,
        "several": several,
    }


def _table(name: str) -> dict[str, Any]:
    return {"table": name, "label": str(labels.TABLES[name])}


def parts() -> dict[str, dict[str, Any]]:
    """All parts that a person may choose, explained in the reader's language."""
    found = parts_json(KINDS)
    return {
        kind: {
            name: _explained(kind, name, part)
            for name, part in members.items()
            if offered(kind, name)
        }
        for kind, members in found.items()
    }


def fields() -> dict[str, Any]:
    """The study's own fields by path, explained in the reader's language."""
    paths = {
        f"{table}.{option['name']}".removeprefix("."): option
        for table, options in fields_json().items()
        for option in options
    }
    return {path: _option(option, labels.option(path)) for path, option in paths.items()}


def _explained(kind: str, name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": choice_labels.part(name),
        "summary": said(part["summary"]),
        "options": [_option(o, labels.option(o["name"], kind, name)) for o in part["options"]],
    }


def _option(option: Mapping[str, Any], label: str) -> dict[str, Any]:
    """An option with what people call it and its values."""
    called = [choice_labels.choice(option["name"], value) for value in option["choices"]]
    return {**option, "label": label, "help": said(option["help"]), "called": called}


def plan_of(text: str) -> dict[str, Any]:
    """A study's text as the wizard's form holds it; dates are no part of a study."""
    return tomllib.loads(text)


def script() -> dict[str, str]:
    """What the wizard's script says."""
    return {
        "more": _("More options (%(count)s)", count="{}"),
        "none": _("none"),
        "usual": _("usual: %(value)s", value="{}"),
        "required": _("needed"),
        "list": _("separated by commas"),
        "lines": _("one a line"),
        "pairs": _("one a line, such as north = 150; several values with commas: age = 0, 120"),
        "yes": _("yes"),
        "no": _("no"),
        "silent": _("as usual"),
        "fine": _("The study is in order."),
        "notChecked": _(
            "The study could not be checked, for want of an answer; it is tried again."
        ),
        "loggedOut": _(
            "You are no longer logged in. Log in again in another tab: what you wrote stays here."
        ),
        "between": _("%(low)s to %(high)s", low="{low}", high="{high}"),
        "least": _("%(low)s or more", low="{}"),
        "most": _("%(high)s or less", high="{}"),
        "above": _("more than %(low)s", low="{}"),
        "each": _("What each of them does"),
        "add": _("Add a statistic"),
        "remove": _("Remove"),
        "kind": _("Kind"),
        "counting": _("The cost is being worked out…"),
        "notCounted": _("The cost is told once the study is in order."),
        "free": _("Nothing here costs privacy, and nothing is protected by noise."),
    }

"""The privacy report as one page that needs nothing but itself."""

from collections.abc import Mapping
from typing import Any

from medfed.services.evidence import words
from medfed.services.reports.page import render_page
from medfed.services.reports.words import NOTHING, duration_text, number, option_text, pair

About = Mapping[str, Any]


def render(about: About) -> str:
    """The page as text.

    Args:
        about: What the JSON file holds.
    """
    return render_page(
        "evidence.html",
        package="medfed.services.evidence",
        title=about["run"]["title"],
        question=f"What could an attacker learn about the patients of {about['site']}?",
        notices=about["notices"],
        medfed=about["made"]["by"].removeprefix("medfed "),
        site=about["site"],
        sentence=words.headline(about),
        tiles=_tiles(about),
        findings=about["findings"],
        who_asks=words.who_asks(about),
        attacks=[_attack(name, attack) for name, attack in about["membership"].items()],
        inversion=about["inversion"],
        steps=[_step(about, step) for step in about["inversion"].get("steps", ())],
        mechanisms=[_mechanism(part) for part in about["mechanisms"]],
        canaries=[_canary(one) for one in about["canary"]],
        claimed=[_claim(claim) for claim in about["claimed"]],
        limits=about["limits"],
        facts=_facts(about),
    )


def _tiles(about: About) -> list[tuple[str, str]]:
    membership = about["membership"]
    best = membership["lira"] if membership["lira"]["done"] else membership["loss_threshold"]
    strict = best["at"][0]
    return [
        ("training patients found at 1\u00a0%", words.percent(strict["share"]["value"])),
        ("guessing finds, at most", words.percent(strict["guessing"]["high"])),
        ("AUC; 0.5 is guessing", number(best["auc"]["value"], 2)),
        *(
            ("rows read from the update", f"{step['read']} of {step['patients']}")
            for step in about["inversion"].get("steps", ())
            if step["what"] == ("private-update" if about["mechanisms"] else "update")
        ),
        *(
            (f"ε by a canary, at least; {one['claimed']:.3g} claimed", number(one["least"], 2))
            for one in about["canary"]
            if one["done"]
        ),
    ]


def _attack(name: str, attack: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": words.ATTACKS[name], "done": attack["done"]}
    if not attack["done"]:
        return {**row, "reason": attack["reason"]}
    cells = [
        {
            "share": words.percent(one["share"]["value"]),
            "bounds": _between(one["share"]["low"], one["share"]["high"]),
            "guessing": f"{words.percent(one['guessing']['mean'])}, up to "
            f"{words.percent(one['guessing']['high'])}",
            "alarms": f"{one['false_alarms']} of {attack['others']}",
        }
        for one in attack["at"]
    ]
    verdict = "more than guessing" if attack["shown"] else "no more than guessing"
    about = f"weak evidence: {attack['why_weak']}" if attack["weak"] else ""
    return {**row, "auc": pair(attack["auc"]), "cells": cells, "verdict": verdict, "about": about}


def _between(low: float, high: float) -> str:
    return f"{words.percent(low)} to {words.percent(high)}"


def _step(about: About, step: Mapping[str, Any]) -> dict[str, Any]:
    control = step["held_out"]
    return {
        "name": words.step_name(about, step["what"]),
        "who": words.who_sees(about, step["what"]),
        "read": f"{step['read']} of {step['patients']}",
        "control": f"{control['read']} of {control['patients']}" if control else NOTHING,
        "error": _error(step["error"]),
        "control_error": _error(control["error"]) if control else "",
        "correlation": number(step["correlation"], 2),
        "shown": step["leaves"] and step["shown"],
    }


def _error(value: float | None) -> str:
    return "below 0.1\u00a0%" if value is not None and value < 0.001 else _percent(value)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else words.percent(value)


def _canary(one: Mapping[str, Any]) -> dict[str, Any]:
    if not one["done"]:
        return {"name": one["mechanism"], "done": False, "reason": one["reason"]}
    return {
        "name": one["mechanism"],
        "done": True,
        "unit": one["unit"],
        "least": number(one["least"], 2),
        "claimed": f"{one['claimed']:.3g} at δ = {one['delta']:g}",
        "noise": "any" if one["noise"] is None else words.percent(one["noise"]),
        "draws": f"{2 * one['draws']}",
        "paid": {True: "all of it", False: "not all", None: "the ledger is not here"}[one["paid"]],
        "shown": one["shown"],
    }


def _mechanism(part: Mapping[str, Any]) -> tuple[str, str]:
    options = {name: value for name, value in part.items() if name != "name"}
    return str(part["name"]), option_text(options) or NOTHING


def _claim(claim: Mapping[str, Any]) -> str:
    of = claim.get("mechanism") or claim.get("name")
    delta = claim.get("delta")
    text = f"ε = {claim['epsilon']:.3g}"
    text += f" at δ = {delta:.0e}" if isinstance(delta, float) else ""
    text += f", per {claim['unit']}" if claim.get("unit") else ""
    return f"{text} ({of})" if of else text


def _facts(about: About) -> list[tuple[str, str]]:
    run, patients, attack = about["run"], about["patients"], about["membership"]["lira"]
    facts = [
        (
            "site",
            f"{about['site']}, one of {about['sites']}" if about["sites"] > 1 else about["site"],
        ),
        ("patients trained on", str(patients["trained"])),
        ("patients held out", str(patients["held_out"])),
        ("task", run["task"]),
        ("rounds", str(run["rounds"])),
    ]
    if attack["done"]:
        shadow = f"{attack['shadows']}, each of {attack['patients_per_shadow']} patients"
        facts.append(("shadow models", shadow))
    return [
        *facts,
        ("run", run["id"]),
        ("digest of the study", run["study"]),
        ("digest of the model", run["model_sha256"] or NOTHING),
        ("made", f"{about['made']['at']}, in {duration_text(about['made']['seconds'])}"),
    ]

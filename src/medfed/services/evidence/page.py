"""The privacy report as one page that needs nothing but itself."""

from collections.abc import Mapping
from typing import Any

from medfed.services.evidence import words
from medfed.services.reports.page import render_page
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.words import NOTHING, duration_text, number, option_text, pair

About = Mapping[str, Any]


def render(about: About, say: Speech = ENGLISH) -> str:
    """The page as text.

    Args:
        about: What the JSON file holds.
        say: The language.
    """
    site = about["site"]
    return render_page(
        "evidence.html",
        "medfed.services.evidence",
        say,
        title=about["run"]["title"],
        question=say("What could an attacker learn about the patients of {site}?", site=site),
        notices=[say.again(notice) for notice in about["notices"]],
        medfed=about["made"]["by"].removeprefix("medfed "),
        site=site,
        sentence=words.headline(about, say),
        tiles=_tiles(about, say),
        findings=words.findings(about, say),
        who_asks=words.who_asks(about, say),
        attacks=[_attack(name, attack, say) for name, attack in about["membership"].items()],
        inversion=about["inversion"],
        layer=_layer(about["inversion"], say),
        why_not=words.reason(about["inversion"].get("reason", ""), say),
        steps=[_step(about, step, say) for step in about["inversion"].get("steps", ())],
        mechanisms=[_mechanism(part, say) for part in about["mechanisms"]],
        canaries=[_canary(one, say) for one in about["canary"]],
        claimed=say("; ").join(_claim(claim, say) for claim in about["claimed"]),
        limits=words.limits(about, say),
        facts=_facts(about, say),
    )


def _layer(inversion: Mapping[str, Any], say: Speech) -> str:
    """What a first layer gives away; empty where there is none that does."""
    if not inversion["done"]:
        return ""
    return say.many(
        "A fully connected first layer (here {layer}, {many} unit, {inputs} inputs) gives away its "
        "input: what its weights learned, divided by what its bias learned, is the patient’s row, "
        "if it learned from one patient in one step. Averages over patients and steps blur that.",
        "A fully connected first layer (here {layer}, {many} units, {inputs} inputs) gives away "
        "its input: what its weights learned, divided by what its bias learned, is the patient’s "
        "row, if it learned from one patient in one step. Averages over patients and steps blur "
        "that.",
        inversion["units"],
        layer=inversion["layer"],
        inputs=inversion["inputs"],
    )


def _tiles(about: About, say: Speech) -> list[tuple[str, str]]:
    membership = about["membership"]
    best = membership["lira"] if membership["lira"]["done"] else membership["loss_threshold"]
    strict = best["at"][0]
    return [
        (say("training patients found at 1\u00a0%"), words.percent(strict["share"]["value"])),
        (say("guessing finds, at most"), words.percent(strict["guessing"]["high"])),
        (say("AUC; 0.5 is guessing"), number(best["auc"]["value"], 2)),
        *(
            (say("rows read from the update"), _of(step["read"], step["patients"], say))
            for step in about["inversion"].get("steps", ())
            if step["what"] == ("private-update" if about["mechanisms"] else "update")
        ),
        *(
            (
                say("ε by a canary, at least; {claimed} claimed", claimed=f"{one['claimed']:.3g}"),
                number(one["least"], 2),
            )
            for one in about["canary"]
            if one["done"]
        ),
    ]


def _of(some: object, every: object, say: Speech) -> str:
    return say("{some} of {all}", some=some, all=every)


def _attack(name: str, attack: Mapping[str, Any], say: Speech) -> dict[str, Any]:
    row: dict[str, Any] = {"name": say(words.ATTACKS[name]), "done": attack["done"]}
    if not attack["done"]:
        return {**row, "reason": words.reason(attack["reason"], say)}
    cells = [
        {
            "share": words.percent(one["share"]["value"]),
            "bounds": say(
                "{low} to {high}",
                low=words.percent(one["share"]["low"]),
                high=words.percent(one["share"]["high"]),
            ),
            "guessing": say(
                "{mean}, up to {high}",
                mean=words.percent(one["guessing"]["mean"]),
                high=words.percent(one["guessing"]["high"]),
            ),
            "alarms": _of(one["false_alarms"], attack["others"], say),
        }
        for one in attack["at"]
    ]
    weak = words.reason(attack["why_weak"], say) if attack["weak"] else ""
    return {
        **row,
        "auc": pair(attack["auc"], say),
        "cells": cells,
        "shown": attack["shown"],
        "about": say("weak evidence: {why}", why=weak) if weak else "",
    }


def _step(about: About, step: Mapping[str, Any], say: Speech) -> dict[str, Any]:
    control = step["held_out"]
    return {
        "name": words.step_name(about, step["what"], say),
        "who": words.who_sees(about, step["what"], say),
        "read": _of(step["read"], step["patients"], say),
        "control": _of(control["read"], control["patients"], say) if control else NOTHING,
        "error": _error(step["error"], say),
        "control_error": _error(control["error"], say) if control else "",
        "correlation": number(step["correlation"], 2),
        "shown": step["leaves"] and step["shown"],
    }


def _error(value: float | None, say: Speech) -> str:
    if value is None:
        return NOTHING
    return say("below 0.1\u00a0%") if value < 0.001 else words.percent(value)


def _canary(one: Mapping[str, Any], say: Speech) -> dict[str, Any]:
    if not one["done"]:
        why = words.reason(one["reason"], say)
        return {"name": one["mechanism"], "done": False, "reason": why}
    paid = {True: say("all of it"), False: say("not all"), None: say("the ledger is not here")}
    return {
        "name": one["mechanism"],
        "done": True,
        "unit": words.unit(one["unit"], say),
        "least": number(one["least"], 2),
        "claimed": say(
            "{epsilon} at δ = {delta}", epsilon=f"{one['claimed']:.3g}", delta=f"{one['delta']:g}"
        ),
        "noise": say("any") if one["noise"] is None else words.percent(one["noise"]),
        "draws": f"{2 * one['draws']}",
        "paid": paid[one["paid"]],
        "shown": one["shown"],
    }


def _mechanism(part: Mapping[str, Any], say: Speech) -> tuple[str, str]:
    options = {name: value for name, value in part.items() if name != "name"}
    return str(part["name"]), option_text(options, say) or NOTHING


def _claim(claim: Mapping[str, Any], say: Speech) -> str:
    text = f"ε = {claim['epsilon']:.3g}"
    if isinstance(delta := claim.get("delta"), float):
        text = say("{epsilon} at δ = {delta}", epsilon=text, delta=f"{delta:.0e}")
    if claim.get("unit"):
        text = say("{claim}, per {unit}", claim=text, unit=words.unit(claim["unit"], say))
    of = claim.get("mechanism") or claim.get("name")
    return say("{part} ({options})", part=text, options=of) if of else text


def _facts(about: About, say: Speech) -> list[tuple[str, str]]:
    run, patients, attack = about["run"], about["patients"], about["membership"]["lira"]
    site, several = about["site"], about["sites"] > 1
    facts = [
        (say("site"), say("{site}, one of {sites}", site=site, sites=about["sites"]))
        if several
        else (say("site"), site),
        (say("patients trained on"), str(patients["trained"])),
        (say("patients held out"), str(patients["held_out"])),
        (say("task"), run["task"]),
        (say("rounds"), str(run["rounds"])),
    ]
    if attack["done"]:
        shadow = say(
            "{shadows}, each of {patients} patients",
            shadows=attack["shadows"],
            patients=attack["patients_per_shadow"],
        )
        facts.append((say("shadow models"), shadow))
    made = say(
        "{when}, in {duration}",
        when=say.moment(about["made"]["at"]),
        duration=duration_text(about["made"]["seconds"]),
    )
    return [
        *facts,
        (say("run"), run["id"]),
        (say("digest of the study"), run["study"]),
        (say("digest of the model"), run["model_sha256"] or NOTHING),
        (say("made"), made),
    ]

"""What the figures of a privacy report mean, in words for whoever answers for the patients."""

from collections.abc import Iterator, Mapping
from typing import Any

from medfed.services.reports.words import count

About = Mapping[str, Any]

ATTACKS = {
    "lira": "LiRA, by shadow models",
    "loss_threshold": "Threshold on the loss",
}
STEPS = {
    "gradient": "One patient’s bare gradient",
    "lone-patient": "One patient alone, trained as the study says",
    "update": "The site’s update of round 1, as it is sent",
    "model": "The released model, less the one that training began with",
}


SHADOWED = (
    "Shadow models learned from this site’s patients only, and the model attacked from all sites’. "
    "Somebody who knows patients of other sites may do better."
)
CANARIES = (
    "The canaries test the noise, the clip and the sampling of the privacy lines as they are "
    "installed here; whether the run used the same program, they cannot see. Their bound is lower "
    "than what is really spent, as they are few."
)
NOT_TRIED = (
    (
        "Membership was asked of the resulting model only. The coordinator also sees what the "
        "sites send in every round; attacks that follow the rounds were not tried."
    ),
    (
        "Nobody sent a model made to leak. A dishonest coordinator can, and rows are then read out "
        "of averages too; the inversion here is that of an onlooker."
    ),
    (
        "Convolutions, and averages over several steps and patients, withstand the inversion tried "
        "here by its nature: that it fails against them is weak evidence. Reconstruction by "
        "optimisation (gradient matching) was not tried."
    ),
    (
        "Guessing single attributes of patients, properties of the whole cohort, and what can be "
        "had from questions to a predicting service were not tried."
    ),
)


BEFORE = {
    "lone-patient": "One patient alone, trained as the study says but for its privacy lines",
    "update": "The site’s update of round 1, as it would be without the privacy lines",
}
AFTER = {
    "private-gradient": "One patient’s gradient, under the privacy lines",
    "private-lone-patient": "One patient alone, trained under the privacy lines",
    "private-update": "The site’s update of round 1, as it is sent under the privacy lines",
}


def step_name(about: About, what: str) -> str:
    """What rows are read from; where the study has privacy lines, whether under them."""
    return ({**STEPS, **BEFORE, **AFTER} if about["mechanisms"] else STEPS)[what]


def headline(about: About) -> str:
    """The report in a sentence."""
    found = [
        words
        for words, is_shown in (
            ("tell training patients of this site from other patients", _told_apart(about)),
            ("read rows of this site’s patients", about["inversion"].get("shown", False)),
            ("see canaries that the study’s noise should hide", bool(_alarms(about))),
        )
        if is_shown
    ]
    if found:
        return f"An attacker could {' and '.join(found)}, better than by guessing."
    if not about["membership"]["lira"]["done"]:
        return (
            "The one attack that could be tried here, a weak one, learned no more about this "
            "site’s patients than guessing would. That says little: others may do better."
        )
    return (
        "The attacks tried here learned no more about this site’s patients than guessing would. "
        "That is evidence, and no proof: others may do better."
    )


def findings(about: About) -> list[str]:
    """What each attack reached, one sentence or two each."""
    return [*_membership(about), *_inversion(about), *_canaries(about)]


def _alarms(about: About) -> list[Mapping[str, Any]]:
    return [one for one in about["canary"] if one.get("shown")]


def _canaries(about: About) -> Iterator[str]:
    for one in about["canary"]:
        name = f"Canary under {one['mechanism']}"
        if not one["done"]:
            yield f"{name}: not tried, because {one['reason']}."
            continue
        yield f"{name}: {least(one)}. {_against_the_claim(one)}"
        if one["paid"] is False:
            yield (
                f"The site’s ledger holds fewer answers of this run than {one['mechanism']} gives: "
                "what was spent is not what was paid."
            )


def least(canary: Mapping[str, Any]) -> str:
    """The canary's lower bound beside the claim."""
    claim = f"claimed is ε = {canary['claimed']:.3g} at δ = {canary['delta']:g}"
    return f"ε is {canary['least']:.3g} or more per {canary['unit']}, {claim}"


def _against_the_claim(canary: Mapping[str, Any]) -> str:
    if canary["shown"]:
        share = percent(canary["noise"])
        return f"The claim is wrong: no more than {share} of the noise that is claimed is there."
    if canary["least"] <= 0:
        return "The noise hid the canaries wholly, and nothing speaks against the claim."
    return "Nothing speaks against the claim."


def _told_apart(about: About) -> bool:
    return any(attack.get("shown", False) for attack in about["membership"].values())


def _membership(about: About) -> Iterator[str]:
    for name, title in ATTACKS.items():
        attack = about["membership"][name]
        if not attack["done"]:
            yield f"{title}: not tried, because {attack['reason']}."
            continue
        first = attack["at"][0]
        weak = f" Weak evidence: {attack['why_weak']}." if attack["weak"] else ""
        yield (
            f"{title}: finds {first['found']} of {attack['members']} training patients "
            f"({percent(first['share']['value'])}) while taking {first['false_alarms']} of "
            f"{attack['others']} held-out patients for one. {_against_guessing(attack)}{weak}"
        )


def _against_guessing(attack: Mapping[str, Any]) -> str:
    first = attack["at"][0]
    guess = f"guessing finds {percent(first['guessing']['mean'])} in the mean, up to "
    guess += percent(first["guessing"]["high"])
    if first["shown"]:
        return f"That is more than guessing explains: {guess}."
    if attack["shown"]:
        return (
            f"By that figure alone it could be chance ({guess}), but over all patients it does "
            "better than chance."
        )
    return f"That is no more than guessing explains: {guess}."


def _inversion(about: About) -> Iterator[str]:
    found = about["inversion"]
    if not found["done"]:
        yield f"Reading rows out of the first layer: not tried, because {found['reason']}."
        return
    for step in found["steps"]:
        name, rows = step_name(about, step["what"]), count(step["patients"], "row")
        sentence = f"{name}: {step['read']} of {rows} read"
        if step["held_out"]:
            control = step["held_out"]
            sentence += (
                f"; of patients who had no part in it, {control['read']} of {control['patients']}"
            )
        yield f"{sentence}."


def who_asks(about: About) -> str:
    """Against whom membership is asked."""
    if about["model"] == "own":
        return (
            "This study gives each site a model of its own, which does not leave the site. The "
            "attacker here is somebody who got hold of it, and who has the record of a patient."
        )
    return (
        "The attacker here is somebody who has the released model and the record of a patient, and "
        "asks whether that patient was among those trained on: another site, the coordinator, or "
        "whoever the model is given to."
    )


def who_sees(about: About, what: str) -> str:
    """Who could have the thing that rows are read from."""
    if what == "gradient":
        return "nobody; the yardstick of what a first layer can give away"
    if what == "private-gradient":
        return "nobody; what the privacy lines make of that yardstick"
    if what.endswith("lone-patient"):
        return "nobody; what a site with a single patient would send"
    if what == "model":
        return "whoever has the released model"
    if what == "update" and about["mechanisms"]:
        return "nobody: it is sent under them"
    if about["sees_sites"]:
        return "the coordinator"
    return "nobody by itself: the coordinator sees all sites’ updates only as one"


def limits(about: About) -> list[str]:
    """What was not tried, and what few patients cannot show."""
    others = about["patients"]["held_out"]
    few = (
        f"Few held-out patients: with {others}, no false-alarm rate below 1 in {others} can be "
        "measured, so “1\u00a0%” here means that none of them is taken for a training patient."
    )
    enough = f"The rate of 1\u00a0% stands for {others // 100} of {others} held-out patients."
    shadowed = [SHADOWED] if about["membership"]["lira"]["done"] else []
    found = [few if others < 100 else enough, *shadowed, *NOT_TRIED]
    if any(one["done"] for one in about["canary"]):
        found.append(CANARIES)
    return found


def percent(share: float) -> str:
    """A share as people read it."""
    value = 100 * share
    return f"{value:.1f}\u00a0%" if 0 < value < 10 else f"{value:.0f}\u00a0%"

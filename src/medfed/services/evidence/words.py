"""What the figures of a privacy report mean, in words for whoever answers for the patients."""

from collections.abc import Iterator, Mapping
from typing import Any

from medfed.services.reports.speech import ENGLISH, Speech, later
from medfed.services.reports.words import listing

About = Mapping[str, Any]

ATTACKS = {
    "lira": later("LiRA, by shadow models"),
    "loss_threshold": later("Threshold on the loss"),
}
STEPS = {
    "gradient": later("One patient’s bare gradient"),
    "lone-patient": later("One patient alone, trained as the study says"),
    "update": later("The site’s update of round 1, as it is sent"),
    "model": later("The released model, less the one that training began with"),
}


SHADOWED = later(
    "Shadow models learned from this site’s patients only, and the model attacked from all sites’. "
    "Somebody who knows patients of other sites may do better."
)
CANARIES = later(
    "The canaries test the noise, the clip and the sampling of the privacy lines as they are "
    "installed here; whether the run used the same program, they cannot see. Their bound is lower "
    "than what is really spent, as they are few."
)
NOT_TRIED = (
    later(
        "Membership was asked of the resulting model only. The coordinator also sees what the "
        "sites send in every round; attacks that follow the rounds were not tried."
    ),
    later(
        "Nobody sent a model made to leak. A dishonest coordinator can, and rows are then read out "
        "of averages too; the inversion here is that of an onlooker."
    ),
    later(
        "Convolutions, and averages over several steps and patients, withstand the inversion tried "
        "here by its nature: that it fails against them is weak evidence. Reconstruction by "
        "optimisation (gradient matching) was not tried."
    ),
    later(
        "Guessing single attributes of patients, properties of the whole cohort, and what can be "
        "had from questions to a predicting service were not tried."
    ),
)


BEFORE = {
    "lone-patient": later("One patient alone, trained as the study says but for its privacy lines"),
    "update": later("The site’s update of round 1, as it would be without the privacy lines"),
}
AFTER = {
    "private-gradient": later("One patient’s gradient, under the privacy lines"),
    "private-lone-patient": later("One patient alone, trained under the privacy lines"),
    "private-update": later("The site’s update of round 1, as it is sent under the privacy lines"),
}


REASONS = (
    later("no canary is known for this mechanism"),
    later("the task gives no loss of a single patient"),
    later("shadow models are trained for studies of tables only"),
    later("the model does not begin with a fully connected layer with a bias"),
    later("a stronger attack was not tried"),
    later("one site’s shadow models lack the noise that the coordinator adds"),
)
"""Why attacks were not tried, or are weak evidence."""
FAILED = "a shadow model could not be trained: "
UNITS = (later("patient"), later("record"), later("hospital"))


def reason(text: str, say: Speech = ENGLISH) -> str:
    """Why an attack was not tried, or is weak evidence."""
    if (why := text.removeprefix(FAILED)) != text:
        return say("a shadow model could not be trained: {why}", why=say.again(why))
    return say(text) if text in REASONS else say.again(text)


def unit(name: str, say: Speech = ENGLISH) -> str:
    """Whom a claim is of."""
    return say(name) if name in UNITS else name


def step_name(about: About, what: str, say: Speech = ENGLISH) -> str:
    """What rows are read from; where the study has privacy lines, whether under them."""
    return say(({**STEPS, **BEFORE, **AFTER} if about["mechanisms"] else STEPS)[what])


def headline(about: About, say: Speech = ENGLISH) -> str:
    """The report in a sentence."""
    shown = {
        say("tell training patients of this site from other patients"): _told_apart(about),
        say("read rows of this site’s patients"): about["inversion"].get("shown", False),
        say("see canaries that the study’s noise should hide"): bool(_alarms(about)),
    }
    found = [words for words, is_shown in shown.items() if is_shown]
    if found:
        what = listing(found, say=say)
        return say("An attacker could {what}, better than by guessing.", what=what)
    if not about["membership"]["lira"]["done"]:
        return say(
            "The one attack that could be tried here, a weak one, learned no more about this "
            "site’s patients than guessing would. That says little: others may do better."
        )
    return say(
        "The attacks tried here learned no more about this site’s patients than guessing would. "
        "That is evidence, and no proof: others may do better."
    )


def findings(about: About, say: Speech = ENGLISH) -> list[str]:
    """What each attack reached, one sentence or two each."""
    return [*_membership(about, say), *_inversion(about, say), *_canaries(about, say)]


def _not_tried(name: str, why: str, say: Speech) -> str:
    return say("{name}: not tried, because {why}.", name=name, why=reason(why, say))


def _alarms(about: About) -> list[Mapping[str, Any]]:
    return [one for one in about["canary"] if one.get("shown")]


def _canaries(about: About, say: Speech) -> Iterator[str]:
    for one in about["canary"]:
        name = say("Canary under {mechanism}", mechanism=one["mechanism"])
        if not one["done"]:
            yield _not_tried(name, one["reason"], say)
            continue
        yield say(
            "{name}: {bound}. {verdict}",
            name=name,
            bound=least(one, say),
            verdict=_against_the_claim(one, say),
        )
        if one["paid"] is False:
            yield say(
                "The site’s ledger holds fewer answers of this run than {mechanism} gives: "
                "what was spent is not what was paid.",
                mechanism=one["mechanism"],
            )


def least(canary: Mapping[str, Any], say: Speech = ENGLISH) -> str:
    """The canary's lower bound beside the claim."""
    return say(
        "ε is {least} or more per {unit}, claimed is ε = {claimed} at δ = {delta}",
        least=f"{canary['least']:.3g}",
        unit=unit(canary["unit"], say),
        claimed=f"{canary['claimed']:.3g}",
        delta=f"{canary['delta']:g}",
    )


def _against_the_claim(canary: Mapping[str, Any], say: Speech) -> str:
    if canary["shown"]:
        return say(
            "The claim is wrong: no more than {share} of the noise that is claimed is there.",
            share=percent(canary["noise"]),
        )
    if canary["least"] <= 0:
        return say("The noise hid the canaries wholly, and nothing speaks against the claim.")
    return say("Nothing speaks against the claim.")


def _told_apart(about: About) -> bool:
    return any(attack.get("shown", False) for attack in about["membership"].values())


def _membership(about: About, say: Speech) -> Iterator[str]:
    for name, title in ATTACKS.items():
        attack = about["membership"][name]
        if not attack["done"]:
            yield _not_tried(say(title), attack["reason"], say)
            continue
        first = attack["at"][0]
        found = say(
            "{attack}: finds {found} of {members} training patients ({share}) while taking "
            "{alarms} of {others} held-out patients for one.",
            attack=say(title),
            found=first["found"],
            members=attack["members"],
            share=percent(first["share"]["value"]),
            alarms=first["false_alarms"],
            others=attack["others"],
        )
        found = say("{sentence} {next}", sentence=found, next=_against_guessing(attack, say))
        if attack["weak"]:
            weak = say("Weak evidence: {why}.", why=reason(attack["why_weak"], say))
            found = say("{sentence} {next}", sentence=found, next=weak)
        yield found


def _against_guessing(attack: Mapping[str, Any], say: Speech) -> str:
    first = attack["at"][0]
    guess = say(
        "guessing finds {mean} in the mean, up to {high}",
        mean=percent(first["guessing"]["mean"]),
        high=percent(first["guessing"]["high"]),
    )
    if first["shown"]:
        return say("That is more than guessing explains: {guess}.", guess=guess)
    if attack["shown"]:
        return say(
            "By that figure alone it could be chance ({guess}), but over all patients it does "
            "better than chance.",
            guess=guess,
        )
    return say("That is no more than guessing explains: {guess}.", guess=guess)


def _inversion(about: About, say: Speech) -> Iterator[str]:
    found = about["inversion"]
    if not found["done"]:
        yield _not_tried(say("Reading rows out of the first layer"), found["reason"], say)
        return
    for step in found["steps"]:
        rows = say.many("{many} row", "{many} rows", step["patients"])
        name = step_name(about, step["what"], say)
        read = say("{name}: {read} of {rows} read", name=name, read=step["read"], rows=rows)
        if control := step["held_out"]:
            read = say(
                "{read}; of patients who had no part in it, {some} of {all}",
                read=read,
                some=control["read"],
                all=control["patients"],
            )
        yield say("{sentence}.", sentence=read)


def who_asks(about: About, say: Speech = ENGLISH) -> str:
    """Against whom membership is asked."""
    if about["model"] == "own":
        return say(
            "This study gives each site a model of its own, which does not leave the site. The "
            "attacker here is somebody who got hold of it, and who has the record of a patient."
        )
    return say(
        "The attacker here is somebody who has the released model and the record of a patient, and "
        "asks whether that patient was among those trained on: another site, the coordinator, or "
        "whoever the model is given to."
    )


def who_sees(about: About, what: str, say: Speech = ENGLISH) -> str:
    """Who could have the thing that rows are read from."""
    if what == "gradient":
        return say("nobody; the yardstick of what a first layer can give away")
    if what == "private-gradient":
        return say("nobody; what the privacy lines make of that yardstick")
    if what.endswith("lone-patient"):
        return say("nobody; what a site with a single patient would send")
    if what == "model":
        return say("whoever has the released model")
    if what == "update" and about["mechanisms"]:
        return say("nobody: it is sent under them")
    if about["sees_sites"]:
        return say("the coordinator")
    return say("nobody by itself: the coordinator sees all sites’ updates only as one")


def limits(about: About, say: Speech = ENGLISH) -> list[str]:
    """What was not tried, and what few patients cannot show."""
    others = about["patients"]["held_out"]
    if others < 100:
        rate = say(
            "Few held-out patients: with {others}, no false-alarm rate below 1 in {others} can be "
            "measured, so “1\u00a0%” here means that none of them is taken for a training patient.",
            others=others,
        )
    else:
        rate = say(
            "The rate of 1\u00a0% stands for {some} of {others} held-out patients.",
            some=others // 100,
            others=others,
        )
    shadowed = [SHADOWED] if about["membership"]["lira"]["done"] else []
    found = [*shadowed, *NOT_TRIED]
    if any(one["done"] for one in about["canary"]):
        found.append(CANARIES)
    return [rate, *map(say, found)]


def percent(share: float) -> str:
    """A share as people read it."""
    value = 100 * share
    return f"{value:.1f}\u00a0%" if 0 < value < 10 else f"{value:.0f}\u00a0%"

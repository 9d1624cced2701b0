"""What people call a study's options in the wizard: everything that can be chosen has a name."""

from __future__ import annotations

import json
import re

import pytest

from medfed.services.part_list import fields_json, offered, parts_json
from medfed.web import choice_labels, labels
from medfed.web.wizard import KINDS


def options():
    """Each option that can be written: kind, part, name, and the values it may have."""
    for kind, members in parts_json(KINDS).items():
        for part, about in members.items():
            if offered(kind, part):
                for option in about["options"]:
                    yield kind, part, option["name"], option["choices"]
    for table, own in fields_json().items():
        for option in own:
            path = f"{table}.{option['name']}".removeprefix(".")
            yield "", "", path, option["choices"]


def test_every_option_part_and_value_has_a_name_and_no_name_is_left_over():
    used, values = set(), set()
    for kind, part, name, choices in options():
        keys = [key for key in (f"{part}.{name}", f"{kind}.{name}", name) if key in labels.OPTIONS]
        assert keys, f"{kind} {part}: {name} has no name in medfed.web.labels"
        used.add(keys[0])
        known = {f"{name.rpartition('.')[2]}.{value}" for value in choices}
        values |= known & set(choice_labels.CHOICES)
        words = {value for value in choices if re.search("[a-z]{3}", str(value))}
        unnamed = {f"{name.rpartition('.')[2]}.{value}" for value in words} - values
        assert unnamed <= {f"activation.{each}" for each in ("relu", "tanh", "gelu", "silu")}
    assert used == set(labels.OPTIONS)
    assert values == set(choice_labels.CHOICES)
    parts = {p for k, members in parts_json(KINDS).items() for p in members if offered(k, p)}
    assert parts == set(choice_labels.PARTS)


def test_the_wizard_is_told_names_in_the_readers_language(stage):
    client = stage.client("researcher")

    def told():
        page = client.get("/studies/wizard").text
        found = re.search(r'id="wizard">(.*?)</script>', page, re.DOTALL)
        assert found
        return json.loads(found[1])

    about = told()
    (lr,) = (o for o in about["parts"]["strategy"]["fedavg"]["options"] if o["name"] == "lr")
    assert (lr["label"], lr["help"]) == ("Learning rate", "Learning rate of the first round")
    assert about["parts"]["aggregator"]["secure-sum"]["title"].startswith("Secure sum")
    assert about["fields"]["keep"]["label"] == "Model that is kept"
    assert about["fields"]["keep"]["called"][1] == "The best on validation patients"
    stage.post(client, "/language", "/", language="zh_Hans_CN")
    about = told()
    assert about["fields"]["cohort.where"]["label"] == "患者条件"
    assert about["parts"]["strategy"]["fedavg"]["title"].endswith("各医院所学的平均")


def test_what_another_package_brings_is_called_as_it_calls_itself():
    assert labels.option("odd_name", "task", "theirs") == "Odd name"
    assert choice_labels.part("theirs") == "theirs"
    assert choice_labels.choice("mode", 3) == "3"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("min_sites", "Fewest replies a round"),
        ("cohort.where", "Conditions on patients"),
        ("aggregator", "Aggregation"),
        ("aggregator.name", "Aggregation"),
        ("strategy.lr", "Strategy: Learning rate"),
        ("privacy[1].epsilon", "Privacy 2: ε"),
        ("statistics[0].bounds", "Statistics 1: Lowest and highest value"),
        ("task.positive", "Task: Share of patches on a nodule"),
        ("task.odd_name", "Task: Odd name"),
        ("oddity", ""),
        ("", ""),
    ],
)
def test_places_of_problems_are_called_as_on_the_page(stage, path, words):
    plan = {"task": {"name": "nodule-segmentation"}, "privacy": "no list", "statistics": []}
    with stage.app.test_request_context():
        assert labels.field(path, plan) == words

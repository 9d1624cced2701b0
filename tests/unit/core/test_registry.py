"""Names to parts; what is broken or absent is said in words."""

from importlib.metadata import EntryPoint

import pytest

from medfed.core import registry
from medfed.core.errors import PartError
from medfed.core.registry import KINDS, Part, load, make, names, part_from_json, part_of


@pytest.fixture
def broken(monkeypatch):
    """Plug-ins whose code is not there."""
    points = {
        "no-module": EntryPoint("no-module", "medfed_plugin.nowhere:Part", "medfed.strategies"),
        "no-class": EntryPoint("no-class", "medfed.core.study:Nothing", "medfed.strategies"),
    }
    monkeypatch.setattr(registry, "_group", lambda kind: points)
    return points


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_part_loads_and_describes_itself(kind):
    for name in names(kind):
        cls = load(kind, name)
        assert (cls.__doc__ or "").strip(), name


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(PartError) as caught:
        load("strategy", "fedvag")
    (problem,) = caught.value.problems
    assert problem.remedy == 'Did you mean "fedavg"?'
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["no-module", "no-class"])
def test_a_plug_in_that_cannot_be_loaded_says_so(broken, name):
    with pytest.raises(PartError, match=f'the strategy "{name}" cannot be loaded') as caught:
        load("strategy", name)
    assert "Install" in caught.value.remedy


def test_a_part_is_made_from_its_options_and_gives_them_back():
    made = make("strategy", Part("fedprox", {"mu": 0.5}))
    again = part_of("strategy", made)
    assert again.name == "fedprox"
    assert again.options["mu"] == 0.5
    assert make("strategy", part_from_json(again.to_json())) == made
    with pytest.raises(PartError, match="cannot be used as given"):
        make("strategy", Part("fedprox", {"mu": -1.0}))
    with pytest.raises(PartError, match="is not registered as a task"):
        part_of("task", made)


def test_lists_become_tuples_again():
    assert part_from_json({"name": "x", "a": [1, 2]}) == Part("x", {"a": (1, 2)})

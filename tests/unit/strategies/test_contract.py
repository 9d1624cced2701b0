"""What every registered strategy must keep to."""

import copy

import numpy as np
import pytest
from unit.strategies.problems import Federation, Logistic, Quadratic, hospitals, same_bits

from medfed.core import registry
from medfed.core.options import describe
from medfed.core.registry import Part
from medfed.core.strategy import Turn
from medfed.core.update import Update, add_updates, misfit

NAMES = registry.names("strategy")
TURN = Turn(1, 3, 3)


def make(name):
    options = {"local": ("bn.*",)} if name == "local-norm" else {}
    return registry.make("strategy", Part(name, options))


def forms(tensors):
    assert all(type(v) is np.ndarray for v in tensors.values())  # no scalars of NumPy's own
    return {k: (v.shape, v.dtype) for k, v in tensors.items()}


@pytest.mark.parametrize("name", NAMES)
def test_each_option_says_what_it_does_and_each_class_cites_its_paper(name):
    cls = registry.load("strategy", name)
    assert all(o.help for o in describe(cls))
    text = " ".join(c.__doc__ or "" for c in cls.__mro__[:2])
    assert "arXiv:" in text


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_updates_fit_what_was_sent_and_the_model_keeps_its_types(name, dtype):
    strategy = make(name)
    run = Federation(strategy, hospitals(dtype=dtype), 2)
    start = Logistic.start(dtype=dtype)
    state = strategy.begin(start)
    for number in (1, 2):
        sent = forms(strategy.sent(state))
        state = run.round(state, number)
        for update in run.updates:
            assert misfit(sent, forms(update.tensors)) == ""
            assert {k.partition("/")[0] for k in update.tensors} == set(update.weights)
            assert {"train/loss_sum", "train/examples", "train/steps"} <= set(update.stats)
    assert forms(state.model) == forms(start)
    for model in run.models(state):
        assert forms(model) == forms(start)
    moved = [np.any(state.model[k] != start[k]) for k in ("body.weight",)]
    assert all(moved)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_changed_in_place_and_the_same_input_gives_the_same_bits(name):
    strategy, job = make(name), hospitals()[0]
    state = strategy.begin(Logistic.start())
    sent = strategy.sent(state)
    first, mine = strategy.train(sent, {}, job, TURN)
    state = strategy.step(state, first, TURN)
    sent = strategy.sent(state)
    before = copy.deepcopy((sent, mine, state.model, state.memory))
    one, kept = strategy.train(sent, mine, job, TURN)
    after = strategy.step(state, one, TURN)
    again, kept_again = strategy.train(sent, mine, job, TURN)
    assert same_bits(one.tensors, again.tensors)
    assert same_bits(kept, kept_again)
    assert same_bits(after.model, strategy.step(state, again, TURN).model)
    strategy.finish(sent, mine, job, TURN)
    for was, now in zip(before, (sent, mine, state.model, state.memory), strict=True):
        assert same_bits(was, now)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("total", [Update(), Update({}, {"model": 0.0, "control": 0.0})])
def test_a_round_without_weight_leaves_the_state_as_it_is(name, total):
    strategy = make(name)
    state = strategy.begin(Logistic.start())
    stepped = strategy.step(state, total, TURN)
    assert same_bits(stepped.model, state.model)
    assert same_bits(stepped.memory, state.memory)


@pytest.mark.parametrize("name", NAMES)
def test_a_site_of_weight_zero_among_others_does_not_count(name):
    strategy = make(name)
    one, nobody = hospitals()[0], hospitals()[1]
    nobody.patients = 0
    state = strategy.begin(Logistic.start())
    update, _ = strategy.train(strategy.sent(state), {}, one, TURN)
    ghost = Update(
        {k: 0 * v for k, v in update.tensors.items()}, dict.fromkeys(update.weights, 0.0)
    )
    alone = strategy.step(state, update, TURN)
    both = strategy.step(state, add_updates([update, ghost]), TURN)
    assert same_bits(alone.model, both.model)


@pytest.mark.parametrize("name", NAMES)
def test_finish_leaves_a_memory_that_makes_a_model(name):
    strategy, job = make(name), hospitals()[0]
    state = strategy.begin(Logistic.start())
    sent = strategy.sent(state)
    _, mine = strategy.train(sent, {}, job, TURN)
    model = strategy.local_model(sent, strategy.finish(sent, mine, job, TURN))
    assert forms(model) == forms(Logistic.start())


def test_a_missing_a_strange_or_a_misshapen_tensor_is_said():
    sent = {"model/a": ((2,), np.dtype("int64")), "model/b": ((), np.dtype("float32"))}
    good = {"buffers/a": ((2,), np.dtype("float64")), "model/b": ((), np.dtype("float32"))}
    assert misfit(sent, good) == ""
    assert "no tensor that was sent" in misfit(sent, {**good, "model/c": ((), np.dtype("float32"))})
    assert "shape [3]" in misfit(sent, {**good, "buffers/a": ((3,), np.dtype("float64"))})
    assert "float64 and not float32" in misfit(sent, {**good, "model/b": ((), np.dtype("float64"))})
    assert misfit(sent, {**good, "model/b": ((), np.dtype("float16"))}) == ""
    assert "int64" in misfit(sent, {**good, "buffers/a": ((2,), np.dtype("int64"))})
    assert "come back once" in misfit(sent, {"model/b": ((), np.dtype("float32"))})
    assert "come back once" in misfit(sent, {**good, "model/a": ((2,), np.dtype("float64"))})


@pytest.mark.parametrize("name", ["fedavg", "fednova", "scaffold"])
def test_a_site_that_took_no_step_changes_nothing(name):
    strategy = make(name)
    idle = Quadratic(np.eye(2), [1.0, 2.0], epochs_factor=0)
    state = Federation(strategy, [idle], 2).run({"x": np.ones(2)})
    assert same_bits(state.model, {"x": np.ones(2)})

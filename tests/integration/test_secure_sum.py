"""The secure sum in real runs: the mean's result, losses on the way, receipts of what left."""

import json
from dataclasses import replace

import numpy as np
import pytest
from integration.federated import FULL, STEADY, Recorder, go, refused, steps_of, study_of, text_of
from safetensors.numpy import load_file

from medfed.aggregators.secure.sum import SecureSum
from medfed.core.errors import QuorumError, RunError
from medfed.core.files import read_lines
from medfed.core.packing import PackedUpdate
from medfed.core.study_file import parse_study
from medfed.core.update import Update, grouped
from medfed.federation.keys import load_key
from medfed.federation.site_folder import SiteFolder
from medfed.federation.spool import decode_update, encode_update
from medfed.federation.wire import Order, open_reply, seal, sha256
from medfed.services.sites import open_site
from medfed.storage.run_folder import RunFolder

FOUR = ("north", "centre", "south", "west")

pytestmark = pytest.mark.usefixtures("quick")


def model_of(out):
    return load_file(out / "model.safetensors")


def rounding(out):
    """How far two runs may be apart: what each round may add, and float32's own rounding."""
    rows = RunFolder(out).rows()
    return sum(row.get("aggregation", {}).get("rounding", 0.0) for row in rows)


@pytest.mark.parametrize(
    "strategy",
    ["scaffold", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fedavg", "fedadam"))],
)
def test_a_run_gives_the_means_model_within_the_rounding_it_tells(strategy, tmp_path):
    plain = go(study_of(strategy), tmp_path / "mean")
    masked = go(study_of(strategy, aggregator="secure-sum"), tmp_path / "sum")
    for name, value in model_of(tmp_path / "mean").items():
        apart = np.abs(model_of(tmp_path / "sum")[name] - value).max()
        # Later rounds train on what earlier ones rounded, which may enlarge it.
        assert apart < 20 * rounding(tmp_path / "sum") + 1e-6
    assert 0 < rounding(tmp_path / "sum") < 1e-4
    for metric, interval in plain["metrics"]["overall"].items():
        value = masked["metrics"]["overall"][metric]["value"]
        assert value == pytest.approx(interval["value"], abs=1e-3)
    assert masked["patients"] == {"overall": plain["patients"]["overall"]}


def test_facts_are_the_means_and_no_sites_figures_are_kept(tmp_path):
    go(study_of(), tmp_path / "mean")
    go(study_of(aggregator="secure-sum"), tmp_path / "sum")
    plain, masked = (RunFolder(tmp_path / name).load()[0].facts for name in ("mean", "sum"))
    for column, row in plain["moments"].items():
        assert masked["moments"][column] == pytest.approx(row, rel=1e-12)
    for row in RunFolder(tmp_path / "sum").rows():
        assert not row["sites"]
        assert not {"site_loss", "site_change"} & set(row)
    for row in RunFolder(tmp_path / "mean").rows()[1:]:
        assert set(row["site_change"]) == set(row["participants"])
        assert all(-1 <= each["cosine"] <= 1 for each in row["site_change"].values())


def losing(site, phase, round_):
    """A channel on which one reply of a site is lost."""

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        at = (order.site, order.phase.partition("-")[0], order.round)
        return [] if at == (site, phase, round_) else [delivery]

    return tamper


AT = [
    ("shares", 1),
    ("unmask", 2),
    *(
        pytest.param(phase, round_, marks=pytest.mark.slow)
        for phase, round_ in (("keys", 1), ("masked", 1), ("next", 2), ("agree", 2))
    ),
]


@pytest.mark.parametrize(("phase", "round_"), AT)
def test_a_site_lost_in_the_conversation_does_not_stop_it(phase, round_, tmp_path, tampered):
    tampered(losing("west", phase, round_))
    study = study_of("scaffold", aggregator="secure-sum", sites=FOUR, min_sites=3)
    record = Recorder()
    go(study, tmp_path / "run", record)
    assert record.missing() == [(round_, "west", "late")]
    counted = {row["round"]: row["participants"] for row in RunFolder(tmp_path / "run").rows()[1:]}
    in_time = phase in ("agree", "unmask")  # its part had arrived
    assert ("west" in counted[round_]) == in_time
    assert all("west" in counted[later] for later in range(round_ + 1, 4))


@pytest.mark.slow
def test_after_the_first_a_round_takes_three_exchanges_on_any_number_of_processes(tmp_path):
    study = study_of("scaffold", aggregator="secure-sum", sites=FOUR, min_sites=3)
    results = [go(study, tmp_path / str(n), workers=n)["model_sha256"] for n in (1, 2)]
    assert len(set(results)) == 1
    for n in (1, 2):
        assert steps_of(tmp_path / str(n)) == [FULL, STEADY, STEADY]


def test_memory_is_written_once_a_round_whatever_the_phases(tmp_path, monkeypatch):
    written = []
    plain = SiteFolder.propose_memory

    def propose(self, order, memory):
        written.append((order.site, order.round))
        plain(self, order, memory)

    monkeypatch.setattr(SiteFolder, "propose_memory", propose)
    go(study_of("scaffold", aggregator="secure-sum", rounds=2), tmp_path / "run")
    trained = [one for one in written if one[1] in (1, 2)]
    assert len(trained) == len(set(trained)) == 6


def test_a_run_that_is_resumed_begins_with_fresh_keys(tmp_path, tampered):
    """It was killed while a steady round's signatures came; nothing of that round is used."""
    study = study_of("scaffold", aggregator="secure-sum", sites=FOUR, min_sites=3)
    wanted = go(study, tmp_path / "whole")["model_sha256"]

    def killed(channel, delivery):
        order = channel.order_of(delivery)
        if order.round == 2 and order.phase.startswith("agree"):
            raise KeyboardInterrupt
        return [delivery]

    tampered(killed)
    with pytest.raises(KeyboardInterrupt):
        go(study, tmp_path / "run")
    tampered(lambda channel, delivery: [delivery])
    assert go(study, tmp_path / "run", resume=True)["model_sha256"] == wanted
    assert steps_of(tmp_path / "run")[1][-5:] == FULL


def test_a_site_lost_in_the_last_scoring_does_not_judge_the_same_model_alone(tmp_path, tampered):
    """Without validation patients both ask for the test scores of one model: one question."""

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        lost = order.site == "west" and order.content().get("phase") == "score"
        return [] if lost else [delivery]

    tampered(tamper)
    text = text_of(aggregator="secure-sum", sites=FOUR, min_sites=3, rounds=1)
    study = parse_study(text.replace("valid = 0.2", "valid = 0.0"))
    assert study.split.options["valid"] == 0.0
    result = go(study, tmp_path / "run")
    assert result["metrics"]["overall"]
    (file,) = (tmp_path / "run" / "sites" / "north" / "runs").glob("*/sums.jsonl")
    sums = read_lines(file)
    assert {one["sites"] for one in sums} == {", ".join(sorted(FOUR)), "centre, north, south"}


FIVE = (*FOUR, "east")


@pytest.mark.slow
def test_a_conversation_that_begins_again_trains_from_what_was_counted(tmp_path, tampered):
    """Two sites are lost before the others train, or after: the second time they train alike."""
    study = study_of("scaffold", aggregator="secure-sum", sites=FIVE, min_sites=3, rounds=4)
    found = []
    for phase in ("keys", "shares", "next"):
        lost = [losing(site, phase, 3) for site in FIVE[3:]]
        if phase != "next":  # its part counts, but nothing is agreed ahead: round 3 has keys
            lost.append(losing("north", "unmask", 2))
        tampered(lambda *given, lost=lost: given[1:] if all(one(*given) for one in lost) else [])
        go(study, tmp_path / phase)
        rows = {row["round"]: row for row in RunFolder(tmp_path / phase).rows()[1:]}
        assert tuple(rows[3]["participants"]) == FIVE[:3]
        found.append(model_of(tmp_path / phase))
    for name, value in found[0].items():
        for other in found[1:]:
            np.testing.assert_array_equal(other[name], value)


def test_of_three_sites_none_may_be_lost_and_the_run_goes_on_when_it_is_back(tmp_path, tampered):
    study = study_of(aggregator="secure-sum")
    wanted = go(study, tmp_path / "whole")["model_sha256"]
    with pytest.MonkeyPatch.context() as patch:
        tampered(losing("south", "next", 2))
        with pytest.raises(QuorumError, match="2 of 3"):
            go(study, tmp_path / "run")
        tampered(lambda channel, delivery: [delivery])
        patch.undo()
    assert go(study, tmp_path / "run", resume=True)["model_sha256"] == wanted


def asked(folder, key, phase, received, blanks="", study=None):
    """An order to a site of a finished run's folder, signed by its coordinator."""
    payload = encode_update(received)
    study = study or STUDY
    body = '{"query": {"name": "moments", "columns": ["mean texture"]}, "facts": {}}' + blanks
    fields = {"body": body, "payload_sha256": sha256(payload), "payload_bytes": len(payload)}
    order = Order("r1", study.digest, folder.name, 1, "query", phase, 0, **fields)
    reply = folder.handle(seal(order, key, payload))
    return open_reply(reply, folder.key.public_key(), folder.name), reply.payload


STUDY = study_of(aggregator="secure-sum", sites=FOUR, min_sites=3, rounds=1)


@pytest.fixture
def four(tmp_path):
    """Four sites that know one another and approved a study, and their coordinator's key."""
    out = tmp_path / "run"
    go(STUDY, out)
    key = load_key(out / "coordinator")
    return {name: open_site(out / "sites" / name) for name in FOUR}, key


class Asker:
    """An `ask` over real sites, with real orders; whoever refuses is asked no more."""

    def __init__(self, sites, key, blanks=""):
        self.sites, self.key, self.blanks = dict(sites), key, blanks
        self.refusals = {}

    def __call__(self, phase, each):
        replies = []
        for name in list(self.sites):
            reply, payload = self.reply(name, phase, each.get(name))
            if reply.refusal:
                self.refusals[name] = (reply.refusal, reply.message)
                del self.sites[name]
            else:
                replies.append(PackedUpdate(name, decode_update(payload)))
        return replies

    def reply(self, name, phase, received):
        return asked(self.sites[name], self.key, phase, received or Update(), blanks=self.blanks)


def test_one_question_is_summed_over_one_set_of_sites_even_by_restarted_sites(four, tmp_path):
    sites, key = four
    first = SecureSum().gather(Asker(sites, key), {}).total
    fewer = {name: sites[name] for name in FOUR[:3]}
    asker = Asker(fewer, key, blanks="  ")
    with pytest.raises(QuorumError):
        SecureSum().gather(asker, {})
    assert {name for name, _ in asker.refusals.values()} == {"unsafe-sum"}
    again = {name: open_site(tmp_path / "run" / "sites" / name) for name in FOUR}
    asker = Asker({name: again[name] for name in FOUR[1:]}, key)
    with pytest.raises(QuorumError):
        SecureSum().gather(asker, {})
    assert "summed already, over centre, north, south, west" in asker.refusals["west"][1]
    repeated = SecureSum().gather(Asker(again, key), {}).total
    assert repeated.stats["sum"] == first.stats["sum"]


class Trainer(Asker):
    """An `ask` for work on a model, which may be another one for each site."""

    def __init__(self, sites, key, purpose, body, models, round_=1):
        super().__init__(sites, key)
        self.purpose, self.body, self.models, self.round = purpose, body, models, round_

    def reply(self, name, phase, received):
        payload = encode_update(self.models[name] if received is None else received)
        fields = {"payload_sha256": sha256(payload), "payload_bytes": len(payload)}
        order = Order(
            "r1", STUDY.digest, name, self.round, self.purpose, phase, 0, body=self.body, **fields
        )
        sealed = self.sites[name].handle(seal(order, self.key, payload))
        reply = open_reply(sealed, self.sites[name].key.public_key(), name)
        return reply, sealed.payload


@pytest.fixture
def work(four, tmp_path):
    """Has some of the sites work on models, in the words of a real order and with more beside."""
    sites, key = four
    state = RunFolder(tmp_path / "run").load()[0]
    execution = json.loads(json.dumps(STUDY.make_task().execution().to_json()))
    real = {name: np.asarray(value) for name, value in state.model.items()}
    spoilt = {name: np.zeros_like(value) for name, value in real.items()}
    models = {True: Update(grouped("model", real)), False: Update(grouped("model", spoilt))}

    def ask(purpose, among=FOUR, spoilt=(), round_=1, blanks="", **more):
        table = {"facts": dict(state.facts), "execution": execution, "score": ["test"], **more}
        chosen = {name: models[name not in spoilt] for name in among}
        some = {name: sites[name] for name in among}
        asker = Trainer(some, key, purpose, json.dumps(table) + blanks, chosen, round_)
        try:
            return SecureSum().gather(asker, {}), asker
        except QuorumError:
            return None, asker

    return ask


@pytest.mark.parametrize("purpose", ["train", "evaluate"])
def test_sites_that_were_sent_different_models_never_come_together(purpose, work):
    """Else a model that gives no gradient but at one site shows that one's update (Pasquini)."""
    result, _ = work(purpose, spoilt=FOUR[1:])
    assert result.participants == FOUR[1:]


OTHER_WORDS = [
    {"phase": "other"},
    *(
        pytest.param(words, marks=pytest.mark.slow)
        for words in (
            {"blanks": " "},
            {"unused": 1},
            {"round_": 2},
            {"explain": True},
            {"execution": {}},
        )
    ),
]


@pytest.mark.parametrize("words", OTHER_WORDS, ids=str)
def test_the_same_scores_are_not_summed_over_others_in_other_words(words, work):
    whole, _ = work("evaluate")
    assert whole.participants == FOUR
    result, asker = work("evaluate", FOUR[1:], **words)
    assert result is None
    assert {name for name, _ in asker.refusals.values()} == {"unsafe-sum"}


@pytest.mark.parametrize("again", [{"round_": 2, "score": []}, {"spoilt": FOUR, "score": []}])
def test_neither_a_round_nor_a_model_is_trained_over_two_sets_of_sites(again, work):
    assert work("train")[0].participants == FOUR
    result, asker = work("train", FOUR[1:], **again)
    assert result is None
    assert {name for name, _ in asker.refusals.values()} == {"unsafe-sum"}


def test_scores_of_training_are_not_summed_over_others_by_an_evaluation(work):
    assert work("train")[0].participants == FOUR
    result, asker = work("evaluate", FOUR[1:])
    assert result is None
    assert "summed already" in asker.refusals["west"][1]


def test_no_sum_over_fewer_sites_than_the_study_asks_for(four):
    sites, key = four
    careful = study_of(aggregator="secure-sum", sites=FOUR, min_sites=4, rounds=1)
    for site in sites.values():
        site.folder.approve(careful)
    asker = Asker({name: sites[name] for name in FOUR[:3]}, key)
    asker.reply = lambda name, phase, received: asked(
        sites[name], key, phase, received or Update(), study=careful
    )
    with pytest.raises(QuorumError):
        SecureSum().gather(asker, {})
    refusal = ("unsafe-sum", "the sum is among 3 sites, and must be among 4")
    assert asker.refusals == dict.fromkeys(FOUR[:3], refusal)


def test_a_site_that_is_pinned_and_not_of_the_study_takes_no_part(four):
    sites, _ = four
    study = study_of(aggregator="secure-sum", sites=FOUR[:3], min_sites=3, rounds=1)
    order = Order(
        "run", study.digest, "north", 1, "evaluate", "", 1, '{"score": []}', sha256(b""), 0
    )
    assert set(sites["north"]._seats.seat(order, study).peers) == set(FOUR[:3])


def test_no_sum_over_fewer_sites_than_a_site_asks_for(four):
    sites, key = four
    site = sites["north"]
    site._seats._settings = replace(site.settings, min_sites_in_sum=4)
    asker = Asker({name: sites[name] for name in FOUR[:3]}, key)
    with pytest.raises(QuorumError):
        SecureSum().gather(asker, {})
    assert asker.refusals["north"] == (
        "unsafe-sum",
        "the sum is among 3 sites, and must be among 4",
    )


def test_another_study_that_asks_for_fewer_sites_does_not_end_what_this_one_began(four):
    """All approved both; the careful one's keys, and then a sum among the three of the other."""
    sites, key = four
    careful = study_of(aggregator="secure-sum", sites=FOUR, min_sites=4, rounds=1)
    for site in sites.values():
        site.folder.approve(careful)
    asker = Asker({name: sites[name] for name in FOUR[:3]}, key)

    def reply(name, phase, received):
        study = careful if phase.startswith("keys") else STUDY
        return asked(sites[name], key, phase, received or Update(), study=study)

    asker.reply = reply
    with pytest.raises(QuorumError):
        SecureSum().gather(asker, {})
    assert {name for name, _ in asker.refusals.values()} == {"lost-conversation"}


def test_a_restarted_site_has_lost_the_conversation(four, tmp_path):
    sites, key = four
    asker = Asker(sites, key)

    def ask(phase, each):
        if phase.startswith("masked"):
            asker.sites["north"] = open_site(tmp_path / "run" / "sites" / "north")
        return asker(phase, each)

    result = SecureSum().gather(ask, {})
    assert result.participants == FOUR[1:]
    assert asker.refusals["north"][0] == "lost-conversation"


def test_a_sum_that_does_not_fit_the_model_stops_the_run(tmp_path, monkeypatch):
    kept = SecureSum.gather_on

    def gather(self, *given):
        found = kept(self, *given)
        tensors = {name: value[..., :0] for name, value in found.total.tensors.items()}
        return replace(found, total=replace(found.total, tensors=tensors))

    monkeypatch.setattr(SecureSum, "gather_on", gather)
    with pytest.raises(RunError, match="the sum cannot be used"):
        go(STUDY, tmp_path / "run")


def test_receipts_say_what_left(tmp_path):
    go(study_of(aggregator="secure-sum", rounds=1), tmp_path / "run")
    receipts = list(SiteFolder(tmp_path / "run" / "sites" / "north").receipts())
    masked = [one for one in receipts if one["phase"].startswith("masked")]
    assert masked
    assert all("masked" in one["sentence"] for one in masked)
    assert all(one["norm"] is None for one in receipts)


def test_sites_that_do_not_know_one_another_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr("medfed.services.run_sites.pin", lambda *_: None)
    record = Recorder()
    with pytest.raises(QuorumError):
        go(study_of(aggregator="secure-sum"), tmp_path / "run", record)
    assert {reason for _, _, reason in record.missing()} == {"unknown-peer"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"top": 'report = "sites"'}, "nobody sees a single site's figures"),
        ({"compression": "fp16"}, "saves nothing"),
        ({"compression": "top-k"}, "saves nothing"),
        ({"sites": ("a", "b")}, "at least three"),
        ({"tables": "[sampling]\nfraction = 0.5"}, "at least three"),
        ({"tables": "least = 4"}, "asks for 4 sites"),
        ({"sites": tuple(f"s{i}" for i in range(257))}, "sums over 256 sites at most"),
    ],
)
def test_what_cannot_be_together_is_refused_when_the_study_is_read(changes, says):
    error = refused(text_of(aggregator="secure-sum", **changes))
    assert says in str(error)


def test_a_study_that_is_silent_on_reports_gets_what_there_is():
    assert study_of(aggregator="secure-sum").report == "overall"
    assert study_of().report == "sites"

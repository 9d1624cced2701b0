"""Over a true SuperLink: the bits are the same, whatever is killed or cut; nothing is left."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from integration.federated import figures, go, outcome, study_of

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from integration.standing import SITES, Standing, Watch, await_, family, mentioning

from medfed.core.errors import RunError, SiteError
from medfed.core.study_file import read_study
from medfed.federation.flower.channel import FlowerChannel
from medfed.federation.flower.superlink import Registry
from medfed.services.federation import loopback
from medfed.services.sites import create_site
from medfed.storage.run_folder import RunFolder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCAFFOLD = study_of("scaffold", rounds=2, sites=SITES, options="local_epochs = 5")
LONG = study_of("scaffold", rounds=3, sites=SITES, options="local_epochs = 40")

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """One federation for the tests here: each leaves it whole."""
    with Standing(tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture
def over(standing, tmp_path, monkeypatch):
    """Run a study over the federation; gives the model's digest and figures as `outcome` does."""
    monkeypatch.setattr(loopback, "open_loopback", standing.open)

    def run(study, watch, out=tmp_path / "flower", **options):
        standing.approve(study)
        options = {"sites": standing.home, "engine": "flower", **options}
        result = go(study, out, watch, **options)
        return result["model_sha256"], figures(out)

    return run


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The undisturbed run, on the local channel."""
    known = {}

    def of(study):
        if study.digest not in known:
            known[study.digest] = outcome(study, tmp_path_factory.mktemp("local") / "out")
        return known[study.digest]

    return of


def check(standing, watch, out):
    """No reply was lost or counted twice; each site keeps one receipt for each order."""
    watch.end()
    assert not watch.missing()
    assert not watch.counted_twice()
    run = RunFolder(out).record()["run"]
    for site in standing.lines:
        receipts = standing.receipts(site, run)
        orders = [(r["round"], r["purpose"], r["phase"], r["title"]) for r in receipts]
        counted = [e for e in watch.events if type(e).__name__ == "ReplyCounted" and e.site == site]
        assert len(receipts) == len(counted)
        assert orders


# --- equality -------------------------------------------------------------------------------------


def test_the_bits_are_those_of_the_local_channel(over, wanted, standing, tmp_path):
    """SCAFFOLD: what a site remembers decides the result."""
    watch = Watch()
    assert over(SCAFFOLD, watch) == wanted(SCAFFOLD)
    check(standing, watch, tmp_path / "flower")
    with Registry(standing.link.at) as registry:
        assert not registry.open_runs()


@pytest.mark.slow
def test_other_parts_give_the_same_bits(over, wanted):
    study = study_of(aggregator="median", compression="fp16", rounds=2, sites=SITES)
    assert over(study, Watch()) == wanted(study)


@pytest.mark.slow
def test_an_aggregator_of_several_exchanges_gives_the_same_bits(over, wanted):
    study = study_of("ditto", aggregator="geometric-median", rounds=2, sites=SITES)
    assert over(study, Watch()) == wanted(study)


@pytest.mark.slow
def test_a_secure_sum_gives_the_same_bits(tmp_path):
    study = study_of("scaffold", aggregator="secure-sum", rounds=2)
    wanted = outcome(study, tmp_path / "local")
    assert outcome(study, tmp_path / "flower", engine="flower") == wanted


@pytest.mark.slow
def test_a_model_of_many_pieces_gives_the_same_bits(over, wanted):
    study = study_of(rounds=2, sites=SITES, hidden=(1600, 1500))
    assert over(study, Watch()) == wanted(study)


@pytest.mark.slow
def test_an_asynchronous_run_over_flower_is_replayed_to_the_same_bits(over, tmp_path):
    study = study_of("fedbuff", rounds=4, sites=SITES)
    first = over(study, Watch())
    again = go(study, tmp_path / "again", replay=tmp_path / "flower")
    assert (again["model_sha256"], figures(tmp_path / "again")) == first


@pytest.mark.slow
def test_the_example_gives_the_same_bits(tmp_path):
    study = read_study(EXAMPLES / "breast_cancer.toml")
    wanted = outcome(study, tmp_path / "local")
    assert outcome(study, tmp_path / "flower", engine="flower") == wanted
    assert not (tmp_path / "flower" / "flower").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_heart_example_gives_the_same_bits(tmp_path, need):
    data = need("heart-disease-uci").parent
    study = read_study(EXAMPLES / "heart.toml")
    wanted = outcome(study, tmp_path / "local", data=data)
    assert outcome(study, tmp_path / "flower", data=data, engine="flower") == wanted


# --- loss of things -------------------------------------------------------------------------------


def in_hand(standing, site):
    await_(lambda: standing.has_order(site), complaint=f"{site} got no order")


@pytest.mark.slow
def test_a_site_that_is_killed_in_mid_round_goes_on_with_its_order(
    over, wanted, standing, tmp_path
):
    def trouble():
        in_hand(standing, "north")
        standing.kill_site("north")
        standing.start_site("north")

    watch = Watch(trouble)
    assert over(SCAFFOLD, watch) == wanted(SCAFFOLD)
    check(standing, watch, tmp_path / "flower")


@pytest.mark.slow
def test_a_superlink_that_is_killed_and_comes_back_loses_nothing(over, wanted, standing, tmp_path):
    def trouble():
        in_hand(standing, "north")
        standing.link.kill()
        standing.link.start()

    watch = Watch(trouble)
    assert over(SCAFFOLD, watch) == wanted(SCAFFOLD)
    check(standing, watch, tmp_path / "flower")


@pytest.mark.slow
def test_a_superlink_that_is_away_for_seconds_is_waited_for(over, wanted, standing, tmp_path):
    def trouble():
        in_hand(standing, "north")
        standing.link.kill()
        await_(lambda: "the SuperLink is away" in watch.said())
        time.sleep(8)  # how long it is away, not a wait for anything
        standing.link.start()

    watch = Watch(trouble)
    assert over(LONG, watch) == wanted(LONG)
    check(standing, watch, tmp_path / "flower")
    assert "the SuperLink is there again" in watch.said()
    assert "the coordinator cannot be reached" in standing.said("north")
    assert "the coordinator is there again" in standing.said("north")


@pytest.mark.slow
def test_a_run_that_the_superlink_gave_up_is_begun_anew(over, wanted, standing, tmp_path):
    """As it does after a minute without a word of the coordinator."""

    def trouble():
        in_hand(standing, "north")
        with Registry(standing.link.at) as registry:
            for run in registry.open_runs():
                registry.stop_run(run)

    watch = Watch(trouble)
    assert over(LONG, watch) == wanted(LONG)
    check(standing, watch, tmp_path / "flower")
    assert "a new one is begun, orders are sent again" in watch.said()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(over, wanted, standing, tmp_path):
    def trouble():
        in_hand(standing, "south")
        standing.kill_worker("south")

    watch = Watch(trouble)
    assert over(LONG, watch) == wanted(LONG)
    check(standing, watch, tmp_path / "flower")


@pytest.mark.slow
def test_a_cut_between_sites_and_coordinator_is_waited_out(over, wanted, standing, tmp_path):
    def trouble():
        in_hand(standing, "north")
        standing.relay.cut()
        await_(lambda: standing.said("north").count("cannot be reached") > before)
        time.sleep(5)  # how long the cut is
        standing.relay.mend()

    before = standing.said("north").count("cannot be reached")
    watch = Watch(trouble)
    assert over(LONG, watch) == wanted(LONG)
    check(standing, watch, tmp_path / "flower")


@pytest.mark.slow
def test_a_site_that_is_offline_when_its_order_goes_out_is_waited_for(
    over, wanted, standing, tmp_path
):
    def trouble():
        await_(lambda: "south is offline" in watch.said(), 150)
        standing.start_site("south")

    standing.lines["south"].stop()
    watch = Watch(trouble, at=0)  # facts are asked for before the first round
    try:
        assert over(SCAFFOLD, watch) == wanted(SCAFFOLD)
    finally:
        if not standing.lines["south"].alive:
            standing.start_site("south")
    check(standing, watch, tmp_path / "flower")


@pytest.mark.slow
def test_a_straggler_is_left_out_of_its_round_and_takes_part_again(over, standing, tmp_path):
    study = study_of(rounds=4, sites=SITES, top="deadline = 8")
    north = lambda: family(standing.lines["north"]._process.pid)  # noqa: E731  # one line, used at once

    def trouble():
        for pid in north():
            os.kill(pid, signal.SIGSTOP)
        await_(watch.missing)
        for pid in north():
            os.kill(pid, signal.SIGCONT)

    watch = Watch(trouble)
    over(study, watch)
    watch.end()
    assert watch.missing()[0] == (2, "north", "late")
    rows = {row["round"]: row for row in RunFolder(tmp_path / "flower").rows()}
    parts = {number: sorted(row["participants"]) for number, row in rows.items() if number}
    assert parts[2] == ["south"]
    assert parts[4] == ["north", "south"]
    assert not watch.counted_twice()


# --- whole commands -------------------------------------------------------------------------------


def medfed(*words):
    return [Path(sys.executable).parent / "medfed", *map(str, words)]


def started(study_text, out, tmp_path, *words):
    file = tmp_path / "study.toml"
    file.write_text(study_text, "utf-8")
    return subprocess.Popen(
        medfed("run", file, "--engine", "flower", "--out", out, *words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def text_for_commands(rounds=6):
    text = (EXAMPLES / "breast_cancer.toml").read_text("utf-8")
    text = text.replace('sites = ["north", "centre", "south"]', 'sites = ["north", "south"]')
    return text.replace("rounds = 15", f"rounds = {rounds}")


def rows_of(out):
    file = out / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def gone(place):
    await_(lambda: not mentioning(place), complaint="processes are left")


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_no_process_and_goes_on_later(tmp_path):
    """The guards end SuperLink and sites; the second command starts them in the same folder."""
    out, text = tmp_path / "out", text_for_commands()
    process = started(text, out, tmp_path)
    await_(lambda: rows_of(out) > 1 or process.poll() is not None, 120)
    assert process.poll() is None, process.stderr.read()
    assert mentioning(out / "flower")
    process.kill()  # it cannot clean up
    process.communicate()
    again = started(text, out, tmp_path, "--resume")  # at once: the old ones are about to end
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    local = subprocess.run(
        medfed("run", tmp_path / "study.toml", "--out", tmp_path / "local", "--json"),
        capture_output=True,
        check=True,
        text=True,
    )
    digest = json.loads(local.stdout.splitlines()[-1])["model_sha256"]
    assert RunFolder(out).result()["model_sha256"] == digest
    gone(out / "flower")
    assert not (out / "flower").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_takes_everything_down(tmp_path, number, status):
    out = tmp_path / "out"
    process = started(text_for_commands(9999), out, tmp_path)
    await_(lambda: rows_of(out) or process.poll() is not None, 120)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert not mentioning(out / "flower")
    assert not (out / "flower").exists()


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(1500)
def test_ten_runs_with_random_kills_end_with_the_same_model(over, wanted, standing, tmp_path):
    """Whoever is killed, and whenever; the coordinator's end too: it goes on by --resume."""
    dice, killed = random.Random(20261122), Counter()
    for number in range(10):
        out, trouble = tmp_path / str(number), RandomKills(standing, dice)
        watch = Watch(trouble, at=0)
        got = run_through(over, watch, out, trouble, standing)
        watch.end()
        assert got == wanted(LONG), f"run {number}: {trouble.victims}"
        assert not watch.missing(), trouble.victims
        assert not watch.counted_twice(), trouble.victims
        run = RunFolder(out).record()["run"]
        for site in SITES:  # killed between a receipt and its reply, a site says the same again
            receipts = standing.receipts(site, run)
            said = {(r["round"], r["purpose"], r["title"], r["sha256"]) for r in receipts}
            assert len(receipts) <= len(said) + len(trouble.victims)
        killed.update(victim for victim, _ in trouble.victims)
        killed["run ended"] += trouble.ended
    assert killed.keys() >= {"line", "worker", "link", "run"}
    assert killed["run ended"]


def run_through(over, watch, out, trouble, standing):
    """A run to its end, whatever becomes of its coordinator."""
    while True:
        try:
            got = over(LONG, trouble.listening(watch), out, resume=out.exists())
        except Killed:
            continue
        except RunError as error:  # gone on with while the SuperLink was away: again, then
            if "there is no SuperLink" not in error.message:
                raise
            await_(lambda: standing.link.alive)
            continue
        trouble.stopped = True
        return got


class Killed(BaseException):
    """The coordinator's process ends here."""


class RandomKills:
    """Kills somebody every now and then, and starts them again."""

    def __init__(self, standing, dice):
        self.standing, self.dice = standing, dice
        self.victims, self.stopped, self.run_dies = [], False, False
        self.ended = 0

    def __call__(self):
        for _ in range(3):
            time.sleep(self.dice.uniform(0.0, 2.5))
            if self.stopped:
                return
            victim = self.dice.choice(["line", "worker", "link", "run"])
            site = self.dice.choice(SITES)
            self.victims.append((victim, site))
            getattr(self, victim)(site)

    def line(self, site):
        self.standing.kill_site(site)
        self.standing.start_site(site)

    def worker(self, site):
        with suppress(ValueError):  # it has just died, or is being started
            self.standing.kill_worker(site)

    def link(self, _):
        self.standing.link.kill()
        self.standing.link.start()

    def run(self, _):
        self.run_dies = True

    def listening(self, watch):
        """The run's listener: at the next event it ends as if its process were gone."""

        def listen(event):
            watch(event)
            if self.run_dies:
                self.run_dies = False
                self.ended += 1
                raise Killed

        return listen


# --- what is taken down ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_federation_that_does_not_come_up_is_taken_down(tmp_path, monkeypatch):
    create_site(tmp_path / "north", "north", None)
    monkeypatch.setattr(loopback, "ONLINE_WITHIN", 0.0)
    with pytest.raises(RunError, match="do not come online: north"):
        loopback.open_loopback({"north": tmp_path / "north"}, tmp_path / "flower", print)
    assert not (tmp_path / "flower").exists()
    gone(tmp_path / "flower")


# --- who may be asked -----------------------------------------------------------------------------


def test_a_site_that_is_not_enrolled_is_told_before_anything_begins(standing, tmp_path):
    with pytest.raises(SiteError, match="not enrolled with this coordinator: west"):
        FlowerChannel(standing.link.at, ("north", "west"), tmp_path / "memo")


def test_nobody_at_the_address_is_told_in_words(standing, tmp_path):
    from dataclasses import replace

    at = replace(standing.link.at, address=f"localhost:{loopback.free_port()}")
    with pytest.raises(RunError, match="there is no SuperLink at"):
        FlowerChannel(at, ("north",), tmp_path / "memo")

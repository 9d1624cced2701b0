"""The page and the API of what was spent of a hospital's patients' privacy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from accounting import EXAMPLES, PASSWORD, identity
from consoles import Stage, hospital_of
from counting import Counting
from limits import allow
from sqlalchemy import select, update

from medfed.core.errors import SiteError
from medfed.core.ledger import Spend, comparable
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.private_lines import append_private
from medfed.core.study_file import read_study
from medfed.federation.audit.log import ENTRIES, FOLDER, SEALED_AS
from medfed.federation.site_folder import receipts_of
from medfed.services.accounts import tokens
from medfed.services.prices import Price
from medfed.services.protections import Told
from medfed.services.sites import open_ledger, site_vault
from medfed.storage.database.tables import AuditRow, SessionRow
from medfed.storage.database.types import now
from medfed.storage.ledger import SqliteLedger

API = "/api/v1/privacy"
PEOPLE = tuple(f"p{i}" for i in range(30))
NOISED = read_study(EXAMPLES / "breast_cancer_dp.toml")
SOURCE = comparable(NOISED.source)


@pytest.fixture(autouse=True)
def _counting(monkeypatch):
    monkeypatch.setattr("medfed.services.sites.LossAccountant", Counting)


def book_of(stage: Stage) -> SqliteLedger:
    return open_ledger(stage.console.hospital.site)


def pay(stage: Stage, *, run="run-1", order="o", round_=1, purpose="train", times=1, **more):
    """Enter some work, as the site does before it works."""
    patients, title = more.get("patients", PEOPLE), more.get("title", "A noised study")
    study, source = more.get("study", NOISED.digest), more.get("source", SOURCE)
    cost = Cost("patient", (NoisyAnswer("gaussian", 2.0, 1.0, times),))
    work = Spend(study, title, run, order, round_, purpose, source, patients, cost)
    book_of(stage).spend(work)


def answered(
    stage: Stage, run: str, round_: int, purpose: str = "train", phase: str = "update"
) -> None:
    """Write down that something left for it."""
    site = stage.console.hospital.site
    file = site / "receipts" / f"{run}.jsonl"
    file.parent.mkdir(exist_ok=True)
    row = {"round": round_, "purpose": purpose, "phase": phase}
    append_private(file, row, site_vault(site), receipts_of(file))


def acts(stage: Stage) -> list[tuple[str, str]]:
    """What the record says of limits."""
    with stage.console.database.read() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
    return [(row.subject, row.reason) for row in rows if "limit" in row.subject]


def test_an_empty_ledger_says_what_to_do(hospital):
    page = hospital.client("data-steward").get("/privacy/").text
    assert "Nothing is spent yet" in page
    assert 'href="/participation/"' in page
    assert page.count("ε = 10<") == 6, "left and the limit of each unit"
    assert not (hospital.console.hospital.site / "ledger.sqlite").exists(), "looking makes nothing"


def test_who_has_spent_what_and_on_what(hospital):
    pay(hospital, patients=PEOPLE[:20], times=4)
    pay(hospital, run="run-2", patients=PEOPLE[15:], times=3, title="<b>Another</b>")
    page = hospital.client("auditor").get("/privacy/").text
    assert "ε = 7</dd>" in page
    for words in ("patients: 5", "patients: 15", "patients: 10", "A noised study"):
        assert words in page
    assert "&lt;b&gt;Another&lt;/b&gt;" in page
    assert "Change the limit" not in page, "an auditor changes nothing"


def test_what_was_paid_for_nothing_is_told(hospital):
    for order, round_ in (("a", 1), ("b", 2), ("c", 2), ("d", 3)):
        pay(hospital, order=order, round_=round_)
    answered(hospital, "run-1", 1)
    answered(hospital, "run-1", 2)
    (row,) = hospital.console.hospital.privacy.spendings()
    assert (row.rounds, row.again, row.lost) == (3, 1, 1)
    page = hospital.client("data-steward").get("/privacy/").text
    assert "no answer has left the hospital (yet): 1" in page
    assert "rounds of training: 3" in page
    assert "rounds paid for again: 1" in page
    (hospital.console.hospital.site / "receipts" / "run-1.jsonl").write_text("{\n")
    assert "its receipts cannot be read" in hospital.client("auditor").get("/privacy/").text


def test_one_answered_question_hides_no_other_that_was_paid_for(hospital):
    for order in ("a", "a", "b", "c"):
        pay(hospital, order=order, round_=0, purpose="query")
    answered(hospital, "run-1", 0, "query")
    (row,) = hospital.console.hospital.privacy.spendings()
    assert (row.questions, row.lost) == (3, 2), "one of them was over two sets of patients"
    for step in ("keys", "encrypt", "encrypt", "open"):
        of = {"keys": "", "open": ""}.get(step, "-1-2")
        answered(hospital, "run-1", 0, "query", f"{step}-0011223344556677{of}")
    (row,) = hospital.console.hospital.privacy.spendings()
    assert row.lost == 1, "a conversation is one answer"


@pytest.mark.parametrize("step", ["keys", "shares", "context"])
def test_keys_for_an_answer_are_none(hospital, step):
    pay(hospital)
    answered(hospital, "run-1", 1, "train", f"{step}-0011223344556677")
    assert hospital.console.hospital.privacy.spendings()[0].lost == 1
    answered(hospital, "run-1", 1, "train", "masked-0011223344556677")
    assert hospital.console.hospital.privacy.spendings()[0].lost == 0


def test_beyond_the_last_page_something_is_spent_all_the_same(hospital):
    pay(hospital)
    page = hospital.client("auditor").get("/privacy/?page=99").text
    assert "Nothing is spent yet" not in page
    assert "patients: 30" in page


def test_a_steward_sets_the_limit_and_it_is_recorded(hospital):
    client = hospital.client("data-steward")
    sent = hospital.post(client, "/privacy/limits/patient", "/privacy/", epsilon="5", delta="1e-6")
    assert sent.headers["Location"] == "/privacy/"
    assert "The limit is set." in client.get("/privacy/").text
    found = book_of(hospital).balance()
    assert (found.limit, found.delta) == (5.0, 1e-6)
    old = "ε = 10 at δ = 1e-05 (rule proven, order 2)"
    new = "ε = 5 at δ = 1e-06 (rule proven, order 2)"
    assert acts(hospital) == [("privacy limit of a patient", f"from {old} to {new}")]


def test_the_password_is_asked_for_and_what_was_typed_comes_back(hospital):
    client = hospital.client("data-steward")
    with hospital.console.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=now().replace(year=2025)))
    form = {"epsilon": "5", "delta": "1e-6"}
    asked = hospital.post(client, "/privacy/limits/record", "/privacy/", **form)
    there = asked.headers["Location"]
    assert there == "/confirm?next=/privacy/"
    assert book_of(hospital).balance("record").limit == 10.0
    given = hospital.post(client, there, "/profile/", password=PASSWORD)
    page = client.get(given.headers["Location"]).text
    assert 'name="epsilon" inputmode="decimal" required maxlength="20"' in page
    assert 'value="5"' in page
    assert 'value="1e-6"' in page
    assert "Nothing is changed yet" in page
    assert "Nothing is changed yet" not in client.get("/privacy/").text, "shown once"


def test_nobody_elses_link_fills_the_form(hospital):
    there = "/privacy/?unit=patient&epsilon=999&delta=0.1"
    page = hospital.client("data-steward").get(there).text
    assert "Nothing is changed yet" not in page
    assert 'value="999"' not in page


@pytest.mark.parametrize(
    ("epsilon", "delta", "complaint"),
    [
        ("-1", "1e-5", "0 or more"),
        ("nan", "1e-5", "0 or more"),
        ("inf", "1e-5", "An endless limit is none"),
        ("5", "0", "at most 0.1"),
        ("5", "0.2", "at most 0.1"),
        ("five", "1e-5", "two numbers"),
    ],
)
def test_what_is_no_limit_is_refused_and_stays_typed(hospital, epsilon, delta, complaint):
    client = hospital.client("data-steward")
    form = {"epsilon": epsilon, "delta": delta}
    sent = hospital.post(client, "/privacy/limits/patient", "/privacy/", **form)
    assert sent.status_code == 422
    assert complaint.lower() in sent.text.lower()
    assert f'value="{epsilon}"' in sent.text
    assert book_of(hospital).balance().limit == 10.0
    assert acts(hospital) == []


def test_a_limit_that_cannot_be_recorded_is_not_set(hospital, monkeypatch):
    here = hospital.console.hospital.privacy
    who = identity(hospital.console.accounts, "data-steward")
    monkeypatch.setattr("medfed.services.hospital.privacy.record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.set_limit(who, "patient", 5.0, 1e-5)
    assert book_of(hospital).balance().limit == 10.0


def test_a_limit_is_recorded_before_it_is_set_and_nobody_waits_for_the_ledger(
    hospital, monkeypatch
):
    seen = []

    def killed(*_):
        seen.extend(acts(hospital))
        with hospital.console.database.write() as session:  # nobody holds it
            session.execute(update(AuditRow).values(reason="seen"))
        raise KeyboardInterrupt

    monkeypatch.setattr(SqliteLedger, "set_limit", killed)
    who = identity(hospital.console.accounts, "data-steward")
    with pytest.raises(KeyboardInterrupt):
        hospital.console.hospital.privacy.set_limit(who, "patient", 5.0, 1e-5)
    old, new = (
        "ε = 10 at δ = 1e-05 (rule proven, order 2)",
        "ε = 5 at δ = 1e-05 (rule proven, order 2)",
    )
    assert seen == [("privacy limit of a patient", f"from {old} to {new}")]


def test_a_limit_that_could_not_be_set_is_recorded_as_such_and_none_is_written(
    hospital, monkeypatch
):
    who = identity(hospital.console.accounts, "data-steward")
    with monkeypatch.context() as patched:
        true, failed = SqliteLedger.set_limit, iter([True])

        def once(*given):
            if next(failed, False):
                raise SiteError("the disk is full", remedy="Make room")
            true(*given)

        patched.setattr(SqliteLedger, "set_limit", once)
        with pytest.raises(SiteError):
            hospital.console.hospital.privacy.set_limit(who, "record", 5.0, 1e-5)
    assert [reason for _, reason in acts(hospital)][1].startswith("failed: the disk is full")
    allow(book_of(hospital), 3.0, 1e-5, "patient")
    assert book_of(hospital).balance("record").limit == 3.0, "still the patient's"


def test_a_delta_too_large_for_the_patients_is_no_limit(hospital):
    pay(hospital)
    client = hospital.client("data-steward")
    form = {"epsilon": "5", "delta": "0.05"}
    sent = hospital.post(client, "/privacy/limits/patient", "/privacy/", **form)
    assert sent.status_code == 422
    assert "too large for the 30 patients" in sent.text
    assert book_of(hospital).balance().limit == 10.0
    assert acts(hospital) == []


def test_the_api_tells_and_lets_no_program_set_a_limit(hospital):
    pay(hospital, times=4)
    accounts = hospital.console.accounts
    who = identity(accounts, "data-steward")
    secret = tokens.make_token(accounts.database, who, "t", ["participation"], 1)
    headers, client = {"Authorization": f"Bearer {secret}"}, hospital.app.test_client()
    patient, record, whole = client.get(API, headers=headers).json["accounts"]
    assert [patient[k] for k in ("unit", "spent", "left", "limit")] == ["patient", 4, 6, 10]
    assert [each["members"] for each in patient["cohorts"]] == [30]
    assert [each["spent"] for each in (record, whole)] == [0, 0]
    listed = client.get(f"{API}/runs?limit=1", headers=headers).json
    assert listed["total"] == 1
    assert (listed["items"][0]["epsilon"], listed["items"][0]["lost"]) == (4, 1)
    limit = {"epsilon": 5, "delta": 1e-5}
    refused = client.put(f"{API}/limits/patient", headers=headers, json=limit)
    assert refused.status_code == 422
    assert "a program cannot set a limit" in refused.text
    hospital.console.hospital.privacy.set_limit(who, "patient", 5.0, 1e-5)
    assert client.get(API, headers=headers).json["accounts"][0]["left"] == 1


def test_a_ledger_that_cannot_be_used_is_told_on_the_page(hospital):
    pay(hospital)
    (hospital.console.hospital.site / "ledger.sqlite").unlink()
    answer = hospital.client("data-steward").get("/privacy/")
    assert answer.status_code == 422
    assert "less than was entered" in answer.text
    assert "Set the limit" not in answer.text


@pytest.fixture
def priced(hospital: Stage, monkeypatch) -> Stage:
    """A hospital that a study asks, whose price is known: three answers."""
    price = Price("north", "patient", (NoisyAnswer("gaussian", 2.0, 1.0, 3),))
    other = Price("south", "patient", (NoisyAnswer("gaussian", 2.0, 1.0, 9),))
    told = Told((), (price, other))
    monkeypatch.setattr(hospital.console.protections, "_asked", lambda study: told)
    who = identity(hospital.console.accounts, "data-steward")
    text = (EXAMPLES / "breast_cancer_dp.toml").read_text("utf-8")
    hospital.console.hospital.participation.propose(who, text)
    return hospital


def test_a_studys_page_says_what_it_would_cost_and_what_is_left(priced):
    pay(priced, times=4, study="another")
    client, path = priced.client("data-steward"), f"/participation/{NOISED.digest}"
    page = client.get(path).text
    assert "costs a training patient ε = 3" in page
    assert "ε = 10 for all studies together; at most 4 is spent, and 6 is left" in page
    assert "at most 7 would be spent" in page
    assert "more than this hospital allows" not in page
    allow(book_of(priced), 6.0, 1e-5)
    assert "more than this hospital allows" in client.get(path).text
    (price,) = client.get(f"/api/v1{path}").json["price"]
    assert (price["alone"], price["after"], price["fits"]) == (3, 7, False)


def test_a_studys_page_counts_all_of_other_sources_for_those_who_may_be_new(priced):
    other = '{"name": "csv"}'
    pay(priced, times=4, study="another", patients=PEOPLE[:15], source=other)
    pay(priced, times=4, study="another", patients=PEOPLE[15:], source=other)
    page = priced.client("data-steward").get(f"/participation/{NOISED.digest}").text
    assert "at most 11 would be spent" in page
    assert "more than this hospital allows" in page


def test_a_studys_page_tells_of_a_delta_that_stops_all_work(priced):
    pay(priced, study="another")
    book = book_of(priced)
    book.set_limit(replace(book.limit(), delta=0.04))  # as a ledger of old may have it
    page = priced.client("data-steward").get(f"/participation/{NOISED.digest}").text
    assert "δ = 0.04 is too large for 30 patients" in page
    assert "more than this hospital allows" in page


def test_what_a_study_has_spent_already_is_not_counted_twice(priced):
    pay(priced, times=2)
    page = priced.client("data-steward").get(f"/participation/{NOISED.digest}").text
    assert "Runs of this study have spent ε = 2" in page
    assert "would be spent" not in page
    assert "more than this hospital allows" not in page
    allow(book_of(priced), 2.0, 1e-5)
    page = priced.client("data-steward").get(f"/participation/{NOISED.digest}").text
    assert "more than this hospital allows" in page, "nothing is left for its next round"


def test_a_studys_page_lives_without_a_ledger(priced, monkeypatch):
    def broken(*_):
        raise SiteError("the ledger is gone", remedy="Bring it back")

    monkeypatch.setattr("medfed.services.hospital.privacy.open_ledger", broken)
    answer = priced.client("data-steward").get(f"/participation/{NOISED.digest}")
    assert answer.status_code == 200
    assert "ledger is gone" in answer.text


def test_an_encrypted_ledger_is_opened_as_the_rest_of_the_console(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    stage = hospital_of(tmp_path / "hospital", encrypt_with=str(key))
    pay(stage, times=4, title="A study that nobody must read")
    raw = (stage.console.hospital.site / "ledger.sqlite").read_bytes()
    assert not raw.startswith(b"SQLite format 3")
    answered(stage, "run-1", 1)
    client = stage.client("data-steward")
    page = client.get("/privacy/").text
    assert "A study that nobody must read" in page
    assert "cannot be read" not in page
    stage.post(client, "/privacy/limits/patient", "/privacy/", epsilon="7", delta="1e-5")
    assert book_of(stage).balance().limit == 7.0


def test_what_the_filter_has_left_is_told_and_what_to_do_beyond_it(hospital):
    pay(hospital, times=4)
    client = hospital.client("data-steward")
    page = client.get("/privacy/").text
    assert "a filter (Rényi, order 2) refuses what would break that" in page
    assert "<b>60%</b>" in page, "of what is proven is left"
    allow(book_of(hospital), 3.0, 1e-5)
    page = client.get("/privacy/").text
    assert "Nothing more is admitted" in page
    assert "(133% of what the filter admits is used)" in page
    assert "--order takes another order than 2" in page


def test_a_steward_goes_without_the_filter_and_it_is_recorded(hospital):
    client = hospital.client("data-steward")
    form = {"epsilon": "5", "delta": "1e-5", "rule": "sum"}
    assert hospital.post(client, "/privacy/limits/patient", "/privacy/", **form).status_code == 302
    assert book_of(hospital).limit().rule == "sum"
    assert acts(hospital)[0][1].endswith("to ε = 5 at δ = 1e-05 (rule sum, order 2)")
    page = client.get("/privacy/").text
    assert "Added up without a filter" in page
    assert '<option value="sum" selected>' in page
    hospital.post(client, "/privacy/limits/patient", "/privacy/", epsilon="4", delta="1e-5")
    assert book_of(hospital).limit().rule == "sum", "as before"
    other = hospital.post(client, "/privacy/limits/patient", "/privacy/", **{**form, "rule": "x"})
    assert other.status_code == 404


def test_what_patients_and_records_may_spend_together_is_told(hospital):
    client = hospital.client("auditor")
    assert "ε = 30 at δ = 0.22" in client.get("/privacy/").text
    who = identity(hospital.console.accounts, "data-steward")
    secret = tokens.make_token(hospital.console.accounts.database, who, "t", ["participation"], 1)
    told = hospital.app.test_client().get(API, headers={"Authorization": f"Bearer {secret}"}).json
    assert told["replacing_a_patient"]["epsilon"] == 30
    assert told["replacing_a_patient"]["delta"] == pytest.approx(0.22, abs=0.01)
    assert [each["rule"] for each in told["accounts"]] == ["proven"] * 3
    allow(book_of(hospital), 20.0, 1e-5)
    assert "ε = 60 at a δ of 1, which promises nothing" in client.get("/privacy/").text


def test_a_study_that_only_the_filter_has_no_room_for_is_told_so(priced, monkeypatch):
    monkeypatch.setattr(Counting, "used", lambda self, answers, limit: len(answers) * 1.5)
    client, path = priced.client("data-steward"), f"/participation/{NOISED.digest}"
    page = client.get(path).text
    assert "150% would be used" in page
    assert "there is room for it, and not by the filter" in page
    assert "more than this hospital allows" in page
    (price,) = client.get(f"/api/v1{path}").json["price"]
    assert (price["used_after"], price["fits"], price["rule"]) == (1.5, False, "proven")
    allow(book_of(priced), 10.0, 1e-5, rule="sum")
    page = client.get(path).text
    assert "more than this hospital allows" not in page
    assert "would be used" not in page


def refuse(stage: Stage, digest: str, at: str) -> None:
    """Write down that an order was refused for want of room, as the site's log has it."""
    site = stage.console.hospital.site
    file = site / FOLDER / ENTRIES
    file.parent.mkdir(exist_ok=True)
    row = {"time": at, "kind": "refusal", "record": {"study": digest, "name": "budget-spent"}}
    append_private(file, row, site_vault(site), SEALED_AS)


def test_work_that_no_limit_had_room_for_is_told_until_some_is_admitted(priced, monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz).replace(year=datetime.now(tz).year + 1)

    pay(priced, study="another")
    refuse(priced, NOISED.digest, now().isoformat(timespec="seconds"))
    client = priced.client("data-steward")
    page = client.get("/privacy/").text
    assert "A limit had no room for work of these studies" in page
    assert NOISED.title in page
    study = f"/participation/{NOISED.digest}"
    assert "The limit had no room for work of this study" in client.get(study).text
    with monkeypatch.context() as patched:
        patched.setattr("medfed.storage.ledger_rows.datetime", Later)
        pay(priced)
    assert "had no room" not in client.get("/privacy/").text + client.get(study).text

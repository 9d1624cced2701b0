"""What pages show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from accounting import PASSWORD
from consoles import WANG, csrf_of, finish
from sqlalchemy import update

from medfed.storage.database.engine import Away
from medfed.storage.database.tables import RunRow, SessionRow
from medfed.storage.database.types import now
from medfed.web.language import TAGS

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
COMPARED = {
    "metric": "auc", "seeds": [1, 2], "test_patients": {"north": 9},
    "recipes": {"federated": "", "local": ""},
    "summary": [
        {"recipe": "federated", "metric": "auc", "site": "all patients", "value": 0.9,
         "low": 0.85, "high": 0.95},
    ],
    "differences": [
        {"recipe": "federated", "against": "local", "metric": "auc", "site": "all patients",
         "value": 0.1, "low": 0.05, "high": 0.15, "shown": True, "better": "federated"},
    ],
}  # fmt: skip
PATHS = (
    "/", "/studies/", "/studies/1", "/studies/new", "/studies/1/edit", "/studies/wizard",
    "/studies/1/wizard", "/runs/", "/models/", "/models/1", "/help/", "/profile/",
    "/password", "/confirm",
)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh_Hans_CN"])
def test_every_page_can_be_written_in_both_languages(stage, language):
    client = stage.client("coordinator")
    stage.post(client, "/language", "/", language=language)
    for path in (*PATHS, f"/runs/{stage.run}"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert f'<html lang="{TAGS[language]}"' in answer.text
        assert ("研究" in answer.text) == (language == "zh_Hans_CN"), path
    boss = stage.client("administrator")
    for path in ("/users/", "/users/new", "/users/viewer", "/audit/"):
        assert boss.get(path).status_code == 200, path


def test_a_finished_run_shows_its_figures_and_files(stage):
    page = stage.client("coordinator").get(f"/runs/{stage.run}").text
    assert "<b>0.910</b>" in page
    assert f"/runs/{stage.run}/files/model.safetensors" in page
    assert "facts.json" not in page  # which is not there
    viewer = stage.client("viewer").get(f"/runs/{stage.run}").text
    assert "/files/" not in viewer


def test_buttons_that_would_be_refused_are_not_there(stage):
    assert "Start a run" in stage.client("coordinator").get("/studies/1").text
    assert "Start a run" not in stage.client("viewer").get("/studies/1").text
    assert "Edit" not in stage.client("researcher").get("/studies/1").text


def test_a_study_is_written_and_started_in_the_browser(stage):
    client = stage.client("coordinator")
    token = csrf_of(client, "/studies/new")
    text = stage.console.studies.find(1).toml.replace("\n", "\r\n")
    made = client.post("/studies/new", data={"csrf_token": token, "toml": text})
    assert made.headers["Location"] == "/studies/2"
    row = stage.console.studies.find(2)
    assert row.digest == stage.console.studies.find(1).digest
    stage.post(client, "/studies/2/approve", digest=row.digest)
    started = stage.post(client, "/studies/2/start")
    run = started.headers["Location"].rpartition("/")[2]
    assert stage.console.runs.find(run).state == "queued"
    stage.post(client, f"/runs/{run}/stop")
    assert stage.console.runs.find(run).state == "stopped"
    stage.post(client, f"/runs/{run}/resume")
    assert stage.console.runs.find(run).state == "queued"


def test_a_study_with_problems_is_shown_again_as_it_was_typed(stage):
    client = stage.client("coordinator")
    answer = stage.post(client, "/studies/new", toml='title = "<Mine>"')
    assert answer.status_code == 422
    assert "title = &#34;&lt;Mine&gt;&#34;" in answer.text
    assert "Is missing." in answer.text
    checked = stage.post(client, "/studies/check", toml="title = 3").json
    assert not checked["ok"]
    assert {"field", "label", "line", "message", "remedy"} == set(checked["problems"][0])


def test_a_refusal_names_fields_as_the_page_does_and_each_by_itself(stage):
    client = stage.client("coordinator")
    text = stage.console.studies.find(1).toml.replace('"fedavg"', '"fedavgg"')
    page = stage.post(client, "/studies/new", toml=text.replace("rounds = 15", "rounds = 0")).text
    told = re.findall(r'<li><b>(.+?)</b> <code class="muted">(.+?)</code><div>(.+?)</div>', page)
    assert {(label, path) for label, path, _ in told} == {
        ("Rounds", "rounds"), ("Strategy", "strategy.name"),
    }  # fmt: skip
    for _label, _path, message in told:
        assert not message[0].islower(), message
        assert message.endswith("."), message


def test_a_refusal_is_a_sentence(stage):
    client = stage.client("coordinator")
    page = stage.post(client, "/models/1/release", site="").text
    assert "<b>&#39;&#39; is not a site name.</b> Use " in page
    unknown = stage.post(client, "/models/1/release", site="elsewhere").text
    assert "<b>No hospital is known as elsewhere.</b> Choose one of: " in unknown


def test_a_copy_of_a_study_is_a_draft_of_whoever_copied_it(stage):
    client = stage.client("researcher")
    made = stage.post(client, "/studies/1/duplicate").headers["Location"]
    assert made == "/studies/2/wizard"
    first, copy = stage.console.studies.find(1), stage.console.studies.find(2)
    assert (copy.state, copy.author) == ("draft", "researcher")
    assert copy.title == f"{first.title} (2)"
    assert copy.toml.count("#") == first.toml.count("#")
    assert client.get(made).status_code == 200


def test_a_private_study_is_compared_only_with_what_keeps_it_private(stage):
    client, text = stage.client("coordinator"), (EXAMPLES / "breast_cancer_dp.toml").read_text()
    row = stage.console.studies.create(WANG, text)
    stage.console.studies.approve(WANG, row.id, row.digest)
    form = client.get(f"/comparisons/new/{row.id}").text
    offered = re.findall(r'name="recipes" value="([^"]+)"', form)
    assert offered == ["federated", "leave-one-out"]
    plain = {"recipes": ["federated", "pooled"], "seeds": "1"}
    refused = stage.post(client, f"/comparisons/new/{row.id}", **plain)
    assert refused.status_code == 422
    assert "would train without" in refused.text
    asked = stage.post(client, f"/comparisons/new/{row.id}", recipes=offered, seeds="1")
    assert asked.status_code == 302


def test_a_comparison_is_asked_for_and_shown(stage):
    client = stage.client("coordinator")
    refused = stage.post(client, "/comparisons/new/1", recipes=["federated"], seeds="2")
    assert refused.status_code == 422
    asked = stage.post(client, "/comparisons/new/1", recipes=["local", "federated"], seeds="2")
    run = asked.headers["Location"].rpartition("/")[2]
    row = stage.console.runs.find(run)
    assert (row.kind, row.options["recipes"]) == ("comparison", ["federated", "local"])
    folder = stage.console.place.run_folder(run)
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(COMPARED))
    (folder / "comparison.html").write_text("<h1>All</h1>")
    page = client.get(f"/runs/{run}").text
    assert "Federated is better than each alone by 0.100 (0.050 to 0.150)." in page
    assert "0.900 [0.850, 0.950]" in page
    assert f"/comparisons/{run}/files/sites.svg" in page  # in the reader's language
    report = client.get(f"/comparisons/{run}/files/comparison.html")
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert client.get(f"/comparisons/{run}/files/plan.json").status_code == 404


def test_a_finished_run_offers_its_comparison_and_says_what_it_costs(stage):
    client, path = stage.client("coordinator"), f"/runs/{stage.run}"
    page = client.get(path).text
    assert "It trains 15 models on this machine" in page
    assert "of work" in page
    form = page[page.index('action="/comparisons/new/1"') :].partition("</form>")[0]
    fields = re.findall(r'name="(recipes|seeds)" value="([^"]+)"', form)
    assert fields == [*(("recipes", n) for n in ("federated", "local", "pooled")), ("seeds", "3")]
    assert "Start the comparison" not in stage.client("viewer").get(path).text
    recipes = [value for name, value in fields if name == "recipes"]
    asked = stage.post(client, "/comparisons/new/1", recipes=recipes, seeds="3")
    run = asked.headers["Location"].rpartition("/")[2]
    page = client.get(path).text
    assert "A comparison of this study is under way" in page
    assert "Start the comparison" not in page
    folder = stage.console.place.run_folder(run)
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(COMPARED))
    with stage.console.database.write() as session:
        row = session.get_one(RunRow, run)
        row.state, row.ended = "finished", now()
    page = client.get(path).text
    assert "Federated is better than each alone" in page
    assert "0.900 [0.850, 0.950]" in page


@pytest.mark.parametrize(("scores", "instead"), [("public", True), ("none", False)])
def test_a_private_run_says_why_it_is_not_compared_with_plain_training(stage, scores, instead):
    text = (EXAMPLES / "breast_cancer_dp.toml").read_text().replace('"public"', f'"{scores}"')
    row = stage.console.studies.create(WANG, text)
    stage.console.studies.approve(WANG, row.id, row.digest)
    run = stage.console.runs.start(WANG, row.id)
    finish(stage.console, run)
    page = stage.client("coordinator").get(f"/runs/{run.id}").text
    why = "would train without" if instead else "does not declare these patients public"
    assert why in page.replace("&#39;", "'")
    assert "Start the comparison" not in page
    assert ("Compare with what may be compared" in page) == instead


def test_a_model_is_approved_for_a_hospital_and_withdrawn(stage):
    client = stage.client("coordinator")
    path = f"/runs/{stage.run}/files/model.safetensors"
    with client.get(path) as answer:
        assert answer.data == b"model"
    assert stage.post(client, "/models/1/release", site="a/b").status_code == 422
    unknown = stage.post(client, "/models/1/release", site="nroth")
    assert unknown.status_code == 422
    assert "No hospital is known as nroth." in unknown.text
    assert "Choose one of: centre, north, south" in unknown.text
    assert not stage.console.models.find(1).releases
    stage.post(client, "/models/1/release", site="north")
    stage.post(client, "/models/1/release", site="south")
    stage.post(client, "/models/1/release", **{"site": "south", "take-back": "1"})
    assert [r.site for r in stage.console.models.find(1).releases] == ["north"]
    assert "approved for hospitals: 1" in client.get("/models/").text
    assert stage.post(client, "/models/1/withdraw", reason=" ").status_code == 422
    stage.post(client, "/models/1/withdraw", reason="<b>wrong</b> labels at south")
    page = client.get("/models/1").text
    assert "&lt;b&gt;wrong&lt;/b&gt; labels at south" in page
    assert path not in page
    refused = client.get(path)
    assert refused.status_code == 409
    assert "labels at south" in refused.text
    assert client.get(f"/runs/{stage.run}/report").status_code == 200
    assert stage.post(client, "/models/1/release", site="centre").status_code == 409
    acts = stage.client("auditor").get("/audit/?q=model.").text
    assert "labels at south" in acts
    assert "no more for south" in acts


def test_finished_runs_are_shown_side_by_side(stage):
    client = stage.client("viewer")
    assert f'value="{stage.run}"' in client.get("/runs/").text
    second = stage.console.runs.start(WANG, stage.study)
    finish(stage.console, second)
    page = client.get(f"/comparisons/?run={stage.run}&run={second.id}").text
    assert page.count("<b>0.910</b>") == 4
    assert "same patients" not in page
    assert client.get(f"/comparisons/?run={stage.run}").status_code == 422


def test_an_approved_plan_that_changed_meanwhile_is_not_approved(stage):
    client = stage.client("coordinator")
    answer = stage.post(client, "/studies/1/approve", digest="of another text")
    assert answer.status_code == 409
    assert "changed after you read it" in answer.text


def test_a_user_is_made_only_after_the_password_was_given_lately(stage):
    client = stage.client("administrator")
    with stage.console.database.write() as session:
        then = now().replace(year=2025)
        session.execute(update(SessionRow).values(confirmed=then))
    assert client.get("/users/new").headers["Location"] == "/confirm?next=/users/new"
    made = stage.post(client, "/users/new", name="li.wei", roles=["viewer"])
    assert made.headers["Location"] == "/confirm?next=/users/new"
    wrong = stage.post(client, "/confirm?next=/users/new", password="wrong")
    assert wrong.status_code == 403
    right = stage.post(client, "/confirm?next=/users/new", password=PASSWORD)
    assert right.headers["Location"] == "/users/new"
    made = stage.post(client, "/users/new", name="li.wei", roles=["viewer"])
    assert "shown only now" in made.text
    taken = stage.post(client, "/users/new", name="li.wei", roles=["viewer"])
    assert taken.status_code == 422
    assert "There is a user of this name." in taken.text
    changed = stage.post(client, "/users/li.wei", full_name="Li Wei", roles=["auditor"])
    assert changed.status_code == 302
    user = stage.console.accounts.find("li.wei")
    assert ([role.name for role in user.roles], user.active) == (["auditor"], False)
    assert "shown only now" in stage.post(client, "/users/li.wei/password").text


def test_a_user_without_a_role_is_asked_about(stage):
    client = stage.client("administrator")
    form = {"name": "li.wei", "full_name": "Li Wei"}
    asked = stage.post(client, "/users/new", **form)
    assert asked.status_code == 422
    assert "sees nothing else" in asked.text
    assert 'value="Li Wei"' in asked.text  # what was typed stays
    assert client.get("/users/li.wei").status_code == 404
    assert "shown only now" in stage.post(client, "/users/new", **form, roleless="1").text
    assert stage.console.accounts.find("li.wei").roles == []
    stage.post(client, "/users/li.wei", roles=["viewer"], active="on")
    refused = stage.post(client, "/users/li.wei", active="on")
    assert "Save without a role" in refused.text
    assert [role.name for role in stage.console.accounts.find("li.wei").roles] == ["viewer"]
    barred = stage.post(client, "/users/li.wei")  # neither a role nor the tick
    assert 'name="active">' in barred.text  # the question does not tick it again
    stage.post(client, "/users/li.wei", roleless="1")
    assert not stage.console.accounts.find("li.wei").active


def test_tokens_are_made_and_revoked(stage):
    client = stage.client("viewer")
    page = stage.post(client, "/profile/tokens", name="nightly", days="30", scopes="read").text
    assert "medfed_" in page
    assert "medfed_" not in client.get("/profile/").text
    assert (
        stage.post(client, "/profile/tokens", name="x", days="", scopes="read").status_code == 422
    )
    stage.post(client, "/profile/tokens/1/revoke")
    assert "nightly" not in client.get("/profile/").text


def test_the_record_is_searched(stage):
    page = stage.client("auditor").get("/audit/?q=study.approve").text
    assert "study.approve" in page
    assert "session.begin" not in page
    (digest,) = set(re.findall(r"[0-9a-f]{64}", page))
    assert f'<code title="{digest}">{digest[:12]}…</code>' in page


def test_numbers_that_no_database_takes_do_no_harm(stage):
    huge, client = 10**30, stage.client("administrator")
    for path in ("studies", "runs", "models", "audit"):
        assert client.get(f"/{path}/?page={huge}&before={huge}").status_code == 200
    assert client.get(f"/studies/{huge}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/studies/99", "/runs/none", "/models/99", "/nowhere", "/users/nobody"]
)
def test_what_is_not_there_says_so(stage, path):
    answer = stage.client("administrator").get(path)
    assert answer.status_code == 404
    assert "There is no such" in answer.text


def test_a_database_that_is_away_is_told_without_its_address(stage, monkeypatch):
    def fail(self, **_) -> None:
        raise Away('the database cannot be used: connection to "10.1.2.3", port 5432 failed')

    client, token = stage.client("coordinator"), stage.client("viewer")
    monkeypatch.setattr(type(stage.console.studies), "list", fail)
    for answer in (client.get("/studies/"), token.get("/api/v1/studies")):
        assert answer.status_code == 503
        assert "database cannot be used" in answer.text
        assert "10.1.2.3" not in answer.text


def test_an_error_nobody_foresaw_shows_nothing_of_itself(stage, monkeypatch):
    def fail(**_) -> None:
        raise KeyError("patient 4711")

    monkeypatch.setattr(type(stage.console.studies), "list", lambda self, **_: fail())
    answer = stage.client("coordinator").get("/studies/")
    assert answer.status_code == 500
    assert "4711" not in answer.text
    assert "nobody foresaw" in answer.text

"""What is done by commands at the machine is in the record of the console that shows the folder."""

from __future__ import annotations

import errno
import getpass
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from accounting import BREAST_CANCER
from consoles import stage_of
from integration.enrolling import Federation

from medfed.cli import main
from medfed.core.errors import SiteError
from medfed.core.files import write_json
from medfed.core.study_file import parse_study
from medfed.federation.enrolment.folder import init_coordinator
from medfed.federation.keys import make_key
from medfed.federation.site_folder import SiteFolder
from medfed.privacy.at_rest.envelope import Secret
from medfed.services import act_files, audit
from medfed.services.machine_acts import FOLDER, leave_act, take_in, whoever
from medfed.services.sites import create_site, open_ledger

ME = f"os:{getpass.getuser()}"


def acts(stage) -> list[tuple[str, str, str, str]]:
    stage.console.take_in_acts()
    rows = audit.entries(stage.console.database, words="os:")
    return [(row.actor, row.action, row.subject, row.reason) for row in reversed(rows)]


@pytest.fixture(autouse=True)
def _nobody_became_root(monkeypatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)


def test_what_is_done_to_a_hospital_is_in_its_record(hospital, tmp_path, monkeypatch):
    site = str(hospital.console.hospital.site)
    study = tmp_path / "study.toml"
    study.write_text(BREAST_CANCER)
    main(["site", "approve", site, str(study)])
    main(["ledger", "set-limit", "--site", site, "--epsilon", "3"])
    assert len(list((hospital.console.hospital.site / FOLDER).iterdir())) == 2
    first, second = acts(hospital)
    digest = first[2].removeprefix("study ")
    assert first == (ME, "participation.decide", f"study {digest}", "approved")
    assert second[:3] == (ME, "participation.decide", "privacy limit of a patient")
    assert "to ε = 3 at δ = 1e-05 (rule " in second[3]
    assert list((hospital.console.hospital.site / FOLDER).iterdir()) == []
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    main(["site", "revoke", site, digest])
    assert acts(hospital)[2] == (
        "os:alice as root", "participation.decide", f"study {digest}", "withdrawn"
    )  # fmt: skip


def test_the_audit_page_takes_them_in_and_says_who_it_was(hospital):
    leave_act(hospital.console.hospital.site, "site.trust", "key 00:11")
    client = hospital.client("auditor")
    page = client.get("/audit/").text
    assert f"{getpass.getuser()}, at the machine" in page
    assert "trust a coordinator&#39;s key" in page
    hospital.post(client, "/language", "/profile/", language="zh_Hans_CN")
    assert f"{getpass.getuser()}\uff08在本机操作\uff09" in client.get("/audit/").text
    leave_act(hospital.console.hospital.site, "site.encrypt")
    assert client.get("/api/v1/audit").json["items"][0]["action"] == "site.encrypt"


def test_what_is_done_to_a_federation_is_in_the_record_of_its_console(tmp_path, sqlite_url):
    made = Federation(tmp_path / "federation")
    made.close()
    stage = stage_of(tmp_path / "console", sqlite_url, federation=tmp_path / "federation")
    main(["coordinator", "invite", str(tmp_path / "federation"), "north"])
    main(["coordinator", "remove", str(tmp_path / "federation"), "north"])
    invited, removed = acts(stage)
    assert invited[:3] == (ME, "site.invite", "site north")
    assert removed == (ME, "site.remove", "site north", "")


def test_two_consoles_of_one_database_record_it_once(database, tmp_path):
    leave_act(tmp_path, "site.pin", "site north")
    (file,) = (tmp_path / FOLDER).iterdir()
    whole = file.read_bytes()
    assert take_in(database, [tmp_path]) == 1
    file.write_bytes(whole)  # the console was stopped before it could remove it
    take_in(database, [tmp_path])
    (row,) = audit.entries(database)
    assert (row.actor, row.times, row.allowed) == (ME, 1, True)


def test_a_forged_or_damaged_file_says_nothing_about_users(sqlite, tmp_path):
    (tmp_path / FOLDER).mkdir()
    about = {"at": "2026-01-01T00:00:00+00:00", "action": "user.manage", "reason": "x\ny"}
    forged = {**about, "actor": "admin", "subject": "user eve" * 99}
    write_json(tmp_path / FOLDER / "ab.json", forged)
    for number, text in enumerate(("", "{", "[]", json.dumps({**forged, "at": "once"}))):
        (tmp_path / FOLDER / f"c{number}.json").write_text(text)
    assert take_in(sqlite, [tmp_path]) == 1
    (row,) = audit.entries(sqlite)
    assert (row.actor, row.reason, len(row.subject)) == ("os:unknown", "x y", 200)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda file, _: os.mkfifo(file),  # whoever opens it waits for a writer
        lambda file, whole: file.symlink_to(whole),
        lambda file, whole: file.write_bytes(whole.read_bytes() + b" " * act_files.LONGEST),
        lambda file, _: file.write_text("[" * 60_000),
        lambda file, whole: file.write_text(
            json.dumps({**json.loads(whole.read_text()), "at": "0001-01-01T00:00:00+14:00"})
        ),
    ],
    ids=["pipe", "link", "long", "deep", "early"],
)
def test_the_record_is_looked_at_whatever_lies_among_the_acts(sqlite, tmp_path, spoilt):
    leave_act(tmp_path, "site.pin", "site north")
    (good,) = (tmp_path / FOLDER).iterdir()
    whole = tmp_path / "whole.json"
    whole.write_bytes(good.read_bytes())
    spoilt(tmp_path / FOLDER / "00.json", whole)
    assert take_in(sqlite, [tmp_path]) == 1
    assert [row.key for row in audit.entries(sqlite)] == [good.stem]


def test_an_act_that_cannot_be_removed_is_recorded_once(sqlite, tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "not yours")

    leave_act(tmp_path, "site.pin", "site north")
    monkeypatch.setattr("pathlib.Path.unlink", refused)
    take_in(sqlite, [tmp_path])
    take_in(sqlite, [tmp_path])
    assert len(audit.entries(sqlite)) == 1


COMMANDS = {
    "limit": (["ledger", "set-limit", "--epsilon", "3", "--site"], "privacy limit of a patient"),
    "approval": (["site", "approve"], "study "),
    "withdrawal": (["site", "revoke"], "study "),
    "trust": (["site", "trust"], "key "),
    "pin": (["site", "pin"], "site south"),
    "encryption": (["site", "encrypt", "--passphrase"], ""),
    "rotation": (["site", "rotate-key", "--key-file", "/dev/zero"], ""),
    "invitation": (["coordinator", "invite"], "site south"),
    "removal": (["coordinator", "remove"], "site south"),
    "renewal": (["coordinator", "renew"], ""),
}
DEEDS = (
    "medfed.storage.ledger.SqliteLedger.set_limit",
    *(f"medfed.federation.site_folder.SiteFolder.{deed}" for deed in ("approve", "revoke")),
    "medfed.services.sites.trust",
    "medfed.federation.peers.pin",
    *(f"medfed.services.at_rest.{deed}_site" for deed in ("encrypt", "rotate")),
    *(f"medfed.federation.enrolment.invites.{deed}" for deed in ("invite", "forget_site")),
    "medfed.federation.enrolment.folder.renew",
)
"""What the commands do, each by one function."""


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    (tmp_path / "coordinator").mkdir()
    make_key(tmp_path / "coordinator")
    (tmp_path / "study.toml").write_text(BREAST_CANCER)
    create_site(tmp_path / "other", "south", None)
    SiteFolder(tmp_path / "site").approve(parse_study(BREAST_CANCER))
    init_coordinator(tmp_path / "federation", "https://localhost:8443")
    return tmp_path / "site"


def folder_of(site, command):
    return site.parent / "federation" if COMMANDS[command][0][0] == "coordinator" else site


def words_of(site, command):
    more = {
        "approval": [site.parent / "study.toml"],
        "withdrawal": [parse_study(BREAST_CANCER).digest[:12]],
        "trust": [site.parent / "coordinator/key.pub"],
        "pin": [site.parent / "other"],
        "invitation": ["south"],
        "removal": ["south"],
    }
    return [*COMMANDS[command][0], str(folder_of(site, command)), *map(str, more.get(command, []))]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_done_is_said_before_it_is_done(site, command, sqlite, monkeypatch):
    """Killed when it is about to be done, it is in the record, and was not done."""

    class KilledError(BaseException):
        pass

    def killed(*_, **__):
        raise KilledError

    for what in DEEDS:
        monkeypatch.setattr(what, killed)
    monkeypatch.setattr(Secret, "named", lambda how: None)
    with pytest.raises(KilledError):
        main(words_of(site, command))
    assert take_in(sqlite, [folder_of(site, command)]) == 1
    assert [row.subject[: len(COMMANDS[command][1])] for row in audit.entries(sqlite)] == [
        COMMANDS[command][1]
    ]
    assert open_ledger(site).limit().epsilon == 10.0


@pytest.mark.parametrize("command", ["withdrawal", "approval"])
def test_a_full_disk_holds_up_no_withdrawal(site, command, sqlite, monkeypatch):
    """What takes away trust is done all the same, and said as soon as it can be."""
    withdrawn, full = SiteFolder.revoke, OSError(errno.ENOSPC, "No space left on device")

    def no_room(*_):
        raise full

    def frees_some(self, digest):
        withdrawn(self, digest)
        patched.undo()

    if command == "approval":
        SiteFolder(site).revoke(parse_study(BREAST_CANCER).digest)
    with monkeypatch.context() as patched:
        patched.setattr("medfed.services.machine_acts.write_act", no_room)
        patched.setattr(SiteFolder, "revoke", frees_some)
        if command == "approval":
            with pytest.raises(SystemExit):
                main(words_of(site, command))
        else:
            main(words_of(site, command))
    take_in(sqlite, [site])
    assert [row.reason for row in audit.entries(sqlite)] == ["withdrawn"] * (
        command == "withdrawal"
    )
    assert SiteFolder(site).approvals() == []


def test_what_could_not_be_done_is_said_too(site, sqlite, monkeypatch):
    def full(*_, **__):
        raise SiteError("the ledger cannot be used", remedy="Mend it")

    monkeypatch.setattr("medfed.storage.ledger.SqliteLedger.set_limit", full)
    with pytest.raises(SystemExit):
        main(words_of(site, "limit"))
    take_in(sqlite, [site])
    failed, tried = audit.entries(sqlite)
    assert (tried.allowed, failed.allowed) == (True, False)
    assert failed.reason == "failed, perhaps after it was done: the ledger cannot be used. Mend it"


def test_acts_that_no_console_takes_in_are_summed_up(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(act_files, "MOST", 10)
    for number in range(35):
        leave_act(tmp_path, "data.add" if number % 5 else "site.pin", f"number {number}")
        assert len(list((tmp_path / FOLDER).iterdir())) <= 10
    (tmp_path / FOLDER / "00.json").write_text("no act")
    for number in range(35, 40):
        leave_act(tmp_path, "data.add", f"number {number}")
    take_in(sqlite, [tmp_path])
    *newer, total = audit.entries(sqlite)
    assert total.action == act_files.SUMMED
    told = {k: int(v) for k, v in re.findall(r"(\S+) (\d+)(?:, |$)", total.reason)}
    singles = Counter(row.action for row in newer)
    assert told["site.pin"] + singles["site.pin"] == 7
    assert told["data.add"] + singles["data.add"] == 33
    assert told["damaged"] == 1
    assert total.subject == f"acts: {41 - len(newer)}"
    assert [row.subject for row in newer] == [f"number {n}" for n in range(39, 39 - len(newer), -1)]
    assert not list((tmp_path / FOLDER).iterdir())


def test_a_sum_that_is_broken_off_leaves_none_out(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(act_files, "MOST", 4)
    for number in range(4):
        leave_act(tmp_path, "data.add", f"number {number}")

    class KilledError(BaseException):
        pass

    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KilledError):
            leave_act(tmp_path, "data.add", "number 4")
    take_in(sqlite, [tmp_path])
    found = {row.subject for row in audit.entries(sqlite)}
    assert found >= {f"number {n}" for n in range(5)}, "some are told twice"


def test_two_commands_at_once_sum_up_once(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(act_files, "MOST", 8)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: leave_act(tmp_path, "data.add", f"number {n}"), range(80)))
    take_in(sqlite, [tmp_path])
    *newer, total = audit.entries(sqlite)
    assert total.subject == f"acts: {80 - len(newer)}"
    assert act_files.DAMAGED not in total.reason


def test_an_act_that_cannot_be_read_for_now_is_not_thrown_away(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(act_files, "MOST", 4)
    leave_act(tmp_path, "site.pin", "the first")
    (first,) = (tmp_path / FOLDER).iterdir()
    read = act_files._bytes_of

    def busy(file):
        if file == first:
            raise OSError(errno.EMFILE, "too many open files")
        return read(file)

    with monkeypatch.context() as patched:
        patched.setattr(act_files, "_bytes_of", busy)
        for number in range(9):
            leave_act(tmp_path, "data.add", f"number {number}")
    take_in(sqlite, [tmp_path])
    assert "the first" in {row.subject for row in audit.entries(sqlite)}


@pytest.mark.skipif(os.getresuid()[1] != 0, reason="only root can act for others")
def test_what_root_leaves_belongs_to_who_owns_the_folder():
    with tempfile.TemporaryDirectory() as name:  # a test's own folder nobody but root may enter
        site = Path(name)
        os.chown(site, 12345, 12346)
        leave_act(site, "site.pin", "site north")
        made = [site / FOLDER, *(site / FOLDER).iterdir()]
        assert [(each.stat().st_uid, each.stat().st_gid) for each in made] == [(12345, 12346)] * 2
        assert json.loads(made[1].read_text())["actor"] == "os:root"
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_a_user_without_a_name_is_a_number(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4_000_123)
    assert whoever().name == "os:4000123"
    assert act_files.AT_MACHINE not in "abcdefghijklmnopqrstuvwxyz0123456789._-"


@pytest.mark.slow
def test_a_new_password_by_command_is_in_the_record(stage, tmp_path):
    url = stage.console.database.url.render_as_string(hide_password=False)
    words = ["serve", "--data", str(tmp_path / "console"), "--database", url]
    command = [sys.executable, "-m", "medfed", *words, "--reset-password", "viewer"]
    subprocess.run(command, check=True, capture_output=True)
    assert acts(stage)[-1] == (ME, "user.manage", "user viewer", "new password")
    backup = [*command[:3], "backup", str(tmp_path / "kept"), *words[1:]]
    subprocess.run(backup, check=True, capture_output=True)
    assert acts(stage)[-1] == (ME, "console.backup", "folder kept", "")

"""``medfed coordinator`` and ``medfed site join``, as a person types them."""

import json
import subprocess
import sys

import pytest
from integration.enrolling import Federation

from medfed.cli import main
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.enrolment.folder import CoordinatorFolder


@pytest.fixture
def medfed(capsys):
    """Exit code, standard output, standard error."""

    def call(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def folder(medfed, tmp_path):
    path = tmp_path / "c"
    code, out, _ = medfed("coordinator", "init", path, "--address", "https://localhost:8443")
    assert code == 0
    assert "Fingerprint: " in out
    return path


def test_help_of_the_group_loads_nothing_heavy():
    probe = (
        "import sys; from medfed.cli import cli; "
        "cli.main(['coordinator', '--help'], standalone_mode=False); print('loaded:', *sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-c", probe], text=True)
    assert not {"numpy", "flask", "cryptography", "waitress"} & set(
        said.split("loaded:")[1].split()
    )


def test_the_code_alone_is_standard_output(medfed, folder):
    code, out, said = medfed("coordinator", "invite", folder, "hospital_b", "--valid", "30m")
    assert code == 0
    assert InviteCode.parse(out).site == "hospital_b"
    assert out.count("\n") == 1
    assert "telephone" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("invite", "{}", "hospital_b", "--valid", "2 days"), 2, "30m, 48h or 7d"),
        (("invite", "{}", "coordinator"), 4, "not a site name"),
        (("invite", "{}/none", "b"), 4, "not a coordinator's folder"),
        (("remove", "{}", "nobody"), 4, "no site called"),
        (("renew", "{}", "--days", "1000"), 4, "398"),
        (("renew", "{}", "--key", "x"), 2, "go together"),
        (("init", "{}2", "--address", "https://a.org", "--ca", "x"), 2, "go together"),
        (("init", "{}2", "--address", "http://a.org"), 4, "https://HOST"),
        (("init", "{}2", "--address", "https://a.org", "--name", "a b"), 4, "not a name"),
        (("init", "{}2", "--address", "https://a.org", "--bind", "x"), 4, "bind"),
        (("sites", "{}2"), 4, "not a coordinator's folder"),
    ],
)
def test_bad_input_is_a_sentence_and_an_exit_code(medfed, folder, arguments, code, says):
    got, _, said = medfed("coordinator", *(one.format(folder) for one in arguments))
    assert got == code
    assert says in said
    assert not folder.with_name("c2").exists()


def test_sites_are_listed_and_removed(medfed, tmp_path):
    federation = Federation(tmp_path / "c")
    folder = federation.folder.path
    assert "No site yet" in medfed("coordinator", "sites", folder)[1]
    _, code, _ = medfed("coordinator", "invite", folder, "b")
    medfed("coordinator", "invite", folder, "c")
    with federation.front():
        # As it arrives from a mail program: wrapped.
        status, out, _ = medfed("site", "join", code[:50], code[50:], "--folder", tmp_path / "b")
    assert status == 0
    (site,) = federation.enrolled
    assert site.fingerprint in out
    listed = medfed("coordinator", "sites", folder)[1]
    assert f"b  {site.fingerprint}" in listed
    assert "c  invited, open until" in listed
    about = json.loads(medfed("coordinator", "sites", folder, "--json")[1])
    assert [one["name"] for one in about["sites"]] == ["b"]
    assert [one["site"] for one in about["invited"]] == ["c"]
    assert about["fingerprint"] in out
    assert medfed("coordinator", "remove", folder, "b")[0] == 0
    assert json.loads(medfed("coordinator", "sites", folder, "--json")[1])["sites"] == []
    federation.close()


def test_a_failed_join_says_what_to_do(medfed, tmp_path):
    code, _, said = medfed("site", "join", "medfed1-nonsense")
    assert code == 4
    assert "What to do: Copy the whole code again" in said


def test_renewal_is_told(medfed, folder):
    before = CoordinatorFolder(folder).certificate()
    code, out, _ = medfed("coordinator", "renew", folder, "--days", 20)
    assert code == 0
    assert "when it starts" in out
    assert CoordinatorFolder(folder).certificate() != before
    assert "expires in 19 days" in medfed("coordinator", "sites", folder)[2]


def test_settings_with_several_problems_show_all(medfed, folder):
    (folder / "coordinator.toml").write_text('address = "x"\nbind = "y"\n')
    _, _, said = medfed("coordinator", "sites", folder)
    assert "2 problems" in said
    assert "line 1, address" in said
    assert "line 2, bind" in said


def test_the_groups_alone_show_help(medfed):
    for group in ("coordinator", "site"):
        code, out, _ = medfed(group)
        assert code == 0
        assert "--config" in out

"""Consoles that keep what they hold elsewhere: what encrypting the site does not reach."""

import pytest
from sqlalchemy import text

from medfed.cli import main
from medfed.core.errors import SiteError
from medfed.services.at_rest import encrypt_site
from medfed.services.console import Console, Faces
from medfed.services.consoles_of import CONSOLES, consoles_elsewhere, outside, remember_console
from medfed.services.federation.alone import alone
from medfed.services.sites import create_site


@pytest.fixture
def key(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(bytes(range(32)))
    return file


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "north", "north", None)
    return tmp_path / "north"


def opened(folder, site, url=""):
    """A console that was served once, with a patient's name in its database."""
    console = Console.open(folder, url, faces=Faces(site=site), bcrypt_rounds=4)
    with console.database.write() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS seen (who TEXT)"))
        session.execute(text("INSERT INTO seen VALUES ('Doe, Jane')"))
    console.close()


def encrypted(site, key, capsys) -> str:
    main(["site", "encrypt", str(site), "--key-file", str(key)])
    return capsys.readouterr().out


def test_a_console_in_the_sites_folder_is_encrypted_with_it(site, key, capsys):
    opened(site / "console", site)
    assert consoles_elsewhere(site) == []
    assert "NOT encrypted" not in encrypted(site, key, capsys)
    assert b"Doe, Jane" not in (site / "console" / "console.sqlite").read_bytes()


@pytest.mark.parametrize("where", ["console", "north/other"])
def test_one_served_from_another_folder_is_named_and_said_not_to_be(
    where, tmp_path, site, key, capsys
):
    folder = tmp_path / where
    opened(folder, site)
    opened(folder, site)
    assert consoles_elsewhere(site) == [str(folder)], "once"
    with alone(folder, "jobs"), pytest.raises(SiteError, match="already"):
        encrypt_site(site, str(key))
    said = encrypted(site, key, capsys)
    assert said.count("NOT encrypted") == 1
    assert f"NOT encrypted: {folder}" in said
    assert "medfed site serve" in said
    files = [file for file in folder.rglob("console.sqlite*") if file.is_file()]
    assert any(b"Doe, Jane" in file.read_bytes() for file in files), "as it says"


def test_one_that_is_gone_is_not_named(tmp_path, site, key, capsys):
    opened(tmp_path / "console", site)
    (tmp_path / "console").rename(tmp_path / "moved")
    assert "NOT encrypted" not in encrypted(site, key, capsys)


def test_a_database_elsewhere_is_named_without_its_password(tmp_path, site):
    own = site / "console"
    assert outside(site, own, f"sqlite:///{own}/console.sqlite") == []
    assert outside(site, own, f"sqlite:///{own}/other.sqlite") == [f"{own}/other.sqlite"]
    assert outside(site, own, f"sqlite:///{tmp_path}/db") == [str(tmp_path / "db")]
    told = outside(site, own, "postgresql+psycopg://me:secret@db.example.org:5432/medfed?x=secret")
    assert told == ["postgresql+psycopg://db.example.org:5432/medfed"]


def test_nothing_is_written_where_no_site_is(tmp_path):
    (tmp_path / "no site").mkdir()
    with pytest.raises(SiteError):
        opened(tmp_path / "console", tmp_path / "no site")
    assert not list((tmp_path / "no site").iterdir())


@pytest.mark.parametrize("damage", ["[", "{}", "[1]"])
def test_a_damaged_list_is_said_and_mended_by_a_console_that_starts(tmp_path, site, damage):
    (site / CONSOLES).write_text(damage)
    with pytest.raises(SiteError, match="is damaged") as said:
        consoles_elsewhere(site)
    assert "start each console" in said.value.remedy
    remember_console(site, tmp_path / "console", "sqlite:///" + str(tmp_path / "console/db.sqlite"))
    assert consoles_elsewhere(site) == []
    assert (site / CONSOLES).read_text() != damage

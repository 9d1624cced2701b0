"""Whole runs in encrypted folders: nothing private lies open there, and all else is the same."""

import gc
import re
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner
from integration.federated import SITES, figures, go, study_of
from limits import allow
from unit.connectors.dicom_files import ramp, write_series
from unit.services.imports.test_archive import FolderPacs

from medfed.cli import cli
from medfed.connectors.csv_table import CsvTable
from medfed.connectors.pacs import Query
from medfed.connectors.scans import read_scan, reading
from medfed.connectors.volumes import Volumes
from medfed.core.errors import DataError, Refused, RunError, SiteError
from medfed.core.packing import PackedUpdate
from medfed.core.study_file import parse_study
from medfed.core.update import Update
from medfed.federation.exchange import Exchange
from medfed.federation.spool import LAZY, SpooledUpdate, decode_update, encode_update
from medfed.federation.wire import Sealed
from medfed.privacy.at_rest import envelope
from medfed.privacy.at_rest.envelope import ENVELOPE, Secret
from medfed.privacy.at_rest.vault import new_vault
from medfed.services import record_copy
from medfed.services.at_rest import encrypt_site, read_file, rotate_site, site_log
from medfed.services.federation.alone import alone
from medfed.services.hospital.tables import take_tables
from medfed.services.imports import (
    ImportOptions,
    import_from_pacs,
    import_scans,
    list_scans,
    remove_scan,
)
from medfed.services.imports.place import LOCK, only_one
from medfed.services.reports.view import RunView
from medfed.services.sites import create_site, open_ledger, open_site
from medfed.storage.links import LINKS
from medfed.storage.models import write_model
from medfed.storage.run_folder import RunFolder
from medfed.tasks.detection_released import open_released

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def key(tmp_path):
    file = tmp_path / "site.key"
    file.write_bytes(bytes(range(32)))
    return file


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(envelope, "COST", {"n": 2**10, "r": 8, "p": 1})


def everything(folder):
    """All bytes under a folder, file by file."""
    found = {}
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # others may be at work there
            if file.is_file():
                found[file.relative_to(folder)] = file.read_bytes()
    return found


def test_a_run_gives_the_same_bits_encrypted_or_not(tmp_path, key):
    study = study_of("ditto", rounds=2)
    plain = go(study, tmp_path / "plain")["model_sha256"]
    sealed = go(study, tmp_path / "sealed", encrypt_with=str(key))["model_sha256"]
    assert plain == sealed
    assert figures(tmp_path / "plain") == figures(tmp_path / "sealed")


def test_no_tensor_and_no_patient_lies_on_the_disk(tmp_path, key, monkeypatch):
    """Every update, memory and state of the run is looked for on the disk, at each step."""
    out, secrets, seen = tmp_path / "run", [], {"spool": 0, "memory": 0, "checkpoints": 0}

    def looked(exchange, arrived):
        for update in arrived.values():
            for name in update.names():
                size = int(np.prod(update.shape(name)))
                if size >= 2:
                    secrets.append(np.ascontiguousarray(update.chunk(name, 0, size)).tobytes())
        files = everything(out)
        for name in seen:
            seen[name] += sum(name in str(file) for file in files)
        for file, content in files.items():
            for secret in secrets:
                assert secret not in content, file

    monkeypatch.setattr(Exchange, "drop_odd", looked)
    go(study_of("ditto", rounds=3, hidden=(4,)), out, encrypt_with=str(key))
    assert len(secrets) > 10
    assert all(seen.values()), seen
    state, _ = _loaded(out, key)
    memory = [v.tobytes() for v in state.model.values() if v.size > 1]
    kept = {f: c for f, c in everything(out).items() if f.parts[0] != "model.safetensors"}
    for file, content in kept.items():
        assert not any(secret in content for secret in memory), file
        assert not re.search(rb"bc-0\d\d\d", content), file


def _loaded(out, key):
    from medfed.services.run_vault import run_vault

    folder = RunFolder(out)
    folder.vault = run_vault(folder, str(key))
    return folder.load()


def test_without_encryption_the_same_search_finds_them(tmp_path, monkeypatch):
    """The test above can fail: it finds what lies open."""
    found = []

    def looked(exchange, arrived):
        for update in arrived.values():
            for name in update.names():
                size = int(np.prod(update.shape(name)))
                secret = np.ascontiguousarray(update.chunk(name, 0, size)).tobytes()
                contents = everything(tmp_path / "run").values()
                found.append(size >= 2 and any(secret in c for c in contents))

    monkeypatch.setattr(Exchange, "drop_odd", looked)
    go(study_of("ditto", rounds=2), tmp_path / "run")
    assert any(found)


def test_an_encrypted_run_is_resumed_to_the_same_bits(tmp_path, key):
    study = study_of("ditto", rounds=3)
    whole = go(study, tmp_path / "whole")["model_sha256"]

    class Killed(BaseException):
        pass

    def kill(event):
        if type(event).__name__ == "ReplyCounted" and event.round == 2:
            raise Killed

    with pytest.raises(Killed):
        go(study, tmp_path / "run", kill, encrypt_with=str(key))
    assert list((tmp_path / "run" / "spool").iterdir())
    assert go(study, tmp_path / "run", resume=True)["model_sha256"] == whole


def test_a_run_that_began_in_clear_does_not_go_on_as_if_encrypted(tmp_path, key):
    class Killed(BaseException):
        pass

    def kill(event):
        if type(event).__name__ == "RoundStarted" and event.round == 2:
            raise Killed

    with pytest.raises(Killed):
        go(study_of(), tmp_path / "run", kill)
    with pytest.raises(RunError, match="begun without encryption"):
        go(study_of(), tmp_path / "run", resume=True, encrypt_with=str(key))
    assert go(study_of(), tmp_path / "run", resume=True)


def test_a_run_whose_key_is_gone_says_so(tmp_path, key):
    class Killed(BaseException):
        pass

    def kill(event):
        if type(event).__name__ == "RoundStarted" and event.round == 2:
            raise Killed

    with pytest.raises(Killed):
        go(study_of(), tmp_path / "run", kill, encrypt_with=str(key))
    key.write_bytes(bytes(32))
    with pytest.raises(SiteError, match="does not open"):
        go(study_of(), tmp_path / "run", resume=True)
    key.unlink()
    with pytest.raises(SiteError, match="cannot be read"):
        go(study_of(), tmp_path / "run", resume=True)


def searched(out, monkeypatch, *more):
    """Have each update of a run looked for on the disk as it arrives; how often it was found."""
    found = []

    def looked(exchange, arrived):
        for update in arrived.values():
            for name in update.names():
                size = int(np.prod(update.shape(name)))
                if size < 2:
                    continue
                secret = np.ascontiguousarray(update.chunk(name, 0, size)).tobytes()
                places = [out, *more]
                files = (content for place in places for content in everything(place).values())
                found.append(sum(secret in content for content in files))

    monkeypatch.setattr(Exchange, "drop_odd", looked)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("encrypted", [True, False])
def test_over_flower_no_update_lies_on_the_disk(encrypted, tmp_path, key, monkeypatch):
    pytest.importorskip("flwr", reason="the extra `flower` is not installed")
    found = searched(tmp_path / "run", monkeypatch)
    how = {"encrypt_with": str(key)} if encrypted else {}
    study = study_of(rounds=2, hidden=(4,))
    result = go(study, tmp_path / "run", engine="flower", **how)
    assert len(found) > 5
    assert any(found) is not encrypted
    assert result["model_sha256"] == go(study, tmp_path / "plain")["model_sha256"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("encrypted", [True, False])
def test_over_ray_a_run_gives_the_same_bits(encrypted, tmp_path, key, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    how = {"encrypt_with": str(key)} if encrypted else {}
    study = study_of(rounds=2, hidden=(4,))
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as rays:  # sockets: short
        monkeypatch.setattr(tempfile, "tempdir", rays)
        found = searched(tmp_path / "run", monkeypatch, Path(rays))
        result = go(study, tmp_path / "run", engine="ray", cpus=0.1, **how)
    gc.collect()  # here, where it is passed over, and not in the next test: what Ray leaves open
    assert len(found) > 5
    assert any(found) is not encrypted, "in the run's folder, or in Ray's"
    assert result["model_sha256"] == go(study, tmp_path / "plain")["model_sha256"]


def test_a_federations_own_store_is_no_place_for_an_encrypted_run(tmp_path, key):
    with pytest.raises(RunError, match="SuperLink keeps messages on disk"):
        go(
            study_of(),
            tmp_path / "run",
            engine="flower",
            coordinator=tmp_path,
            encrypt_with=str(key),
        )


def test_a_key_does_not_go_to_a_coordinator_elsewhere(key):
    """It was once passed over in silence, and the run was not encrypted."""
    words = ["run", str(EXAMPLES / "breast_cancer.toml"), "--coordinator", "http://127.0.0.1:9"]
    done = CliRunner().invoke(cli, [*words, "--encrypt-with", str(key)])
    assert isinstance(done.exception, RunError)
    assert "encrypt_with in coordinator.toml" in done.exception.remedy


def audit(*words):
    """``medfed audit``; whether it is content, and what it says."""
    result = CliRunner().invoke(cli, ["audit", *map(str, words)])
    return result.exit_code == 0, result.output


@pytest.mark.parametrize("encrypted", [True, False])
def test_what_left_is_sealed_and_anybody_can_be_shown_it(encrypted, tmp_path, key):
    """Receipts and log: unreadable on the disk, verified with the key, and without it by a copy."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    go(study_of(rounds=1), run, **({"encrypt_with": str(key)} if encrypted else {}))
    site = run / "sites" / SITES[0]
    record = b"".join(c for f, c in everything(site).items() if f.parts[0] in ("receipts", "audit"))
    told = (b"No patient's record", b'"patients"', b'"commitment"')
    assert [words in record for words in told] == [not encrypted] * 3
    salt = (site / "audit" / "salt.key").read_bytes()
    assert salt.startswith(b'"') is not encrypted
    assert audit("verify", run)[0]
    shown = CliRunner().invoke(cli, ["site", "receipts", str(site)])
    assert "No patient's record was in it." in shown.output
    assert RunView(RunFolder(run), RunFolder(run).result()).receipts[0].signed > 1
    assert audit("export", site, copy)[0]
    proof = tmp_path / "proof.json"
    proof.write_text(audit("prove", site, 1)[1])
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text(audit("checkpoint", site)[1])
    public = tmp_path / "north.pub"
    public.write_bytes((site / "key.pub").read_bytes())
    key.unlink()  # from here on somebody else's machine
    assert audit("verify", site)[0] is not encrypted
    assert audit("verify", copy, "--key", public, "--checkpoint", checkpoint)[0]
    assert audit("check", proof, "--site", SITES[0], "--key", public)[0]
    (file,) = (copy / "receipts").iterdir()
    file.write_text(file.read_text().replace('"patients": ', '"patients": 1', 1))
    assert not audit("verify", copy, "--key", public)[0]
    assert len(RunView(RunFolder(run), {}).receipts) == (0 if encrypted else len(SITES))


def test_a_reply_that_leaves_during_an_export_does_not_make_it_look_tampered(
    tmp_path, key, monkeypatch
):
    go(study_of(rounds=1), tmp_path / "run", encrypt_with=str(key))
    site = tmp_path / "run" / "sites" / SITES[0]
    found, plain, left = open_site(site), record_copy.entries_of, []

    def read(*args):
        if not left:
            left.append(found._logged("refusal", {"name": "not-approved", "study": "0" * 64}))
        return plain(*args)

    monkeypatch.setattr(record_copy, "entries_of", read)
    assert audit("export", site, tmp_path / "copy")[0]
    assert left
    assert audit("verify", tmp_path / "copy", "--key", site / "key.pub")[0]
    assert not list(tmp_path.glob(".copy*"))
    assert not audit("export", site, tmp_path / "copies" / "one")[0], "no such folder"


@pytest.mark.parametrize("harm", ["changed", "removed", "moved", "another run's"])
def test_what_is_done_to_a_sealed_record_is_found(harm, tmp_path, key):
    go(study_of(rounds=1), tmp_path / "run", encrypt_with=str(key))
    site = tmp_path / "run" / "sites" / SITES[0]
    (receipts,) = (site / "receipts").iterdir()
    lines = receipts.read_bytes().splitlines(keepends=True)
    assert audit("verify", site)[0]
    if harm == "changed":
        receipts.write_bytes(lines[0][:50] + b"AAAA" + lines[0][54:] + b"".join(lines[1:]))
    elif harm == "removed":
        receipts.write_bytes(b"".join(lines[1:]))
    elif harm == "moved":
        (site / "audit" / "entries.jsonl").write_bytes(b"".join(lines))
    else:
        receipts.rename(receipts.with_name("other.jsonl"))
    assert not audit("verify", site)[0]


def test_a_record_from_before_goes_on_sealed(tmp_path, key):
    """What was written before a site sealed its record is read as it is."""
    site = tmp_path / "run" / "sites" / SITES[0]
    go(study_of(rounds=1), tmp_path / "run", encrypt_with=str(key))
    assert audit("export", site, tmp_path / "copy")[0]
    for file in everything(tmp_path / "copy"):
        if file.parts[0] in ("receipts", "audit"):
            (site / file).write_bytes((tmp_path / "copy" / file).read_bytes())
    assert audit("verify", site)[0]
    found = open_site(site)
    found._logged("refusal", {"name": "not-approved", "study": "0" * 64})
    (first, *_, last) = (site / "audit" / "entries.jsonl").read_bytes().splitlines()
    assert first.startswith(b"{")
    assert b"not-approved" not in last
    assert audit("verify", site)[0]


def test_released_models_beside_the_data_are_found_when_they_are_sealed(tmp_path, key):
    """As a study with the task nodule-detection asks for one."""
    site = tmp_path / "north"
    create_site(site, "north", None)
    (site / "models").mkdir()
    file = site / "models" / "any.safetensors"
    digest = write_model(file, {"w": np.arange(40, dtype=np.float32)}, {"study": "s"})
    encrypt_site(site, str(key))
    assert np.arange(40, dtype=np.float32).tobytes() not in file.read_bytes()
    open_site(site)
    with pytest.raises(Refused, match="does not know"):  # found, and it names no task
        open_released(digest, [site / "models"], "north")
    with pytest.raises(Refused, match="has not released"):
        open_released("0" * 64, [site / "models"], "north")


IDENTITY = (b"MRN-4711", b"Doe, Jane")


def imported(folder, tmp_path, **how):
    """A site with one scan imported and one refused; the site's folder and what it must hide."""
    create_site(folder, "north", how.pop("data"), **how)
    series = write_series(tmp_path / "Doe, Jane" / "ct", ramp((4, 8, 10)), patient="MRN-4711")
    (tmp_path / "Doe, Jane" / "broken.nii").write_bytes(b"no scan")
    report = import_scans(folder, tmp_path / "Doe, Jane", ImportOptions(keep_links=True))
    assert (len(report.imported), len(report.refused)) == (1, 1)
    assert any("keep them on an encrypted disk" in note for note in report.notes) is bool(how)
    assert series.exists()
    (row,) = list_scans(folder)[1]
    return [*IDENTITY, row.patient.encode(), row.scan.encode()]


def test_no_identity_and_no_pseudonym_lies_in_an_encrypted_sites_folder(tmp_path, key):
    for name, how in (("sealed", {"encrypt_with": str(key)}), ("open", {})):
        data = tmp_path / f"disk-{name}"
        data.mkdir()
        site = tmp_path / name
        hidden = imported(site, tmp_path, data=data, **how)
        found = {s for s in hidden for f, c in everything(site).items() if s in c or s in bytes(f)}
        assert found == (set() if how else set(hidden)), "the open one shows that the search sees"
        pseudonyms = (site / "pseudonyms.key").read_text().strip()
        assert (len(pseudonyms) == 64) is not bool(how)


def test_what_an_import_wrote_is_encrypted_in_place_and_rotated(tmp_path, key, monkeypatch):
    data, site = tmp_path / "disk", tmp_path / "north"
    data.mkdir()
    hidden = imported(site, tmp_path, data=data)
    allow(open_ledger(site), 7, 1e-6)
    before = list_scans(site)
    links, refused = (site / "links.jsonl").read_text(), next((site / "imports").iterdir())
    said = refused.read_bytes()
    encrypt_site(site, str(key))
    content = b"".join(everything(site).values())
    assert not [secret for secret in hidden if secret in content]
    new = tmp_path / "new.key"
    new.write_bytes(bytes(range(1, 33)))
    for turn in range(2):
        assert list_scans(site) == before
        assert open_ledger(site).balance().limit == 7
        assert read_file(site, "links.jsonl").decode() == links
        assert read_file(site, f"imports/{refused.name}") == said
        shown = CliRunner().invoke(cli, ["site", "read", str(site), "links.jsonl"])
        assert "MRN-4711" in shown.output
        if not turn:
            rotate_site(site, Secret.named(str(new)), str(new))
            key.unlink()
    assert import_scans(site, tmp_path / "Doe, Jane").unchanged == [before[1][0].scan]
    remove_scan(site, before[1][0].scan)
    assert read_file(site, "links.jsonl") == b""
    with pytest.raises(SiteError, match="no file"):
        read_file(site, "../new.key")


@pytest.mark.parametrize("encrypted", [True, False])
def test_scans_and_tables_in_the_sites_own_folder_are_sealed_and_read(encrypted, tmp_path, key):
    site, hu = tmp_path / "north", ramp((4, 8, 10))
    create_site(site, "north", None, encrypt_with=str(key) if encrypted else None)
    series = write_series(tmp_path / "ct", hu, patient="MRN-4711")
    table = tmp_path / "north.csv"
    table.write_text("patient,age\nMRN-1,61\nMRN-2,47\n")
    (scan,) = import_scans(site, series).imported
    (taken,), refused = take_tables(site, [table])
    assert not refused
    assert (taken["rows"], taken["columns"]) == (2, ("patient", "age"))
    content = b"".join(everything(site).values())
    assert (b"MRN-2,47" in content) is not encrypted
    assert (b"DICM" in content) is not encrypted
    data = open_site(site).settings.data
    source = Volumes(mask="").open(data, "north", ["north"])
    (case,) = source.load(source.patients())
    np.testing.assert_array_equal(case.volume().hu, hu)
    assert case.geometry.shape == hu.shape
    read = CsvTable(patient="patient").open(data, "north", ["north"])
    assert list(read.frame["age"]) == [61, 47]
    assert import_scans(site, series).unchanged == [scan], "known again by its size"
    if encrypted:
        ((file, _),) = [f for f in everything(data).items() if f[0].suffix == ".dcm"][:1]
        raw = bytearray((data / file).read_bytes())
        raw[500] ^= 1
        (data / file).write_bytes(raw)
        with pytest.raises(DataError):
            case.volume()
        assert import_scans(site, series).completed == [scan], "and mended by the same import"


def test_data_in_a_sites_folder_are_encrypted_in_place(tmp_path, key):
    site, hu = tmp_path / "north", ramp((4, 8, 10))
    create_site(site, "north", None)
    import_scans(site, write_series(tmp_path / "ct", hu, patient="MRN-4711"))
    encrypt_site(site, str(key))
    assert b"DICM" not in b"".join(everything(site).values())
    source = Volumes(mask="").open(open_site(site).settings.data, "north", ["north"])
    (case,) = source.load(source.patients())
    np.testing.assert_array_equal(case.volume().hu, hu)


def test_a_private_run_pays_from_an_encrypted_ledger(tmp_path, key):
    text = (EXAMPLES / "breast_cancer_statistics.toml").read_text(encoding="utf-8")
    study = parse_study(text)
    go(study, tmp_path / "run", encrypt_with=str(key))
    for site in study.sites:
        folder = tmp_path / "run" / "sites" / site
        raw = (folder / "ledger.sqlite").read_bytes()
        assert study.title.encode() not in raw
        assert study.digest.encode() not in raw
        assert open_ledger(folder).entries()
    shown = CliRunner().invoke(cli, ["ledger", "show", "--site", str(folder)])
    assert study.title in shown.output


def test_a_sites_folder_is_encrypted_in_place_rotated_and_opened(tmp_path, key, cheap, monkeypatch):
    go(study_of("ditto", rounds=2), tmp_path / "run")
    site = tmp_path / "run" / "sites" / SITES[0]
    open_site(site).log.error("patient bc-0001 lacks a value")
    before = {f: c for f, c in everything(site).items() if f.parts[0] == "runs"}
    assert b"bc-0001" in (site / "site.log").read_bytes()

    say = CliRunner().invoke(cli, ["site", "encrypt", str(site), "--key-file", str(key)])
    assert say.exit_code == 0, say.output
    # site.log; and of the record receipts, entries and the secret of its salts
    assert f"{len(before) + 4} files" in say.output
    found = open_site(site)
    assert found.folder.vault.sealed
    for file, content in before.items():
        assert content not in (site / file).read_bytes()
        assert found.folder.vault.read(site / file) == content
    assert b"bc-0001" not in (site / "site.log").read_bytes()
    shown = CliRunner().invoke(cli, ["site", "log", str(site)]).output
    assert "patient bc-0001 lacks a value" in shown

    monkeypatch.setenv("MEDFED_NEW_PASSPHRASE", "five words nobody says together")
    say = CliRunner().invoke(cli, ["site", "rotate-key", str(site), "--passphrase"])
    assert say.exit_code == 0, say.output
    with pytest.raises(SiteError, match="passphrase"):
        open_site(site)
    monkeypatch.setenv("MEDFED_PASSPHRASE", "five words nobody says together")
    again = open_site(site).folder.vault
    assert all(again.read(site / file) == content for file, content in before.items())
    twice = CliRunner().invoke(cli, ["site", "encrypt", str(site), "--key-file", str(key)])
    assert twice.exit_code != 0


def test_both_orders_that_a_line_has_in_hand_are_sealed(tmp_path, key):
    pytest.importorskip("flwr", reason="the extra `flower` is not installed")
    from medfed.federation.flower.fleet import Fetched
    from medfed.federation.flower.inbox import Inbox

    site = tmp_path / "site"
    create_site(site, "north", None)
    (site / "line").mkdir()
    payloads = [b"a model " * 50, b"another " * 50]
    for payload in payloads:
        Inbox(site / "line" / "order").keep(Fetched(Sealed(b"h", b"s", payload), b"envelope"))
    encrypt_site(site, str(key))
    assert not any(one in whole for whole in everything(site).values() for one in payloads)
    inbox = Inbox(site / "line" / "order", open_site(site).folder.vault)
    first = inbox.next(besides=None)
    second = inbox.next(besides=first.file)
    assert [bytes(one.order.sealed.payload) for one in (first, second)] == payloads


def test_encrypting_goes_on_where_it_was_stopped(tmp_path, key):
    go(study_of("ditto", rounds=2), tmp_path / "run")
    site = tmp_path / "run" / "sites" / SITES[0]
    files = [f for f in everything(site) if f.parts[0] == "runs"]
    new_vault(site, Secret.named(str(key))).write(site / files[0], b"was sealed before the stop")
    assert encrypt_site(site, str(key)) == len(files) - 1 + 3, "with what tells of what left"
    assert open_site(site).folder.vault.read(site / files[0]) == b"was sealed before the stop"
    with pytest.raises(SiteError, match="encrypted already"):
        encrypt_site(site, str(key))


def test_what_an_earlier_version_left_open_is_sealed_later(tmp_path, key):
    site, job = tmp_path / "north", tmp_path / "north" / "console" / "jobs" / "j"
    create_site(site, "north", None)
    encrypt_site(site, str(key))
    left = ("models/a.safetensors", "audit/salt.key", "console/jobs/j/files/Doe-Jane/1.dcm")
    for name in (*left, "receipts/r.jsonl"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(b'{"of": "MRN-4711"}\n')
    (tmp_path / "other").write_bytes(bytes(32))
    with pytest.raises(SiteError, match="encrypted already"):
        encrypt_site(site, str(tmp_path / "other"))
    assert encrypt_site(site, str(key)) == 4
    told = everything(site).items()
    assert not any(b"MRN-4711" in content or "Doe" in str(file) for file, content in told)
    assert read_file(site, "models/a.safetensors") == b'{"of": "MRN-4711"}\n'
    assert read_file(site, "receipts/r.jsonl") == b'{"of": "MRN-4711"}\n'
    assert list((job / "parts").iterdir())
    with pytest.raises(SiteError, match="encrypted already"):
        encrypt_site(site, str(key))


def test_a_sealed_zip_is_never_unpacked_on_the_disk(tmp_path, key, monkeypatch):
    site = tmp_path / "north"
    create_site(site, "north", None, encrypt_with=str(key))
    sitk.WriteImage(sitk.GetImageFromArray(ramp((4, 8, 10))), str(tmp_path / "ct.mha"))
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.write(tmp_path / "ct.mha", "ct.mha")
    sealed = site / "ct.zip"
    open_site(site).folder.vault.write(sealed, (tmp_path / "ct.zip").read_bytes())
    unpacked = []

    def watched(store, name, folder):
        unpacked.append(folder)
        return plain(store, name, folder)

    plain = reading._unpacked
    monkeypatch.setattr(reading, "_unpacked", watched)
    for path, inside in ((sealed, True), (tmp_path / "ct.zip", False)):
        np.testing.assert_array_equal(read_scan(path).volume.hu, ramp((4, 8, 10)))
        assert unpacked.pop().is_relative_to("/dev/shm") is inside


def test_what_a_pacs_sends_to_an_encrypted_site_lies_in_memory(tmp_path, key):
    write_series(tmp_path / "pacs" / "a", ramp((6, 8, 10)), series="a", patient="MRN-4711")
    seen = []

    class Pacs(FolderPacs):
        def fetch(self, series, folder, progress=None):
            seen.append(folder)
            return super().fetch(series, folder)

    for name, how in (("open", None), ("sealed", str(key))):
        create_site(tmp_path / name, "north", None, encrypt_with=how)
        assert (
            len(import_from_pacs(tmp_path / name, Pacs(tmp_path / "pacs"), Query()).imported) == 1
        )
        assert seen.pop().is_relative_to("/dev/shm") is (how is not None)


def test_encrypting_removes_what_killed_writes_and_fetches_left(tmp_path, key):
    site = tmp_path / "north"
    create_site(site, "north", None)
    import_scans(site, write_series(tmp_path / "ct", ramp((4, 8, 10)), patient="MRN-4711"))
    (data,) = (site / "data").iterdir()
    left = [
        site / "runs" / "r" / ".memory-000001.safetensors.0a1b2c3d.part",
        site / ".fetched-x" / "1.dcm",
        data / ".incoming-y" / "1.dcm",
        data / ".notes",
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"MRN-4711")
    encrypt_site(site, str(key))
    assert not any(b"MRN-4711" in content for content in everything(site).values())
    assert [file.exists() for file in left] == [False, False, False, True]


def test_a_folder_that_is_its_own_data_is_not_said_to_be_encrypted(tmp_path, key):
    site = tmp_path / "north"
    site.mkdir()
    create_site(site, "north", site)
    with pytest.raises(SiteError, match="would stay open"):
        encrypt_site(site, str(key))
    assert not (site / ENVELOPE).exists()


@pytest.mark.parametrize(("folder", "what"), [("line", "site"), ("console", "jobs")])
def test_a_site_that_is_served_is_not_encrypted(folder, what, tmp_path, key):
    """What it entered meanwhile would be lost."""
    site = tmp_path / "north"
    create_site(site, "north", None)
    (site / folder).mkdir()
    with alone(site / folder, what), pytest.raises(SiteError, match="already"):
        encrypt_site(site, str(key))
    with only_one(site, LOCK), pytest.raises(SiteError, match="another import"):
        encrypt_site(site, str(key))
    assert not (site / ENVELOPE).exists()
    encrypt_site(site, str(key))


def test_other_ends_of_a_line_do_not_split_one(tmp_path, key):
    """JSON has U+2028 and its like as they are; a last line that was cut off is none."""
    site = tmp_path / "north"
    create_site(site, "north", None)
    whole = '{"who": "a\u2028b\u0085c"}\n'
    (site / LINKS).write_bytes((whole + '{"who": "cut').encode())
    encrypt_site(site, str(key))
    assert read_file(site, LINKS) == whole.encode()
    (site / "receipts").mkdir(exist_ok=True)
    (site / "receipts" / "r.jsonl").write_bytes(whole.encode())  # from before receipts were sealed
    assert read_file(site, "receipts/r.jsonl") == whole.encode()


def test_the_log_of_an_encrypted_site_is_sealed_line_by_line(tmp_path, key):
    site = create_site(tmp_path / "north", "north", None, encrypt_with=str(key))
    try:
        raise ValueError("patient bc-0002")
    except ValueError:
        site.log.exception("an order could not be answered")
    site.log.warning("second")
    raw = (tmp_path / "north" / "site.log").read_text()
    assert "bc-0002" not in raw
    assert len(raw.splitlines()) == 2
    assert "patient bc-0002" in site_log(tmp_path / "north")[0]


def test_a_large_update_is_opened_where_it_is_read(tmp_path, key):
    rng = np.random.default_rng(0)
    tensors = {
        "model/large": rng.standard_normal((300, 500)).astype(np.float32),
        "model/small": np.ones(3, np.float32),
        "buffers/n": np.array(3.0),
    }
    update = Update(tensors, {"model": 2.0, "buffers": 1.0}, {"n": np.arange(3)})
    vault = new_vault(tmp_path, Secret.named(str(key)))
    vault.write(tmp_path / "u", encode_update(update))
    found = SpooledUpdate(tmp_path / "u", "a", vault=vault)
    plain = PackedUpdate("a", decode_update(encode_update(update)))
    assert update.tensors["model/large"].nbytes > LAZY
    assert found.names() == plain.names()
    assert found.nbytes == plain.nbytes
    for start, stop in ((0, 7), (16_000, 17_000), (149_990, 150_000), (0, 150_000)):
        one, other = (
            found.chunk("model/large", start, stop),
            plain.chunk("model/large", start, stop),
        )
        np.testing.assert_array_equal(one, other)
    assert found.weights() == plain.weights()
    np.testing.assert_array_equal(found.stats()["n"], np.arange(3))


def test_the_envelope_of_a_run_names_no_secret(tmp_path, key):
    go(study_of(rounds=1), tmp_path / "run", encrypt_with=str(key))
    content = (tmp_path / "run" / ENVELOPE).read_bytes()
    assert key.read_bytes() not in content

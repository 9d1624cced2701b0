"""The log of a real site: nothing can be changed in it unnoticed, and it gives nothing away."""

import hashlib
import json
import shutil

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from integration.federated import SITES, Recorder, go, study_of

from medfed.cli import cli
from medfed.core.errors import DataError, MedfedError, RunError, WireError
from medfed.core.files import canonical_json, read_lines
from medfed.federation.audit.log import commitment_of, leaf_of, salt_key_of, salt_of
from medfed.federation.audit.merkle import root_of
from medfed.federation.audit.note import Checkpoint, sign_note
from medfed.federation.audit.verify import check_proof, prove, verify_folder
from medfed.federation.keys import load_key, load_public

NAME = SITES[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, and a checkpoint that somebody took in its middle."""
    out = tmp_path_factory.mktemp("audit") / "run"
    kept = []

    def watch(event):
        if type(event).__name__ == "RoundFinished" and event.round == 1:
            kept.append((out / "sites" / NAME / "audit" / "checkpoint").read_text())

    go(study_of(rounds=2), out, watch)
    return out, kept[0]


@pytest.fixture
def site(run, tmp_path):
    """A copy of one site's folder, to do harm to."""
    shutil.copytree(run[0] / "sites" / NAME, tmp_path / NAME)
    return tmp_path / NAME


def faults(site, *earlier):
    return verify_folder(site, NAME, load_public(site / "key.pub"), earlier).faults


def entries(site):
    return read_lines(site / "audit" / "entries.jsonl")


def write(site, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (site / "audit" / "entries.jsonl").write_text(text)


def head_of(rows):
    return Checkpoint(f"medfed/{NAME}", len(rows), root_of([leaf_of(row) for row in rows]))


def signed(rows, body, key):
    """An entry in the next place after others, with a key's signature over all of them."""
    body = {k: v for k, v in body.items() if k != "signature"} | {"index": len(rows)}
    return {**body, "signature": key.sign(head_of([*rows, body]).text().encode()).hex()}


def signed_again(site, rows):
    """All entries numbered and signed anew, with the site's own key: what only the site can do."""
    key, new = load_key(site), []
    for row in rows:
        new.append(signed(new, row, key))
    write(site, new)
    checkpoint(site, new, key)


def checkpoint(site, rows, key):
    note = sign_note(head_of(rows).text(), f"medfed/{NAME}", key)
    (site / "audit" / "checkpoint").write_text(note)


def test_a_run_leaves_a_good_log_with_an_entry_for_each_receipt(run):
    out, kept = run
    for name in SITES:
        site = out / "sites" / name
        verdict = verify_folder(site, name, load_public(site / "key.pub"))
        assert verdict.faults == []
        assert verdict.receipts == verdict.entries > 3
    assert faults(out / "sites" / NAME, kept) == []


def drop(index):
    def harm(site):
        rows = entries(site)
        del rows[index]
        write(site, rows)

    return harm


def swap(site):
    rows = entries(site)
    rows[1], rows[2] = rows[2], rows[1]
    write(site, rows)


def change(name, value):
    def harm(site):
        rows = entries(site)
        rows[2][name] = value
        write(site, rows)

    return harm


def copy_last(site):
    rows = entries(site)
    write(site, [*rows, rows[-1]])


def cut(site):
    file = site / "audit" / "entries.jsonl"
    file.write_bytes(file.read_bytes()[:-20])


def foreign(site):
    """An entry that somebody else signed."""
    rows = entries(site)
    write(site, [*rows, signed(rows, rows[-1], Ed25519PrivateKey.generate())])


def no_json(site):
    (site / "audit" / "entries.jsonl").write_text("{\n{\n")


def receipts_of(site):
    (file,) = (site / "receipts").glob("*.jsonl")
    return file, read_lines(file)


def drop_receipt(site):
    file, rows = receipts_of(site)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))


def change_receipt(site):
    file, rows = receipts_of(site)
    rows[1]["patients"] += 1
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def change_receipt_and_sign_it(site):
    file, rows = receipts_of(site)
    body = {k: v for k, v in rows[1].items() if k != "signature"} | {"patients": 1}
    rows[1] = {**body, "signature": load_key(site).sign(canonical_json(body)).hex()}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def repeat_receipt(site):
    file, rows = receipts_of(site)
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))


def old_checkpoint(site):
    checkpoint(site, entries(site)[:2], load_key(site))


def foreign_checkpoint(site):
    checkpoint(site, entries(site), Ed25519PrivateKey.generate())


HARMS = {
    "first entry dropped": drop(0),
    "one in the middle dropped": drop(2),
    "last entry dropped": drop(-1),
    "two swapped": swap,
    "commitment changed": change("commitment", "0" * 64),
    "time changed": change("time", "2020-01-01T00:00:00+00:00"),
    "kind changed": change("kind", "refusal"),
    "index changed": change("index", 7),
    "site changed": change("site", "other"),
    "something added to one": change("more", 1),
    "signature changed": change("signature", "00" * 64),
    "signature of another type": change("signature", 5),
    "last entry copied": copy_last,
    "last entry cut": cut,
    "an entry by another key": foreign,
    "all entries gone": lambda site: write(site, []),
    "entries of another type": lambda site: write(site, [1, None, []]),
    "entries that are no JSON": lambda site: (site / "audit" / "entries.jsonl").write_text(
        "{\n{\n"
    ),
    "receipt dropped": drop_receipt,
    "receipt changed": change_receipt,
    "receipt changed and signed": change_receipt_and_sign_it,
    "receipt repeated": repeat_receipt,
    "all receipts gone": lambda site: shutil.rmtree(site / "receipts"),
    "checkpoint gone": lambda site: (site / "audit" / "checkpoint").unlink(),
    "checkpoint of before": old_checkpoint,
    "checkpoint by another key": foreign_checkpoint,
    "checkpoint is noise": lambda site: (site / "audit" / "checkpoint").write_bytes(b"\xff" * 9),
    "salt gone": lambda site: (site / "audit" / "salt.key").unlink(),
    "salt changed": lambda site: (site / "audit" / "salt.key").write_text(f'"{"0" * 64}"'),
    "log gone": lambda site: shutil.rmtree(site / "audit"),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_every_kind_of_tampering_is_found(harm, site):
    assert faults(site) == []
    harm(site)
    assert faults(site)


def test_what_the_site_itself_rewrites_is_found_by_who_kept_a_checkpoint(run, site):
    _, kept = run
    file, receipts = receipts_of(site)
    gone = receipts.pop(1)
    file.write_text("".join(json.dumps(row) + "\n" for row in receipts))
    taken = commitment_of(gone, salt_key_of(site))
    signed_again(site, [e for e in entries(site) if e["commitment"] != taken])
    assert faults(site) == []  # with the site's own key the folder alone shows nothing ...
    (fault,) = faults(site, kept)  # ... and the checkpoint of another day does
    assert "rewritten since the checkpoint" in fault


def test_a_site_that_logged_nothing_looks_like_one_whose_record_is_gone(run, site):
    shutil.rmtree(site / "audit")
    shutil.rmtree(site / "receipts")
    assert faults(site) == []
    said = CliRunner().invoke(cli, ["audit", "verify", str(site)])
    assert "or the whole record is gone" in said.output
    (fault,) = faults(site, run[1])
    assert "rewritten since the checkpoint" in fault


def test_an_entry_is_proved_to_an_outsider_who_sees_nothing_else(site):
    key = load_public(site / "key.pub")
    for index, entry in enumerate(entries(site)):
        proof = prove(site, index)
        assert check_proof(json.loads(json.dumps(proof)), NAME, key) == entry
    text = json.dumps(proof)
    assert sum(other["commitment"] in text for other in entries(site)) == 1
    # Given the receipt and its salt, whoever holds the proof can tell that it is that one.
    _, receipts = receipts_of(site)
    text = canonical_json(receipts[-1])
    salt = salt_of(text, salt_key_of(site))
    assert proof["entry"]["commitment"] == hashlib.sha256(salt + text).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 0},
        {"proof": []},
        {"proof": ["zz"]},
        {"proof": 3},
        {"entry": {}},
        {"entry": []},
        {"checkpoint": ""},
        {"checkpoint": None},
        {"index": True},
    ],
)
def test_a_proof_that_was_changed_shows_nothing(site, changes):
    proof = {**prove(site, 2), **changes}
    with pytest.raises(WireError):
        check_proof(proof, NAME, load_public(site / "key.pub"))


def test_entries_hold_nothing_of_receipts(site):
    text = (site / "audit" / "entries.jsonl").read_text()
    for receipt in receipts_of(site)[1]:
        assert receipt["sha256"] not in text
        assert receipt["title"] not in text
        assert not any(name in text for name, *_ in receipt["tensors"])
    assert '"patients"' not in text


def test_a_refusal_is_logged_with_its_name(tmp_path, quick):
    text = study_of(rounds=1, tables="\n[cohort]\nmin_patients = 400\n")
    with pytest.raises(RunError):
        go(text, tmp_path / "run", Recorder())
    site = tmp_path / "run" / "sites" / NAME
    (entry,) = [e for e in entries(site) if e["kind"] == "refusal"]
    assert entry["record"]["name"] == "too-few-patients"
    assert faults(site) == []


def test_entries_that_a_power_cut_took_are_made_again(run, site):
    from medfed.services.sites import open_site

    rows = entries(site)
    write(site, rows[:2])
    opened = open_site(site)
    _, receipts = receipts_of(site)
    opened._logged("receipt", receipts[-1])  # what the next reply would do
    assert [e["commitment"] for e in entries(site)] == [e["commitment"] for e in rows]
    assert faults(site) == []


def test_a_site_does_not_sign_on_top_of_what_was_changed(site):
    from medfed.services.sites import open_site

    change("time", "2020-01-01T00:00:00+00:00")(site)
    _, receipts = receipts_of(site)
    with pytest.raises(DataError, match="was changed"):
        open_site(site)._logged("receipt", receipts[-1])


def test_a_checkpoint_that_a_power_cut_took_back_is_written_again(site):
    from medfed.services.sites import open_site

    old_checkpoint(site)
    _, receipts = receipts_of(site)
    open_site(site)._logged("receipt", receipts[-1])  # is there already
    assert faults(site) == []


def test_the_command_line(run, site, tmp_path):
    def medfed(*words, text=None):
        return CliRunner().invoke(cli, ["audit", *map(str, words)], input=text)

    whole = medfed("verify", run[0])
    assert whole.exit_code == 0
    assert whole.output.count("nothing was changed") == len(SITES)
    (tmp_path / "kept").write_text(run[1])
    good = medfed("verify", site, "--checkpoint", tmp_path / "kept", "--json")
    assert json.loads(good.output)["ok"] is True
    assert medfed("checkpoint", site).output == (site / "audit" / "checkpoint").read_text()
    proof = medfed("prove", site, 1).output
    checked = medfed("check", "-", "--site", NAME, "--key", site / "key.pub", text=proof)
    assert f"is in the log of {NAME}" in checked.output
    change_receipt(site)
    bad = medfed("verify", site)
    assert bad.exit_code == 6
    assert "NOT GOOD" in bad.output
    for words in (("verify", tmp_path / "kept"), ("prove", site, 99)):
        assert isinstance(medfed(*words).exception, MedfedError)

"""Checking a site's log offline: with the site's public key, and nothing else but what opens it.

What can be found out depends on what the checker holds. With the folder alone: that nobody without
the site's key changed, added or moved anything, or removed what a later entry or the checkpoint
stands on. With a checkpoint kept from an earlier day: that the site itself has not rewritten what
came before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.errors import DataError, MedfedError, WireError
from medfed.core.files import canonical_json
from medfed.core.vault import OPEN, Vault
from medfed.federation.audit.log import (
    CHECKPOINT,
    FOLDER,
    commitment_of,
    entries_of,
    leaf_of,
    origin,
    salt_key_of,
)
from medfed.federation.audit.merkle import (
    Frontier,
    consistency_proof,
    consistent,
    includes,
    inclusion_proof,
    root_of,
)
from medfed.federation.audit.note import Checkpoint, open_note
from medfed.federation.keys import verify
from medfed.federation.receipts import verify_receipt
from medfed.federation.site_folder import read_receipts

Entry = Mapping[str, Any]


@dataclass
class Verdict:
    """What a check found.

    Attributes:
        site: Whose log.
        entries: How many it has.
        receipts: How many receipts were found, each under its entry.
        faults: What is wrong, in sentences; empty when nothing is.
    """

    site: str
    entries: int = 0
    receipts: int = 0
    faults: list[str] = field(default_factory=list)


def verify_folder(
    folder: Path,
    site: str,
    key: Ed25519PublicKey,
    earlier: Sequence[str] = (),
    vault: Vault = OPEN,
) -> Verdict:
    """Check a site's log and that its receipts are those that were logged.

    A site without log and receipts has no faults: that a whole record is gone shows only to whoever
    kept a checkpoint.

    Args:
        folder: The site's folder, or a copy of it.
        site: The site's name.
        key: Its public key, as the checker knows it.
        earlier: Checkpoints that the checker kept from other days.
        vault: What opens the folder, where it is encrypted.
    """
    verdict = Verdict(site)
    entries = _entries(folder, vault, verdict)
    verdict.entries = len(entries)
    _check_entries(entries, site, key, verdict)
    leaves = [leaf_of(entry) for entry in entries]
    new = not (folder / FOLDER).exists() and not any((folder / "receipts").glob("*.jsonl"))
    head = None if new else _checkpoint(folder, site, key, verdict)
    if head is not None and (head.size, head.root) != (len(leaves), root_of(leaves)):
        verdict.faults.append(
            f"the checkpoint signs {head.size} entries and the log holds {len(leaves)}, or others"
        )
    for note in earlier:
        _check_earlier(note, site, key, leaves, verdict)
    if not new:
        _check_receipts(folder, vault, entries, key, verdict)
    return verdict


def prove(folder: Path, index: int, vault: Vault = OPEN) -> dict[str, Any]:
    """What shows to an outsider that one entry is in the log, and nothing of the others.

    Raises:
        DataError: There is no such entry.
    """
    entries = entries_of(folder, vault)
    if not 0 <= index < len(entries):
        raise DataError(f"the log has no entry {index}", remedy=f"It has {len(entries)}, from 0")
    leaves = [leaf_of(entry) for entry in entries]
    return {
        "schema": 1,
        "entry": entries[index],
        "index": index,
        "proof": [node.hex() for node in inclusion_proof(leaves, index)],
        "checkpoint": (folder / FOLDER / CHECKPOINT).read_text(encoding="utf-8"),
    }


def check_proof(proof: Mapping[str, Any], site: str, key: Ed25519PublicKey) -> Entry:
    """The entry that a proof shows to be in a site's log.

    Raises:
        WireError: It shows nothing.
    """
    try:
        entry, index = dict(proof["entry"]), proof["index"]
        nodes = [bytes.fromhex(node) for node in proof["proof"]]
        note = str(proof["checkpoint"])
        leaf = leaf_of(entry)
    except (LookupError, TypeError, ValueError):
        raise WireError("this is no proof of an entry") from None
    head = _opened(note, site, key)
    if type(index) is not int or entry.get("index") != index:
        raise WireError("the proof is of another entry")
    if not includes(leaf, index, head.size, nodes, head.root):
        raise WireError("the proof does not lead from the entry to the checkpoint")
    return entry


def _entries(folder: Path, vault: Vault, verdict: Verdict) -> list[Entry]:
    try:
        found = entries_of(folder, vault)
    except DataError as error:
        verdict.faults.append(error.message)
        return []
    return [one if _canonical(one) else {} for one in found]


def _canonical(entry: object) -> bool:
    """Whether it is a table with one spelling: infinity and halves of characters have none."""
    try:
        canonical_json(entry)
    except ValueError:
        return False
    return isinstance(entry, dict)


def _check_entries(entries: Sequence[Entry], site: str, key: Ed25519PublicKey, to: Verdict) -> None:
    """Each in its place, and signed with all before it; the first that is not spoils the rest."""
    tree = Frontier()
    for index, entry in enumerate(entries):
        tree.add(leaf_of(entry))
        if entry.get("index") != index or entry.get("site") != site:
            to.faults.append(f"entry {index} is another one, or of another site")
        elif not _signed(entry, Checkpoint(origin(site), tree.size, tree.root()), key):
            to.faults.append(f"entry {index} or one before it was changed: {site} did not sign it")
            return


def _signed(entry: Entry, head: Checkpoint, key: Ed25519PublicKey) -> bool:
    try:
        verify(key, bytes.fromhex(entry["signature"]), head.text().encode(), "the site")
    except (WireError, LookupError, TypeError, ValueError):
        return False
    return True


def _checkpoint(folder: Path, site: str, key: Ed25519PublicKey, to: Verdict) -> Checkpoint | None:
    try:
        note = (folder / FOLDER / CHECKPOINT).read_text(encoding="utf-8")
        return _opened(note, site, key)
    except (OSError, UnicodeDecodeError):
        to.faults.append("the checkpoint is missing or cannot be read")
    except WireError as error:
        to.faults.append(f"the checkpoint is not good: {error.message}")
    return None


def _opened(note: str, site: str, key: Ed25519PublicKey) -> Checkpoint:
    found = Checkpoint.parse(open_note(note, origin(site), key))
    if found.origin != origin(site):
        raise WireError("the checkpoint is of another log")
    return found


def _check_earlier(
    note: str, site: str, key: Ed25519PublicKey, leaves: Sequence[bytes], to: Verdict
) -> None:
    try:
        old = _opened(note, site, key)
    except WireError as error:
        to.faults.append(f"the earlier checkpoint is not good: {error.message}")
        return
    proof = consistency_proof(leaves, old.size)
    if not consistent(old.size, old.root, len(leaves), root_of(leaves), proof):
        to.faults.append(f"the log was rewritten since the checkpoint of {old.size} entries")


def _check_receipts(
    folder: Path, vault: Vault, entries: Sequence[Entry], key: Ed25519PublicKey, to: Verdict
) -> None:
    """Each receipt under an entry, each entry over a receipt."""
    logged = [entry.get("commitment") for entry in entries if entry.get("kind") == "receipt"]
    try:
        salt_key, found = salt_key_of(folder, vault), {}
        for file in sorted((folder / "receipts").glob("*.jsonl")):
            for number, receipt in enumerate(read_receipts(file, vault), start=1):
                where = f"receipt {number} of {file.name}"
                commitment = commitment_of(receipt, salt_key)
                if commitment in found:
                    to.faults.append(f"{where} is there twice")
                found[commitment] = where
                verify_receipt(receipt, key)
    except MedfedError as error:
        to.faults.append(error.message)
        return
    except ValueError:  # a receipt with infinity in it, or half a character
        to.faults.append("a receipt is damaged")
        return
    to.receipts = len(found)
    to.faults += [f"{w} is not in the log" for c, w in found.items() if c not in set(logged)]
    gone = sum(commitment not in found for commitment in logged)
    if gone:
        to.faults.append(f"{gone} logged receipts are gone or were changed")

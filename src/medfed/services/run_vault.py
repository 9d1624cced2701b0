"""The vault of a run: what it keeps is encrypted where its owner said so.

Apart from `medfed.services.at_rest`, which knows of scans: a run begins sooner without them.
"""

from pathlib import Path

from medfed.core.vault import Vault
from medfed.privacy.at_rest.envelope import ENVELOPE, PASSPHRASE, Secret
from medfed.privacy.at_rest.vault import new_vault, open_vault
from medfed.storage.run_folder import RunFolder


def place_of(encrypt_with: str | None) -> str | None:
    """What to remember of a key file: its place, wherever the next command is given."""
    if encrypt_with is None or encrypt_with == PASSPHRASE or encrypt_with.startswith("$"):
        return encrypt_with
    return str(Path(encrypt_with).expanduser().resolve())


def run_vault(folder: RunFolder, encrypt_with: str | None) -> Vault:
    """The vault of a run; made where the run has only begun.

    Raises:
        SiteError: The secret does not open it.
    """
    fresh = not (folder.path / ENVELOPE).exists() and not folder.has_checkpoints()
    if encrypt_with is not None and fresh:
        return new_vault(folder.path, Secret.named(encrypt_with))
    return open_vault(folder.path, encrypt_with)

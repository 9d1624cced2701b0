"""Models and their results on a hospital's disk: sealed where the site's folder is encrypted."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medfed.core.memory_folders import in_memory
from medfed.core.private_files import remember
from medfed.core.vault import Vault
from medfed.services.inference.place import INFERENCES, InferencePlace
from medfed.services.prediction.folder import appearing
from medfed.services.sites import site_vault


def vault_of(place: InferencePlace) -> Vault:
    """How results lie in a console's folder: as private files do in its site's."""
    vault = site_vault(place.site)
    remember(place.console, vault)
    if place.console.resolve().is_relative_to(place.site.resolve()):  # elsewhere old ones lie open
        remember(place.console / INFERENCES, vault, strict=True)
    return vault


@contextmanager
def kept_privately(place: InferencePlace, folder: Path) -> Iterator[Path]:
    """A folder for the block to make, whole.

    Args:
        place: The console's.
        folder: Where it is to lie. Where the site is encrypted the block makes another, in memory,
            and its files are sealed on their way here.

    Raises:
        DataError: There is no room in memory.
    """
    vault = vault_of(place)
    if not vault.sealed:
        yield folder
        return
    with in_memory() as bench:
        yield bench / folder.name
        with appearing(folder) as part:
            for file in sorted(file for file in (bench / folder.name).iterdir() if file.is_file()):
                vault.write(part / file.name, file.read_bytes(), place=folder / file.name)


@contextmanager
def aside(place: InferencePlace) -> Iterator[Path]:
    """A folder for what a person sends, gone afterwards; in memory where the site is encrypted.

    Raises:
        DataError: This system has no folder in memory.
    """
    if vault_of(place).sealed:
        with in_memory() as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(dir=place.console) as name:
        yield Path(name)

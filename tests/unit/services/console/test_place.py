"""The console's folder."""

from __future__ import annotations

from medfed.services.console.place import Place


def test_a_folder_that_was_there_is_closed_to_others(tmp_path):
    folder = tmp_path / "console"
    folder.mkdir(mode=0o755)
    (folder / "runs").mkdir(mode=0o755)
    Place.open(folder)
    for each in (folder, folder / "runs", folder / "studies", folder / "logs"):
        assert each.stat().st_mode & 0o777 == 0o700, each

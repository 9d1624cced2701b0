"""What a coordinator's console says of a file that several runs gave."""

from __future__ import annotations

from accounting import identity
from consoles import finish, stage_of

from medfed.storage.database.tables import ModelRow


def test_a_withdrawn_model_comes_before_a_later_one_of_the_same_file(tmp_path, sqlite_url):
    stage = stage_of(tmp_path / "console", sqlite_url)
    console = stage.console
    who = identity(console.accounts, "coordinator")
    console.releases.withdraw(who, 1, "wrong labels")
    finish(console, console.runs.start(who, stage.study))
    with console.database.read() as session:
        first, second = session.get_one(ModelRow, 1), session.get_one(ModelRow, 2)
    assert first.sha256 == second.sha256
    assert second.withdrawn is None
    assert console.releases.by_digest(first.sha256).reason == "wrong labels"

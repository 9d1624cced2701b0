"""A coordinator that sites can join."""

import pytest
from integration.enrolling import Federation


@pytest.fixture
def federation(tmp_path, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Federation(tmp_path / "coordinator")
    yield made
    made.close()

"""What a job's process writes into the log of a hospital."""

import logging

import pytest

from medfed.services.hospital import work
from medfed.services.hospital.work import _log


@pytest.mark.parametrize("sealed", [True, False])
def test_an_encrypted_hospitals_log_names_no_file(sealed, caplog):
    def read(path):
        raise FileExistsError(path)

    with caplog.at_level(logging.ERROR, work.log.name):
        try:
            read("import/files/Doe-Jane/ct.dcm")
        except FileExistsError as error:
            _log("a1", error, sealed=sealed)
    assert "FileExistsError" in caplog.text
    assert "test_work.py" in caplog.text, "where it happened"
    assert ("Doe-Jane" in caplog.text) != sealed

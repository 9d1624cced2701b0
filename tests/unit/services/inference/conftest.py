"""A hospital for tests of inference."""

from __future__ import annotations

import pytest
from clinics import Clinic, clinic_of

from medfed.web import WebOptions


@pytest.fixture
def clinic(make_clinic) -> Clinic:
    return make_clinic(WebOptions(live=False))


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> tuple[Clinic, str]:
    """A hospital with a signed review; it is only looked at."""
    made = clinic_of(tmp_path_factory.mktemp("signed"), options=WebOptions(live=False))
    return made, made.signed()

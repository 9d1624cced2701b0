"""What a clinician does with a model: asks it, looks, reviews, signs, hands on; in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
import pytest
from accounting import PASSWORD
from clinics import ANSWERS, Clinic, clinic_of
from consoles import replace_passwords
from playwright.sync_api import Browser, Page, expect
from unit.connectors.dicom_files import write_series
from unit.inference.threshold import run_folder, thorax

from medfed.services.accounts import Identity
from medfed.services.accounts.passwords import Passwords
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Faces
from medfed.services.imports import import_scans
from medfed.services.sites import create_site
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]

DONE_MS = 180_000
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1600, "height": 950}
NODULES = [(62, 0, 60), (-62, 20, -50), (-50, -30, 20)]
expect.set_options(timeout=60_000)  # a busy machine is no failure

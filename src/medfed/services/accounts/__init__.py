"""People and programs: who they are, and what they may do."""

from medfed.services.accounts.accounts import Accounts
from medfed.services.accounts.identity import NOBODY, Identity, Subject
from medfed.services.accounts.rights import Decision, asked, may, require

__all__ = ["NOBODY", "Accounts", "Decision", "Identity", "Subject", "asked", "may", "require"]

"""The marks of tries at a round, in a file beside the checkpoints and no part of them."""

import json
import secrets
from pathlib import Path

from medfed.core.files import sync, write_json

ATTEMPT = "attempt.json"


class Attempts:
    """`medfed.federation.privacy.Attempts` in one file.

    A coordinator that was killed before it drew the noise goes on with the same mark, and so with
    the replies that it has. One that goes back to an older checkpoint finds the mark used up.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / ATTEMPT

    def mark(self, round_: int) -> str:
        """The mark of the try at hand, new if the last was for another round or is used up."""
        try:
            kept = json.loads(self.file.read_bytes())
            if kept["round"] == round_:
                return str(kept["mark"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            pass  # a damaged mark is none: with another the sites work, and pay, anew
        mark = secrets.token_hex(16)
        write_json(self.file, {"round": round_, "mark": mark})
        return mark

    def used(self) -> None:
        """Use the mark up, durably, before anything that was made with it can leave."""
        self.file.unlink(missing_ok=True)
        sync(self.file.parent)

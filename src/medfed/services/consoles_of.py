"""Where consoles of a site keep what they hold: in the site's folder, or elsewhere.

`medfed serve --data DIR --site SITE` keeps its database, files that are being sent and what models
found in DIR, which the site's folder knows nothing of. So each console that is opened for a site
writes down there where it is: whoever encrypts the folder is told what that does not reach.
"""

import contextlib
import json
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from medfed.core.errors import SiteError
from medfed.core.files import write_json
from medfed.services.console_database import EMBEDDED

CONSOLES = "consoles.json"
INSIDE = "console"
"""The folder of a site's own console, in the site's: what encrypts the site encrypts it too."""


def remember_console(site: Path, folder: Path, url: str) -> None:
    """Write down what a console that is opened for a site keeps outside of it.

    Args:
        site: The site's folder.
        folder: The console's.
        url: Of its database.
    """
    try:
        known = _known(site)
    except SiteError:
        known = []  # consoles that are not told here write themselves down when they start
    new = sorted({*known, *outside(site, folder, url)})
    if new != known:
        with contextlib.suppress(OSError):  # a console starts on a full disk too
            write_json(site / CONSOLES, new)


def consoles_elsewhere(site: Path) -> list[str]:
    """Folders and databases of a site's consoles that encrypting the site does not reach.

    Those that are no longer there are not told; of a database on another machine nobody knows.

    Raises:
        SiteError: What was written down is damaged.
    """
    return [each for each in _known(site) if "://" in each or Path(each).exists()]


def outside(site: Path, folder: Path, url: str | URL) -> list[str]:
    """What of a console lies outside of the site's own: its folder, its database, both or none."""
    own, here = (site / INSIDE).resolve(), folder.resolve()
    found = [] if here == own else [str(here)]
    made = make_url(url)
    if made.get_backend_name() != "sqlite":
        where = URL.create(made.drivername, host=made.host, port=made.port, database=made.database)
        return [*found, where.render_as_string()]
    file = Path(made.database or "").resolve()
    seen = file == own / EMBEDDED or (here != own and file.is_relative_to(here))
    return found if seen else [*found, str(file)]


def _known(site: Path) -> list[str]:
    file = site / CONSOLES
    try:
        known = json.loads(file.read_bytes()) if file.exists() else []
    except ValueError:
        known = None
    if not (isinstance(known, list) and all(isinstance(each, str) for each in known)):
        remedy = "Remove it, and start each console of this site once: it writes itself down again."
        raise SiteError(f"{file} is damaged: it says which consoles the site has", remedy=remedy)
    return known

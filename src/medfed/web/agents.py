"""By what browser somebody came, in words: few rules for the browsers that people use."""

import re

from flask_babel import gettext as _

BROWSERS = (
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("MicroMessenger/", "WeChat"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/|Chrome/|CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
"""The first that fits counts: most of them name others as well."""
SYSTEMS = (
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("HarmonyOS|OpenHarmony", "HarmonyOS"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh|Mac OS X", "macOS"),
    ("Linux|X11", "Linux"),
)
PROGRAM = re.compile(r"(?P<name>[A-Za-z][\w .-]{0,30})/\d")
"""How programs name themselves, such as ``curl/8.5``."""


def browser(agent: str) -> str:
    """A browser and its system, as in ``Firefox on Windows``; a program as it calls itself."""
    name, system = _first(BROWSERS, agent), _first(SYSTEMS, agent)
    if name and system:
        return str(_("%(browser)s on %(system)s", browser=name, system=system))
    if not name and not agent.startswith("Mozilla") and (program := PROGRAM.match(agent)):
        return program["name"]
    return name or system or str(_("unknown browser"))


def _first(rules: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((called for rule, called in rules if re.search(rule, agent)), "")

"""Which browser somebody came by; what browsers say of themselves names all the others."""

from flask_babel import gettext as _

BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "Firefox": "Firefox",
    "Chrom": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}
"""What is looked for first goes before: Android says that it is Linux, too."""
LONGEST = 40


def browser(agent: str) -> str:
    """A browser and its system; what is none, as it calls itself."""
    name = next((name for mark, name in BROWSERS.items() if mark in agent), "")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    if name and system:
        return str(_("%(browser)s on %(system)s", browser=name, system=system))
    return name or agent[:LONGEST]

"""The report's colours: told apart by colour-blind readers, on light paper and on dark screens.

Charts are drawn in the light colours; `themed` then lets style sheets replace each of them, so that
one drawing serves both. Site colours are Okabe and Ito's (2008) without black and yellow, and two
of Paul Tol's; past their number sites share one, and charts show their spread instead.
"""

from collections.abc import Mapping, Sequence

INK, MUTED, GRID, FAINT, PAPER = "#1b2430", "#5b6675", "#dfe3e8", "#c9d0d9", "#fffffe"
ACCENT = "#0b5c8a"
LATE, REFUSED, LOST, ABSENT = "#e69f01", "#d55e01", "#882256", "#e9ecf0"
SITE_LIGHT = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#7a7a3c",
)  # fmt: skip
SITE_DARK = (
    "#4aa8e0", "#f0803c", "#2cc79b", "#e59cc4", "#8fd0f7", "#f2b632", "#d36a9f", "#b9b96c",
)  # fmt: skip

_DARK = {
    "ink": (INK, "#e8ecf1"),
    "muted": (MUTED, "#a3adba"),
    "grid": (GRID, "#333c48"),
    "faint": (FAINT, "#4d5866"),
    "card": (PAPER, "#1a2029"),
    "accent": (ACCENT, "#6fbdea"),
    "late": (LATE, "#f2b632"),
    "refused": (REFUSED, "#f0803c"),
    "lost": (LOST, "#d36a9f"),
    "absent": (ABSENT, "#2a323d"),
}
COLOURS = {
    **_DARK,
    **{f"site{i}": pair for i, pair in enumerate(zip(SITE_LIGHT, SITE_DARK, strict=True))},
}
"""CSS variable -> its colour on light and on dark."""

MOST_COLOURED = len(SITE_LIGHT)
"""With more sites than this, charts show the sites' spread instead of each site."""


def site_colours(sites: Sequence[str]) -> dict[str, str]:
    """A colour for each site, the same in every chart; one for all when there are many."""
    if len(sites) > MOST_COLOURED:
        return dict.fromkeys(sites, ACCENT)
    return dict(zip(sites, SITE_LIGHT, strict=False))


def swatch(colours: Mapping[str, str], site: str) -> str:
    """The CSS variable of a site's colour; empty where all share one."""
    many = len(colours) > MOST_COLOURED
    return "" if many else f"site{list(colours).index(site)}"


def themed(svg: str) -> str:
    """A drawing whose colours follow the page's."""
    for name, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg


def variables(dark: bool) -> str:
    """The colours as CSS declarations."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLOURS.items())

"""Write the font by which charts measure Chinese text: `python scripts/wide_font.py`.

Matplotlib lays charts out by its own font, which has no Han characters; readers' browsers then draw
the text in theirs. All fonts agree that such a character is as wide as the font is high, so a font
of one box that stands for all of them measures as well as one of ten megabytes.
"""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import newTable
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "src" / "medfed" / "services" / "reports" / "wide.ttf"
NAME = "medfed wide"
EM = 1000
FROM, TO = 0x2E80, 0x40000
"""Where scripts begin whose characters are square, and the end of their planes."""
FORMAT, PLATFORM, ENCODING = 13, 3, 10
"""The kind of table that maps many characters to one glyph (OpenType), for all of Unicode."""


def font() -> bytes:
    """The font's bytes, the same each time."""
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder([".notdef", "wide"])
    builder.setupGlyf({".notdef": _box(), "wide": _box()})
    builder.setupHorizontalMetrics({".notdef": (EM, 0), "wide": (EM, 0)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": NAME, "styleName": "Regular", "psName": "medfed-wide"})
    builder.font["cmap"] = _characters()
    builder.setupOS2(sTypoAscender=880, sTypoDescender=-120, usWinAscent=880, usWinDescent=120)
    builder.setupPost()
    builder.setupHead(unitsPerEm=EM, created=0, modified=0)
    builder.font.recalcTimestamp = False
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


def _box() -> object:
    """A hollow square, as for characters that a font lacks."""
    pen = TTGlyphPen(None)
    for low, high, corners in ((80, 800, 1), (120, 760, -1)):
        square = [(low, low), (low, high), (high, high), (high, low)][::corners]
        pen.moveTo(square[0])
        for corner in square[1:]:
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


def _characters() -> object:
    table = newTable("cmap")
    table.tableVersion = 0
    subtable = CmapSubtable.newSubtable(FORMAT)
    subtable.platformID, subtable.platEncID, subtable.language = PLATFORM, ENCODING, 0
    wide = (c for c in range(FROM, TO) if unicodedata.east_asian_width(chr(c)) in "WF")
    subtable.cmap = dict.fromkeys(wide, "wide")
    table.tables = [subtable]
    return table


if __name__ == "__main__":
    FILE.write_bytes(font())

"""The font by which pictures and PDFs write what people read, Chinese too."""

from functools import cache
from pathlib import Path
from typing import Any

CHINESE = Path(__file__).with_name("NotoSansCJKsc-part.ttf")
"""Latin, Greek, Cyrillic, signs and Chinese, see ``scripts/chinese_font.py``."""


@cache
def sized(pixels: int) -> Any:
    """The font for Pillow.

    Args:
        pixels: Its height.
    """
    from PIL import ImageFont

    return ImageFont.truetype(CHINESE, pixels)

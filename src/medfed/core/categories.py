"""What makes two values of a categorical column the same one."""

import math
import re
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TRUTH = {"true": "1", "false": "0"}


def category_key(value: Any) -> str:
    """One value's key, by that value alone.

    Text that is a number or a truth value has the key of that number: else one odd row, which
    makes a whole column text, would change the inputs of all other patients.
    """
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return _TRUTH.get(text.lower(), text)
        value = text
    elif not isinstance(value, (bool, int, float, np.bool_, np.number)):
        return str(value).strip()
    # Through float also where it is an integer: a column with one fraction holds nothing else.
    number = float(value)
    whole = math.isfinite(number) and number.is_integer()
    return str(int(number)) if whole else repr(number)

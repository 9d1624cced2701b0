"""Column types that behave alike on SQLite and PostgreSQL."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite would give it back without its time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a time zone, which would mean another one elsewhere."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that it is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Figure(TypeDecorator[float]):
    """A number; what is not finite becomes null, as in `Json`, whatever the database takes."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Only what a page can read."""
        return value if value is None or math.isfinite(value) else None


class Json(TypeDecorator[Any]):
    """Plain data as JSON text; what is not a finite number becomes null.

    Browsers cannot read ``NaN``: one such metric would disconnect every viewer. Half a character,
    such as in a file's name that is not UTF-8, can be written nowhere: it becomes a question mark.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """As text."""
        if value is None:
            return None
        return json.dumps(finite(value), ensure_ascii=False, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """As data."""
        return None if value is None else json.loads(value)


def readable(text: str) -> str:
    """The same text without what no database or page takes: half characters and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def finite(value: Any) -> Any:
    """The same data with None in the place of NaN and infinities, and readable text."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {readable(str(key)): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value

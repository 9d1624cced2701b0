"""What the API of a hospital's data takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Float, Integer, List, Raw, String
from apiflask.validators import Length, OneOf

from medfed.services.viewing.views import WINDOWS
from medfed.web.api.schemas import PageQuery


class ScansQuery(PageQuery):
    """Which scans."""

    q = String(load_default="", validate=Length(max=100))


class SliceQuery(Schema):
    """How a slice is seen."""

    window = String(load_default="lung", validate=OneOf(list(WINDOWS)))
    outlined = Boolean(load_default=False)


class ScanOut(Schema):
    """A scan in the hospital's catalogue."""

    scan = String()
    patient = String()
    form = String()
    imported = String()
    shape_zyx = List(Integer())
    spacing_mm_zyx = List(Float())
    study_date = String()
    manufacturer = String()
    model = String()
    kernel = String()
    mask = Boolean()
    synthetic = Boolean()
    doubts = List(String())
    bytes = Integer()
    scans_of_patient = Integer()


class ImportNew(Schema):
    """What the hospital decides about an import."""

    patient = String(load_default=None, allow_none=True, validate=Length(max=64))
    naming = String(load_default="file", validate=OneOf(["file", "folder", "parent"]))
    keep_characteristics = Boolean(load_default=False)
    keep_links = Boolean(load_default=False)
    accept_doubts = Boolean(load_default=False)


class Again(Schema):
    """Whether to take pictures that may show a name or a face."""

    accept_doubts = Boolean(load_default=False)


class ImportOut(Schema):
    """An import."""

    id = String()
    state = String()
    owner = String()
    done = Integer()
    total = Integer(allow_none=True)
    result = Raw(allow_none=True)
    message = String()
    remedy = String()
    created = String()
    started = String(allow_none=True)
    ended = String(allow_none=True)


class FileOut(Schema):
    """A file on its way."""

    id = String()
    name = String()
    length = Integer()
    received = Integer()


class TableOut(Schema):
    """A table, without its values."""

    name = String()
    bytes = Integer()
    changed = String()
    columns = List(String())
    rows = Integer(allow_none=True)
    separator = String()

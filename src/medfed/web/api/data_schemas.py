"""What the API of a hospital's data takes and gives."""

from apiflask import Schema
from apiflask.fields import Boolean, Float, Integer, List, String
from apiflask.validators import Length

from medfed.web.api.schemas import PageQuery


class ScansQuery(PageQuery):
    """Which scans."""

    q = String(load_default="", validate=Length(max=100))


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

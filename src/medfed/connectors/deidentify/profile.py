"""The Basic Application Level Confidentiality Profile, applied to one object (PS3.15, annex E).

With it go the option Retain Longitudinal Temporal Information With Modified Dates, and on request
Retain Patient Characteristics. What the platform needs of an image (geometry, values, kernel,
manufacturer, model) is not in the table, so no other option is claimed. Beyond the table goes:
elements that pydicom's dictionary does not know, whole overlays and curves, every name of a person,
UIDs that DICOM did not register, and free text that holds the patient's own names or numbers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medfed import __version__
from medfed.connectors.deidentify.residue import empty_what_tells, words_of
from medfed.connectors.deidentify.table import EDITION, Row, table
from medfed.connectors.deidentify.values import dummy, grouped_age, moved

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset, FileDataset

    from medfed.connectors.pseudonyms import Pseudonyms

BASIC = ("113100", "Basic Application Confidentiality Profile")
DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
CHARACTERISTICS = ("113108", "Retain Patient Characteristics Option")
METHOD = f"medfed {__version__}, PS3.15 table E.1-1"
REGISTERED = "1.2.840.10008."
AGE = 0x00101010
ACQUISITION_CONTEXT = 0x00400555
"""Of the sequences that the table leaves a choice for, the one that must be there, if empty."""

CURVES, OVERLAYS = 0x5000, 0x6000


@dataclass(frozen=True)
class Cleaned:
    """What was done to one object.

    Attributes:
        patient: the pseudonym.
        texts_emptied: free texts, outside the table, that held the patient's names or numbers.
        unreadable: elements removed because they could not be read.
    """

    patient: str
    texts_emptied: int
    unreadable: int


def identity_of(dataset: Dataset) -> str:
    """What the hospital calls the patient; empty where the object does not say.

    The Patient ID alone, whoever issued it: two numbers that fall together put two patients into
    one, which spoils no split; a patient under two names would.
    """
    header: Any = dataset
    number = str(header.get("PatientID", "") or "").strip("\0 ")
    if number:
        return number
    name = str(header.get("PatientName", "") or "").strip("^ ")
    born = str(header.get("PatientBirthDate", "") or "").strip()
    return f"{name}|{born}" if name and born else ""


def says_synthetic(dataset: Dataset) -> bool:
    """Whether a header says that a program drew the picture: the label must not be lost."""
    header: Any = dataset
    if str(header.get("SyntheticData", "")).strip().upper() == "YES":
        return True
    texts = (header.get("ImageComments"), header.get("PatientComments"))
    return any(str(text or "").upper().startswith("SYNTHETIC") for text in texts)


class Deidentifier:
    """Takes out of DICOM objects what identifies the patient, the same way every time.

    Args:
        pseudonyms: the site's.
        keep_characteristics: keep age, sex, size, weight and the like.
    """

    def __init__(self, pseudonyms: Pseudonyms, *, keep_characteristics: bool = False) -> None:
        self._pseudonyms = pseudonyms
        self._characteristics = keep_characteristics
        self._unreadable = 0

    def clean(self, dataset: FileDataset, identity: str) -> Cleaned:
        """Change an object in place; its pixels stay as they are.

        Args:
            dataset: whole, as read from a file.
            identity: whose it is; see `identity_of`.
        """
        self._unreadable = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            self._drop_unreadable(dataset)
            synthetic = says_synthetic(dataset)
            words = words_of(dataset)
            self._walk(dataset, self._pseudonyms.days_earlier(identity))
            emptied = empty_what_tells(dataset, words) if words else 0
            patient = self._pseudonyms.patient(identity)
            self._sign(dataset, patient)
            if synthetic:
                dataset.SyntheticData = "YES"
            _fresh_meta(dataset)
        return Cleaned(patient, emptied, self._unreadable)

    def _drop_unreadable(self, dataset: Dataset) -> None:
        from pydicom.datadict import dictionary_has_tag, repeater_has_tag

        for tag in list(dataset.keys()):
            known = dictionary_has_tag(tag) or repeater_has_tag(int(tag))
            if tag.is_private or tag.element == 0 or not known or _is_drawing(tag.group):
                del dataset[tag]
                continue
            try:
                element = dataset[tag]
            except Exception:  # noqa: BLE001  # pydicom promises no closed set of errors
                self._unreadable += 1
                del dataset[tag]
                continue
            if element.VR == "SQ":
                for item in element.value:
                    self._drop_unreadable(item)

    def _walk(self, dataset: Dataset, days: int) -> None:
        rows = table()
        for element in list(dataset):
            row = rows.get(int(element.tag))
            if not self._keep_or_move(element, row, days):
                self._act(dataset, element, _code_of(element, row))
            if element.tag in dataset and element.VR == "SQ":
                for item in element.value:
                    self._walk(item, days)

    def _keep_or_move(self, element: DataElement, row: Row | None, days: int) -> bool:
        """Follow the options; whether one of them speaks of the element."""
        if row is None or row.dates == "C":
            if element.VR in {"DA", "DT", "TM"}:
                if element.value:
                    element.value = moved(element.VR, element.value, days)
                return True
        elif self._characteristics and row.characteristics == "K":
            if int(element.tag) == AGE:
                element.value = grouped_age(element.value)
            return True
        return False

    def _act(self, dataset: Dataset, element: DataElement, code: str) -> None:
        if code == "X":
            del dataset[element.tag]
        elif code == "Z":
            element.clear()
        elif code == "D":
            self._replace(element)
        elif code.startswith("U") and element.VR == "UI":
            self._map(element)

    def _replace(self, element: DataElement) -> None:
        """A dummy where there was something; what was empty stays so."""
        from pydicom import Dataset

        if element.VR == "UI":
            self._map(element)
        elif element.VR == "SQ":
            element.value = [Dataset()] if element.value else []
        elif not element.is_empty:
            element.value = dummy(element.VR)

    def _map(self, element: DataElement) -> None:
        values: Any = element.value
        if element.is_empty:
            return
        if isinstance(values, str):
            element.value = self._pseudonyms.uid(values)
        else:
            element.value = [self._pseudonyms.uid(str(one)) for one in values]

    def _sign(self, dataset: Dataset, patient: str) -> None:
        """Say whose it is now, and what was done (PS3.15, E.1.1; PS3.3, C.12.1)."""
        target: Any = dataset
        target.PatientID = patient
        target.PatientName = patient
        target.PatientIdentityRemoved = "YES"
        target.LongitudinalTemporalInformationModified = "MODIFIED"
        target.DeidentificationMethod = [METHOD, EDITION]
        codes = [BASIC, DATES, *([CHARACTERISTICS] if self._characteristics else [])]
        target.DeidentificationMethodCodeSequence = [_coded(*code) for code in codes]


def _code_of(element: DataElement, row: Row | None) -> str:
    """The one action code for an element."""
    if row is None:
        return _unlisted(element)
    optional = row.basic.startswith("X") and not row.basic.endswith("U*")
    if element.VR == "SQ" and optional and int(element.tag) != ACQUISITION_CONTEXT:
        return "X"
    return row.safest


def _unlisted(element: DataElement) -> str:
    """What happens to an element that the table leaves alone."""
    if element.VR == "PN":
        return "Z"
    if element.VR == "UI" and not element.is_empty:
        value: Any = element.value
        values = [value] if isinstance(value, str) else value
        if not all(str(one).startswith(REGISTERED) for one in values):
            return "U"
    return "K"


def _is_drawing(group: int) -> bool:
    """Whether a group holds curves or overlays, which may write names over the picture."""
    return group & 0xFF00 in {CURVES, OVERLAYS}


def _coded(value: str, meaning: str) -> Dataset:
    from pydicom import Dataset

    item: Any = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item


def _fresh_meta(dataset: FileDataset) -> None:
    """A file header of our own: theirs names stations and may hold private parts."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

    old = getattr(dataset, "file_meta", None)
    meta = FileMetaDataset()
    syntax = old.get("TransferSyntaxUID") if old is not None else None
    if syntax is not None:
        meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"MEDFED_{__version__}"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128  # whatever stood there may be a program

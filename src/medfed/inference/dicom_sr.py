"""The findings as a DICOM structured report: TID 1500 "Measurement Report", Comprehensive 3D SR.

A volumetric group (TID 1411) for each finding, which refers to its segment and to the source
series; measurements in UCUM's units; the model as algorithm identification (TID 4019). Where
nothing was found, one group (TID 1501) says that nodules are absent: a report that is missing says
nothing to whoever reads the study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medfed.inference import dicom_common as common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from medfed.inference.findings import Finding
    from medfed.inference.model import ModelIdentity

CT_CHEST = Code("24627-2", "LN", "CT Chest")
PRESENCE = Code("705057003", "SCT", "Presence")
NOT_DETECTED = Code("260415000", "SCT", "Not detected")
VERDICT = Code("reader-verdict", "99MEDFED", "Reader's verdict on the algorithm's findings")
ALL_REJECTED = Code("all-rejected", "99MEDFED", "All rejected; absence of nodules is not asserted")
"""No standard scheme has a word for it; names that begin with 99 are private ones (PS3.16 8.2)."""


def report(
    source: common.Source,
    segmentation: Dataset,
    findings: Sequence[Finding],
    model: ModelIdentity,
    reader: common.Reader | None = None,
) -> Dataset:
    """A report of measurements on the segments of a segmentation.

    Args:
        source: The series that was looked at.
        segmentation: Made by `medfed.inference.dicom_seg.segmentation` from the same findings.
        findings: One or more.
        model: Whose findings they are.
        reader: Who looked them over, and verifies the report.
    """
    groups = [_group(f, segmentation, source, model) for f in findings]
    return _document(source, groups, [segmentation, *source.images], model, reader)


def nothing_found(
    source: common.Source, model: ModelIdentity, reader: common.Reader | None = None
) -> Dataset:
    """A report that a model found no nodule in a series.

    Args:
        source: The series that was looked at.
        model: Which model looked.
        reader: Who signed that.
    """
    # With or without a reader: that none was detected does not say that none is there.
    group = _group_of_none(model, "No finding", PRESENCE, NOT_DETECTED)
    return _document(source, [group], source.images, model, reader)


def all_rejected(source: common.Source, model: ModelIdentity, reader: common.Reader) -> Dataset:
    """A report that a reader rejected everything that a model had found in a series.

    Args:
        source: The series that was looked at.
        model: Whose findings they were.
        reader: Who rejected them.
    """
    group = _group_of_none(model, "Rejected findings", VERDICT, ALL_REJECTED)
    return _document(source, [group], source.images, model, reader)


def _group_of_none(model: ModelIdentity, name: str, what: Code, value: Code) -> Any:
    """A group without a measurement: one statement about nodules in the lungs."""
    import highdicom as hd

    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(common.new_uid(), name),
        finding_category=common.ABNORMAL,
        finding_type=common.NODULE,
        finding_sites=[hd.sr.FindingSite(common.LUNG)],
        algorithm_id=_algorithm(model),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(what, value)],
    )


def _document(
    source: common.Source,
    groups: Sequence[Any],
    evidence: Sequence[Dataset],
    model: ModelIdentity,
    reader: common.Reader | None,
) -> Dataset:
    import highdicom as hd

    device = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=common.new_uid(),
            name=common.ALGORITHM,
            manufacturer_name=common.MANUFACTURER,
            model_name=f"model {model.sha256[:16]}",
        ),
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_person_context=_person(reader) if reader else None,
            observer_device_context=device,
        ),
        procedure_reported=CT_CHEST,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    made: Dataset = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=common.new_uid(),
        series_number=common.series_number(source, 2),
        sop_instance_uid=common.new_uid(),
        instance_number=1,
        manufacturer=common.MANUFACTURER,
        is_complete=True,
        is_final=reader is not None,
        is_verified=reader is not None,
        verifying_observer_name=reader.person_name if reader else None,
        verifying_organization=reader.organisation if reader else None,
    )
    what = "Nodule measurements, reviewed" if reader else "Nodule measurements by medfed"
    common.describe_series(made, what)
    if reader:
        made.SpecificCharacterSet = "ISO_IR 192"  # names of readers are written as they are
    made.ManufacturerModelName = common.ALGORITHM
    made.SoftwareVersions = common.VERSION
    return made


def _person(reader: common.Reader) -> Any:
    import highdicom as hd

    return hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(
            name=reader.person_name, organization_name=reader.organisation
        ),
    )


def _group(
    finding: Finding, segmentation: Dataset, source: common.Source, model: ModelIdentity
) -> Any:
    import highdicom as hd

    segment = segmentation.SegmentSequence[finding.number - 1]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=segment.TrackingUID, identifier=segment.TrackingID
        ),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=finding.number,
            source_series=hd.sr.SourceSeriesForSegmentation(source.series_uid),
        ),
        finding_category=common.ABNORMAL,
        finding_type=common.NODULE,
        finding_sites=[_site(finding)],
        algorithm_id=_algorithm(model),
        measurements=_measurements(finding),
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(common.TEXTURE, common.TEXTURES[finding.attenuation])
        ],
    )


def _site(finding: Finding) -> Any:
    import highdicom as hd

    sides = {"right": common.RIGHT, "left": common.LEFT, None: None}
    zone = common.ZONES[finding.third] if finding.third else common.LUNG
    return hd.sr.FindingSite(zone, laterality=sides[finding.side])


def _algorithm(model: ModelIdentity) -> Any:
    import highdicom as hd

    parameters = [
        f"model_sha256={model.sha256}",
        f"study={model.study}",
        f"round={model.round}",
        *(f"notice={text}" for text in model.said),
    ]
    return hd.sr.AlgorithmIdentification(
        common.ALGORITHM, common.VERSION, parameters, family=codes.DCM.ArtificialIntelligence
    )


def _measurements(finding: Finding) -> list[Any]:
    import highdicom as hd

    probability = codes.DCM.Probability if finding.calibrated else codes.DCM.CertaintyOfFinding
    units = codes.UCUM
    rows: list[tuple[Any, float, Any, Any]] = [
        (codes.SCT.LongAxis, round(finding.diameter.mm, 2), units.Millimeter, None),
        (probability, round(100 * finding.probability, 2), units.Percent, None),
    ]
    if finding.outlined:
        hu = (codes.DCM.AttenuationCoefficient, round(finding.mean_hu, 1), units.HounsfieldUnit)
        volume = (codes.SCT.Volume, round(finding.volume_mm3, 2), units.CubicMillimeter, None)
        rows[1:1] = [volume, (*hu, codes.SCT.Mean)]
    return [hd.sr.Measurement(name, value, unit, derivation=how) for name, value, unit, how in rows]

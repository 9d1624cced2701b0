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
ABSENT = Code("2667000", "SCT", "Absent")


def report(
    source: common.Source,
    segmentation: Dataset,
    findings: Sequence[Finding],
    model: ModelIdentity,
) -> Dataset:
    """A report of measurements on the segments of a segmentation.

    Args:
        source: The series that was looked at.
        segmentation: Made by `medfed.inference.dicom_seg.segmentation` from the same findings.
        findings: One or more.
        model: Whose findings they are.
    """
    groups = [_group(f, segmentation, source, model) for f in findings]
    return _document(source, groups, [segmentation, *source.images], model)


def nothing_found(source: common.Source, model: ModelIdentity) -> Dataset:
    """A report that a model found no nodule in a series.

    Args:
        source: The series that was looked at.
        model: Whose finding that is.
    """
    import highdicom as hd

    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(common.new_uid(), "No finding"),
        finding_category=common.ABNORMAL,
        finding_type=common.NODULE,
        finding_sites=[hd.sr.FindingSite(common.LUNG)],
        algorithm_id=_algorithm(model),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(PRESENCE, ABSENT)],
    )
    return _document(source, [group], source.images, model)


def _document(
    source: common.Source, groups: Sequence[Any], evidence: Sequence[Dataset], model: ModelIdentity
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
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
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
        is_final=False,
        is_verified=False,
    )
    common.describe_series(made, "Nodule measurements by medfed")
    made.ManufacturerModelName = common.ALGORITHM
    made.SoftwareVersions = common.VERSION
    return made


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
    rows = (
        (codes.SCT.LongAxis, round(finding.diameter.mm, 2), codes.UCUM.Millimeter, None),
        (codes.SCT.Volume, round(finding.volume_mm3, 2), codes.UCUM.CubicMillimeter, None),
        (
            codes.DCM.AttenuationCoefficient,
            round(finding.mean_hu, 1),
            codes.UCUM.HounsfieldUnit,
            codes.SCT.Mean,
        ),
        (probability, round(100 * finding.probability, 2), codes.UCUM.Percent, None),
    )
    return [hd.sr.Measurement(name, value, unit, derivation=how) for name, value, unit, how in rows]

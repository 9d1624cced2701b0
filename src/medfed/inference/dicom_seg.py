"""The mask as a DICOM segmentation (PS3.3 A.51): BINARY, one segment for each finding.

BINARY and not LABELMAP, which older PACS refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medfed.inference import dicom_common as common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from medfed.inference.findings import Finding
    from medfed.inference.model import ModelIdentity

_SIDES = {
    "right": Code("3341006", "SCT", "Right lung"),
    "left": Code("44029006", "SCT", "Left lung"),
    None: common.LUNG,
}


def segmentation(
    source: common.Source,
    labels: NDArray[np.uint8],
    findings: Sequence[Finding],
    model: ModelIdentity,
) -> Dataset:
    """A segmentation of the source series' own pixels.

    Args:
        source: The series.
        labels: The number of the finding at its voxels, on the volume's grid.
        findings: One or more, numbered from 1.
        model: Whose findings they are.

    Raises:
        ValueError: There is no finding: a segmentation has at least one segment.
    """
    import highdicom as hd

    if not findings:
        raise ValueError("a segmentation needs a finding")
    if source.frames:
        images, pixels = list(source.images), labels[list(source.frames)]
    else:
        marked = np.flatnonzero(labels.any(axis=(1, 2)))
        images, pixels = [source.images[z] for z in marked], labels[marked]
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(finding, model) for finding in findings],
        series_instance_uid=common.new_uid(),
        series_number=common.series_number(source, 1),
        sop_instance_uid=common.new_uid(),
        instance_number=1,
        manufacturer=common.MANUFACTURER,
        manufacturer_model_name=common.ALGORITHM,
        software_versions=common.VERSION,
        device_serial_number=model.sha256[:16] or "unknown",
        content_label="NODULES",
        content_description=common.SHORT_NOTICE,
        omit_empty_frames=True,
    )
    reviewed = any(finding.review for finding in findings)
    common.describe_series(made, "Nodules, reviewed" if reviewed else "Nodules found by medfed")
    made.ImageComments = " ".join(model.said)
    for item, finding in zip(made.SegmentSequence, findings, strict=True):
        item.SegmentDescription = common.in_words(finding)
    return made


def _segment(finding: Finding, model: ModelIdentity) -> Any:
    import highdicom as hd

    kinds = hd.seg.SegmentAlgorithmTypeValues
    algorithm = hd.AlgorithmIdentificationSequence(
        name=common.ALGORITHM,
        family=codes.DCM.ArtificialIntelligence,
        version=common.VERSION,
        source=common.MANUFACTURER,
        parameters={"model_sha256": model.sha256, "study": model.study},
    )
    return hd.seg.SegmentDescription(
        segment_number=finding.number,
        segment_label=f"Nodule {finding.name}",
        segmented_property_category=common.ABNORMAL,
        segmented_property_type=common.NODULE,
        algorithm_type=kinds.AUTOMATIC if finding.outlined else kinds.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id=f"Nodule {finding.name}",
        tracking_uid=common.new_uid(),
        anatomic_regions=[_SIDES[finding.side]],
    )

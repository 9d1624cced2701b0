"""De-identification of DICOM objects by the Basic Profile of PS3.15, annex E."""

from medfed.connectors.deidentify.doubts import doubts_about
from medfed.connectors.deidentify.profile import (
    Cleaned,
    Deidentifier,
    identity_of,
    says_synthetic,
)

__all__ = ["Cleaned", "Deidentifier", "doubts_about", "identity_of", "says_synthetic"]

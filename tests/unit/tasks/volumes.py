"""Small scans with a bright ball for a nodule."""

import numpy as np

from medfed.core.data import SiteData
from medfed.core.task import Execution
from medfed.imaging.geometry import Volume

ONE_THREAD = Execution(1, "fp32", "cpu")


class Scan:
    def __init__(self, patient, hu, mask, spacing=(2.0, 2.0, 2.0), origin=(0.0, 0.0, 0.0)):
        self.patient = patient
        self.hu, self.truth, self.spacing, self.origin = hu, mask, spacing, origin
        self.read = 0

    def volume(self):
        self.read += 1
        return Volume(self.hu, self.spacing, self.origin)

    def mask(self):
        return self.truth


class Source:
    def __init__(self, scans):
        self.scans = scans

    def patients(self):
        return list(dict.fromkeys(scan.patient for scan in self.scans))

    def strata(self):
        return None

    def load(self, patients):
        return [scan for who in patients for scan in self.scans if scan.patient == who]


def scan(patient="p", centre=(10, 12, 8), radius=3, shape=(20, 24, 16), seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    hu = rng.normal(-850, 30, shape)
    distance = sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre, strict=True))
    mask = (distance <= radius**2).astype(np.uint8) if radius else np.zeros(shape, np.uint8)
    hu[mask > 0] += 850
    return Scan(patient, hu.astype(np.int16), mask, **kwargs)


def site_of(scans, test=1, name="north"):
    source = Source(scans)
    who = source.patients()
    cut = len(who) - test
    return SiteData(name, source, {"train": tuple(who[:cut]), "test": tuple(who[cut:])})

"""Sites made of DataFrames."""

import pandas as pd

from medfed.connectors.tables import Table
from medfed.core.data import SiteData
from medfed.core.update import add_updates


def site_of(frame, name="north", test=0, valid=0):
    frame = pd.DataFrame(frame)
    frame.index = pd.Index([f"{name}-{i}" for i in range(len(frame))])
    patients = tuple(frame.index)
    cut, middle = len(patients) - test - valid, len(patients) - test
    sets = {"train": patients[:cut], "valid": patients[cut:middle], "test": patients[middle:]}
    return SiteData(name, Table(frame), sets)


def fit(query, sites):
    """What the coordinator and the sites do together."""
    while not isinstance(query, dict):
        query = query.next(add_updates([query.local(site, {}) for site in sites]))
    return query


def facts_of(task, sites):
    return {query.fact: fit(query, sites) for query in task.prepare()}

"""The soft limit of open files goes up to the hard one, and no further."""

import resource

import pytest

from medfed.core import open_files

LIMIT = resource.RLIMIT_NOFILE


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 4096, (4096, 4096)),
        (1024, resource.RLIM_INFINITY, (open_files.MANY, resource.RLIM_INFINITY)),
        (1024, 2**20, (open_files.MANY, 2**20)),
        (2**18, 2**20, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_goes(soft, hard, wanted, monkeypatch):
    found = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: found.append(limits))
    open_files.allow_many()
    assert found == ([wanted] if wanted else [])


def test_a_system_that_refuses_is_left_as_it_is(monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    open_files.allow_many()

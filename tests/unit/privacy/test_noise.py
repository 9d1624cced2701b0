"""The noise has the distribution that is claimed, and nothing can draw it again."""

import multiprocessing

import numpy as np
import pytest
from scipy import stats

from medfed.privacy.noise import SecretRandom


def test_the_noise_is_normal():
    draws = SecretRandom().gaussian(200_000)
    assert stats.kstest(draws, "norm").pvalue > 1e-6
    assert abs(draws.std() - 1) < 0.02
    assert stats.kurtosis(draws) == pytest.approx(0, abs=0.1)


def test_laplace_and_uniform_are_what_they_say():
    random = SecretRandom()
    assert stats.kstest(random.laplace(100_000), "laplace").pvalue > 1e-6
    uniform = random.uniform(100_000)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-6
    assert 0 <= uniform.min() < uniform.max() < 1


def test_neighbouring_numbers_do_not_know_each_other():
    draws = SecretRandom().gaussian(100_000)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02


def test_the_same_object_never_repeats_itself_and_no_seed_helps():
    random = SecretRandom()
    np.random.seed(1)  # noqa: NPY002  # what a test of other libraries would do
    first = random.gaussian(8)
    np.random.seed(1)  # noqa: NPY002  # what the noise must not follow
    assert not np.intersect1d(first, random.gaussian(8)).size
    assert not np.intersect1d(first, SecretRandom().gaussian(8)).size


def _draw(random, pipe):
    pipe.send(random.gaussian(4))


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_copy_of_the_process_draws_other_numbers():
    context = multiprocessing.get_context("fork")
    random, found = SecretRandom(), []
    for _ in range(2):
        ours, theirs = context.Pipe()
        child = context.Process(target=_draw, args=(random, theirs))
        child.start()
        found.append(ours.recv())
        child.join()
    assert not np.intersect1d(*found).size

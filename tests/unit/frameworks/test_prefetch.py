import threading
import time

import pytest

from medfed.frameworks.prefetch import AHEAD, ahead


def makers(count, make):
    return ((lambda n=n: make(n)) for n in range(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order_however_long_each_takes(threads):
    def slow_at_first(n):
        time.sleep(0.02 / (n + 1))
        return n

    assert list(ahead(makers(9, slow_at_first), threads)) == list(range(9))


def test_batches_are_made_while_the_caller_is_at_work():
    made = [threading.Event() for _ in range(9)]
    given = ahead(makers(9, lambda n: made[n].set() or n))
    assert next(given) == 0
    assert all(event.wait(10) for event in made[: AHEAD + 1])  # nobody asked for them yet
    assert not made[AHEAD + 1].is_set()  # and no further
    given.close()


def test_an_error_comes_in_its_batchs_place():
    def fail(n):
        if n == 2:
            raise ValueError("damaged")
        return n

    given = ahead(makers(5, fail))
    assert [next(given), next(given)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(given)


def test_who_gives_up_leaves_no_thread_behind():
    before = threading.active_count()
    given = ahead(makers(100, lambda n: n))
    next(given)
    assert threading.active_count() == before + 1
    given.close()
    assert threading.active_count() == before


def test_the_makers_are_asked_by_the_callers_thread():
    asked = []

    def watched():
        for n in range(4):
            asked.append(threading.current_thread())
            yield lambda n=n: n

    assert list(ahead(watched())) == [0, 1, 2, 3]
    assert set(asked) == {threading.current_thread()}

"""When the load generator sends: independent of what it sent before, and the same in every run."""

import ctypes
import itertools
import shutil
import subprocess
from collections import Counter
from statistics import correlation, fmean, pstdev

import pytest

from loadtests.bench.generator import FLAGS, LIBRARIES, SOURCES

COUNT, SECONDS = 20_000, 10.0
SENDERS = 50


class State(ctypes.Structure):
    """`Arrivals` of arrivals.h."""

    _fields_ = (
        ("gaps", ctypes.c_uint64),
        ("choices", ctypes.c_uint64),
        ("scale", ctypes.c_double),
        ("at", ctypes.c_double),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed, so the load generator cannot be compiled")
    path = tmp_path_factory.mktemp("arrivals") / "arrivals.so"
    command = ["cc", *FLAGS, "-shared", "-fPIC", "-o", str(path), str(SOURCES / "arrivals.c"), *LIBRARIES]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(path))
    library.arrivals_next.restype = ctypes.c_double
    return library


def opened(library: ctypes.CDLL, count: int = COUNT) -> State:
    state = State()
    library.arrivals_open(ctypes.byref(state), count, ctypes.c_double(SECONDS))
    return state


def times(library: ctypes.CDLL, count: int = COUNT) -> list[float]:
    state = opened(library, count)
    return [library.arrivals_next(ctypes.byref(state)) for _ in range(count)]


def test_gaps_are_exponential_and_know_nothing_of_the_one_before(library: ctypes.CDLL) -> None:
    gaps = [after - before for before, after in itertools.pairwise([0.0, *times(library)])]
    mean = fmean(gaps)
    assert mean == pytest.approx(SECONDS / COUNT, rel=0.01)
    assert pstdev(gaps) == pytest.approx(mean, rel=0.03)
    assert sum(gap > 2 * mean for gap in gaps) / COUNT == pytest.approx(0.1353, rel=0.05)
    assert abs(correlation(gaps[:-1], gaps[1:])) < 0.03


@pytest.mark.parametrize("count", [1, 2, 60, COUNT])
def test_all_of_them_are_due_within_the_time(library: ctypes.CDLL, count: int) -> None:
    due = times(library, count)
    assert due == sorted(due)
    assert 0 < due[0] <= due[-1] < SECONDS


def test_every_run_has_the_same_ones(library: ctypes.CDLL) -> None:
    assert times(library) == times(library)


def test_each_sender_is_as_likely_as_any_other(library: ctypes.CDLL) -> None:
    state = opened(library)
    found = Counter(library.arrivals_choose(ctypes.byref(state), SENDERS) for _ in range(COUNT))
    assert found.keys() == set(range(SENDERS))
    assert max(found.values()) < 1.25 * COUNT / SENDERS
    assert min(found.values()) > 0.75 * COUNT / SENDERS

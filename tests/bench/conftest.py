"""What tests of the benchmark share."""

import shutil

import pytest

from loadtests.bench import generator, tokens
from loadtests.bench.measuring import Bench
from loadtests.bench.settings import Settings

MEMBERS = 10_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A compiled generator, and samples of a second."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed, so the load generator cannot be compiled")
    path = tmp_path_factory.mktemp("bench") / "tokens"
    tokens.write(path, MEMBERS)
    return Bench(generator.build(), path, Settings(seconds=1))

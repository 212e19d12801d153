"""Which tests may run beside each other: `pytest -n 2`, as `make test` does, spreads them over processes by file."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = "tests/e2e/"
"""These share running Salons, which are dear, and stories that begin with the first of them and end with the last."""


class ByFile(LoadScopeScheduling):
    """The tests of a file stay together, and all end-to-end tests. The largest groups begin first."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Whatever --dist says."""
    return ByFile(config, log)

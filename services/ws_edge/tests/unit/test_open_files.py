"""ws_edge.open_files"""

import resource
from collections.abc import Iterator

import pytest

from ws_edge.open_files import raise_limit


@pytest.fixture
def soft_limit_of_a_shell() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("soft_limit_of_a_shell")
def test_an_edge_may_open_as_many_files_as_the_hard_limit_allows() -> None:
    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    assert soft > 1024 or hard == 1024


@pytest.mark.usefixtures("soft_limit_of_a_shell")
def test_a_system_that_refuses_the_hard_limit_keeps_the_edge_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_resource: int, _limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024

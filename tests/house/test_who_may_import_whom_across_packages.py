"""What import-linter cannot see: tests from outside and load tests know the services by their wire only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"ws_edge", "rooms", "moderation", "salon", "chassis"}
SOURCES = [ROOT / "chassis" / "src", *sorted(ROOT.glob("services/*/src"))]


def imported(source: str) -> set[str]:
    """The top-level names of every module that a source file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", ["tests/e2e", "loadtests"])
def test_outside_clients_import_nothing_of_the_services(folder: str) -> None:
    guilty = {
        str(path.relative_to(ROOT)): sorted(imported(path.read_text()) & OURS)
        for path in (ROOT / folder).rglob("*.py")
        if imported(path.read_text()) & OURS
    }
    assert guilty == {}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.parent.name)
def test_no_service_imports_tests_tools_or_loadtests(source: Path) -> None:
    paths = list(source.rglob("*.py"))
    assert paths
    for path in paths:
        assert not imported(path.read_text()) & {"tests", "tools", "loadtests", "locust", "pytest"}, path


def test_an_import_inside_a_function_is_seen() -> None:
    assert imported("def f():\n    from rooms.domain import room\n    import ws_edge.ports\n") == {"rooms", "ws_edge"}

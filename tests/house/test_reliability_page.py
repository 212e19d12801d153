"""docs/reliability.md promises what tests show: each of its links leads to one."""

import re
from pathlib import Path

import pytest
from chaos.scenarios import SCENARIOS
from chaos.table import BEGIN, END

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
LINK = re.compile(r"\[[^]]+\]\(([^)#]+\.py)(?:#([^)]*))?\)")
PROMISES = re.compile(r"^(?:\* |\| (?!what is|---))(?:.|\n(?! *\n|\* |\||#))*", re.MULTILINE)


def promised() -> str:
    """The page up to what was measured."""
    text, measured, _ = PAGE.read_text().partition("## Measured")
    assert measured
    return text


def test_every_link_to_a_test_names_one_that_exists() -> None:
    links = LINK.findall(PAGE.read_text())
    assert len(links) > 20
    for path, name in links:
        source = (PAGE.parent / path).resolve()
        assert re.search(rf"^(?:async )?def {name}\(", source.read_text(), re.MULTILINE), (path, name)
        assert name.startswith("test_"), (path, name)


def test_every_promise_has_its_test() -> None:
    promises = PROMISES.findall(promised())
    assert len(promises) > 15
    assert [promise for promise in promises if not LINK.search(promise)] == []


def test_the_table_has_a_row_for_every_scenario() -> None:
    _, begin, rest = PAGE.read_text().partition(BEGIN)
    rows, end, _ = rest.partition(END)
    assert begin
    assert end
    shown = re.findall(r"^\| ([^|]+?) \| [\d.]+ s \|", rows, re.MULTILINE)
    assert shown == [scenario.name for scenario in SCENARIOS], "make chaos"


@pytest.mark.parametrize("name", ["production.conf", "compose.conf"])
def test_the_configurations_of_nats_sync_every_message_before_it_is_acknowledged(name: str) -> None:
    assert re.search(r"^\s*sync_interval: always$", (ROOT / "deploy" / "nats" / name).read_text(), re.MULTILINE)

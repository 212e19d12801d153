"""What is done to a Salon under load, and what its people see of it. `make chaos` writes the table of all of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from chaos.run import QUICK_LOAD, Load, Result, run
from chaos.scenarios import QUICK, SCENARIOS, Scenario

pytestmark = pytest.mark.e2e


def verdict(result: Result, scenario: Scenario) -> tuple[list[str], bool, bool]:
    """What a test asserts: no faults, and nobody was kept waiting for longer than the scenario says."""
    return result.faults, result.longest_send_s <= scenario.outage_s, result.longest_join_s <= scenario.outage_s


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.name in QUICK], ids=lambda s: s.name)
async def test_soon_nothing_is_lost_doubled_or_out_of_order(scenario: Scenario, tmp_path: Path) -> None:
    result = await run(replace(scenario, for_s=2), tmp_path, QUICK_LOAD)
    assert verdict(result, scenario) == ([], True, True), result


@pytest.mark.chaos
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
async def test_nothing_acknowledged_is_lost_doubled_or_out_of_order(scenario: Scenario, tmp_path: Path) -> None:
    result = await run(scenario, tmp_path, Load())
    assert verdict(result, scenario) == ([], True, True), result

"""ws_edge.bootstrap: when an edge begins to listen. What it puts together is started by the integration tests."""

import asyncio

from ws_edge.bootstrap import settled


async def test_an_edge_waits_until_its_services_answer() -> None:
    answers = [False, False, True]
    async with asyncio.timeout(5):
        await settled(lambda: answers.pop(0), within_s=60)
    assert answers == []


async def test_an_edge_whose_services_are_away_listens_after_a_while_all_the_same() -> None:
    async with asyncio.timeout(5):
        await settled(lambda: False, within_s=0.02)

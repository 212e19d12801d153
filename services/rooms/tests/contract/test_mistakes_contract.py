"""Wrong SQL, and values that a table cannot hold, are not taken for a database that is away."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from chassis.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica


@pytest.mark.parametrize(
    "sql", ["SELECT nothing FROM room", "SELEC", "INSERT INTO counter (name, next) VALUES ('a', NULL)"]
)
async def test_a_mistake_of_ours_is_not_an_outage(replica: "Replica", sql: str) -> None:
    with pytest.raises(Exception, match=r".+") as raised:
        async with replica.database.transaction() as session:
            await session.fetch(sql)
    assert not isinstance(raised.value, DatabaseUnavailable)
    async with asyncio.timeout(60):  # a busy machine may take longer to answer than is_alive waits
        while not await replica.database.is_alive():
            pass  # each takes its time


async def test_a_value_that_the_database_cannot_hold_is_not_an_outage(replica: "Replica") -> None:
    with pytest.raises(Exception, match=r".+") as raised:
        async with replica.database.session() as session:
            await session.fetch("SELECT life FROM room WHERE life = $1", 2**70)
    assert not isinstance(raised.value, DatabaseUnavailable)

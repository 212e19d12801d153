"""The highest sequences of the log, on SQLite and on PostgreSQL."""

import asyncio
from typing import TYPE_CHECKING

from rooms.domain.log_position import MARGIN, LogPosition, Resumption
from rooms.domain.rooms import RoomPolicy

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import MakeReplica, Replica

LARGEST = 2**53 - 1


async def test_nothing_is_remembered_of_a_partition_that_nobody_told_of(replica: "Replica") -> None:
    await replica.log.remember({})
    assert await replica.log.resume(0, 0, behind=0) == Resumption(LogPosition(0), 0)


async def test_the_highest_sequence_of_each_partition_is_remembered_and_never_lowered(replica: "Replica") -> None:
    await replica.log.remember({0: 7, 255: LARGEST})
    await replica.log.remember({0: 5, 255: 1})
    assert await replica.log.resume(0, 6, behind=0) == Resumption(LogPosition(7), 0)
    assert await replica.log.resume(0, 8, behind=0) == Resumption(LogPosition(8), 0)
    assert await replica.log.resume(255, 0, behind=0) == Resumption(LogPosition(LARGEST), 0)
    assert await replica.log.resume(1, 0, behind=0) == Resumption(LogPosition(0), 0)


async def test_where_a_stream_goes_on_is_decided_once(replica: "Replica") -> None:
    await replica.log.remember({0: 100})
    raised = 100 + MARGIN
    decided = Resumption(LogPosition(raised, raised), raised + 1)
    assert await replica.log.resume(0, 90, behind=100) == decided
    assert await replica.log.resume(0, 120, behind=100) == Resumption(decided.position, 0)
    assert await replica.log.resume(0, 0, behind=raised) == decided


async def test_replicas_that_decide_at_the_same_time_decide_one_thing(
    fresh_postgres: str, make_replica: "MakeReplica"
) -> None:
    replicas = [await make_replica(fresh_postgres, RoomPolicy()) for _ in range(2)]
    await replicas[0].log.remember({0: 100})
    asked = [replica.log.resume(0, number, behind=100) for number in range(5) for replica in replicas]
    answers = await asyncio.gather(*asked)
    assert sorted({answer.purge_to for answer in answers}) == [0, 100 + MARGIN + 1]
    assert {answer.position.highest for answer in answers} == {100 + MARGIN}

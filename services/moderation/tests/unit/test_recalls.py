"""Having back what was lent: api/grpc/recalls.py, with a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moderation.api.grpc.recalls import Recalls
from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.lending import Lending, Lessee
from moderation.domain.people import Rank, Speaker
from moderation.domain.policy import Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.sanction_cache import SanctionCache
from salon.moderation.v1 import moderation_pb2 as pb

ANA = MessageCheck(Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1"), "live", 1, "")
ANA_KEY = pb.SpeakerKey(user_id=5)


class Replica:
    """What recalls are of, and what is written to workers."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.lending, self.policies = Lending(), PolicyCache()
        limits = Limits(10, 10, 100)
        admission = Admission(limits, SanctionCache(), LastSeenBuffer(), self.policies)
        self.recalls = Recalls(self.lending, admission, self.now)
        self.judged: list[str] = []
        self.written: asyncio.Queue[pb.AdmitResponse] = asyncio.Queue()
        self.version = 0

    def now(self) -> Now:
        return Now(self.ms * 1_000_000, self.ms)

    def hear(self, worker: str) -> Lessee:
        return self.lending.lessee(worker, self.ms * 1_000_000)

    def lend(self, worker: str) -> Lessee:
        lessee = self.hear(worker)
        self.recalls.open(lessee, self.written.put)
        self.lending.note_message(5, lessee, self.ms * 1_000_000)
        assert self.lending.lend(ANA, lessee, self.ms * 1_000_000)
        return lessee

    def change(self) -> None:
        self.version += 1
        self.policies.apply(RoomPolicy("live", self.version, Policy(slow_mode_seconds=30)))

    async def told(self) -> pb.AdmitResponse:
        async with asyncio.timeout(30):
            return await self.written.get()

    def judge(self, name: str) -> Callable[[MessageCheck], None]:
        return lambda _: self.judged.append(name)


async def test_a_command_waits_for_a_worker_that_is_heard_and_does_not_answer_for_a_lease_at_most() -> None:
    """The recall went with the stream that it was said on, and the next one renews the lease."""
    replica = Replica()
    replica.lend("a")
    replica.change()
    settling = asyncio.create_task(replica.recalls.settle())
    await replica.told()
    async with asyncio.timeout(30):
        while not settling.done():
            replica.ms += 100
            replica.hear("a")
            await asyncio.sleep(0.01)


async def test_who_has_not_answered_is_asked_again_on_the_next_stream() -> None:
    replica = Replica()
    lessee = replica.lend("a")
    replica.change()
    recall = await replica.told()
    replica.recalls.close(lessee, replica.written.put)
    replica.recalls.open(lessee, replica.written.put)
    assert await replica.told() == recall == pb.AdmitResponse(recalled_all=1)
    replica.recalls.returned(lessee, [], 1)
    replica.recalls.close(lessee, replica.written.put)
    replica.recalls.open(lessee, replica.written.put)
    await asyncio.sleep(0)
    assert replica.written.empty()


async def test_what_another_worker_had_admitted_is_recalled_for_until_it_is_returned() -> None:
    replica = Replica()
    first, second = replica.lend("a"), replica.hear("b")
    replica.recalls.recall(5, first)
    replica.recalls.recall(6, second)
    replica.recalls.recall(5, second)
    replica.recalls.recall(5, second)
    assert await replica.told() == pb.AdmitResponse(recalled=[ANA_KEY])
    assert replica.written.empty()
    assert await replica.told() == pb.AdmitResponse(recalled=[ANA_KEY])
    replica.recalls.returned(first, [5], 0)
    assert replica.lending.holder(5, second, replica.ms * 1_000_000) is None
    assert not replica.recalls.sets_aside(ANA, second, replica.judge("b"))
    await replica.recalls.stop()


async def test_what_was_set_aside_disturbs_from_when_it_is_judged() -> None:
    replica = Replica()
    first, second = replica.lend("a"), replica.hear("b")
    replica.lending.note_message(5, second, replica.ms * 1_000_000)
    assert replica.recalls.sets_aside(ANA, second, replica.judge("b"))
    replica.lending.note_message(5, first, replica.ms * 1_000_000)
    replica.ms += 900
    replica.recalls.returned(first, [5], 0)
    assert replica.judged == ["b"]
    replica.ms += 109_999
    first = replica.hear("a")
    replica.lending.note_message(5, first, replica.ms * 1_000_000)
    assert not replica.lending.lend(ANA, first, replica.ms * 1_000_000)
    replica.ms += 1
    assert replica.lending.lend(ANA, first, replica.ms * 1_000_000)

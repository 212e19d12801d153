"""Windows that are lent to edge workers, and had back, over real streams of one replica with a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
import pytest

from chassis.nats_connection import NatsSettings
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.domain.admission import Now
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc, policy_pb2

pytestmark = pytest.mark.integration

ADMITTED = pb.Verdict.DECISION_ADMITTED
REPEATED = pb.Verdict.DECISION_REPEATED
RATE_LIMITED = pb.Verdict.DECISION_RATE_LIMITED
SANCTIONED = pb.Verdict.DECISION_SANCTIONED
ANA_KEY = pb.SpeakerKey(user_id=5)


class Nats(Protocol):
    url: str


class Clock:
    """Time stands still until told."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now(self) -> Now:
        return Now(self.ms * 1_000_000, self.ms)


def user(user_id: int = 5, rank: pb.Rank.ValueType = pb.RANK_USER) -> pb.Speaker:
    return pb.Speaker(
        user_id=user_id, username=f"user_{user_id}", address="10.0.0.5", rank=rank, connection=f"e:{user_id}"
    )


ANA, BEA, MODERATOR, ADMIN = user(), user(6), user(2, pb.RANK_MODERATOR), user(1, pb.RANK_ADMIN)


class Worker:
    """An edge worker by hand: what it is told is kept until somebody waits for it."""

    def __init__(self, stub: pb_grpc.ModerationServiceAsyncStub, name: str) -> None:
        self.stub, self.name = stub, name
        self.answers: asyncio.Queue[int] = asyncio.Queue()
        self.verdicts: dict[int, asyncio.Future[pb.Verdict]] = {}
        self.recalled: asyncio.Queue[pb.SpeakerKey | int] = asyncio.Queue()
        self.numbers = iter(range(1, 1000))

    async def run(self, opened: asyncio.Event) -> None:
        self.stream: Any = self.stub.Admit()
        await self.stream.read()
        opened.set()
        while isinstance(response := await self.stream.read(), pb.AdmitResponse):
            if response.heard_ms:
                self.answers.put_nowait(response.heard_ms)
            for verdict in response.verdicts:
                self.verdicts[verdict.id].set_result(verdict)
            for key in response.recalled:
                self.recalled.put_nowait(key)
            if response.recalled_all:
                self.recalled.put_nowait(response.recalled_all)

    async def tell(self, **fields: Any) -> None:
        """And wait until it was heard."""
        await self.stream.write(pb.AdmitRequest(worker=self.name, sent_ms=77, **fields))
        async with asyncio.timeout(60):
            assert await self.answers.get() == 77

    async def ask(self, *speakers: pb.Speaker, nonce: str = "", slug: str = "live") -> list[asyncio.Future[pb.Verdict]]:
        checks = [
            pb.MessageCheck(id=next(self.numbers), speaker=who, slug=slug, life=1, nonce=nonce, text="hi")
            for who in speakers
        ]
        asked = [asyncio.get_running_loop().create_future() for _ in checks]
        self.verdicts |= {check.id: answer for check, answer in zip(checks, asked, strict=True)}
        await self.tell(messages=checks)
        return asked

    async def say(self, who: pb.Speaker = ANA, **fields: str) -> pb.Verdict:
        (asked,) = await self.ask(who, **fields)
        async with asyncio.timeout(60):
            return await asked

    async def report(self, lent: int, count: int = 1, *, nonce: str = "", **fields: Any) -> None:
        said = [pb.AdmittedMessage(lent=lent, id=next(self.numbers), text="hi", nonce=nonce) for _ in range(count)]
        await self.tell(admitted=said, **fields)

    async def is_asked_back(self) -> pb.SpeakerKey | int:
        async with asyncio.timeout(60):
            return await self.recalled.get()


class Replica:
    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = pb_grpc.ModerationServiceStub(self._channel)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def worker(self, name: str) -> Worker:
        worker, opened = Worker(self.stub, name), asyncio.Event()
        self._running[name] = asyncio.create_task(worker.run(opened))
        async with asyncio.timeout(60):
            await opened.wait()
        return worker

    async def end(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def stop(self) -> None:
        for name in list(self._running):
            await self.end(name)
        await self._channel.close()

    async def mute(self) -> pb.ActResponse:
        request = pb.ActRequest(
            moderator=MODERATOR, action=pb.ACTION_MUTE, scope=pb.SCOPE_ROOM, slug="live", target_user_id=5
        )
        return await self.stub.Act(request, timeout=60)

    async def slow_down(self, slug: str = "live") -> None:
        change = policy_pb2.PolicyChanges(slow_mode_seconds=30)
        request = pb.ExecuteRequest(actor=ADMIN, slug=slug, log=pb.LogRef(room_id=1, life=1), change_policy=change)
        answer = await self.stub.Execute(request, timeout=60)
        assert answer.outcome == pb.ExecuteResponse.OUTCOME_DONE, answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def replica(nats_server: Nats, migrated_folder: Path, clock: Clock) -> AsyncIterator[Replica]:
    config = Config(port=0, database_url=f"sqlite://{migrated_folder}/m.sqlite3", nats=NatsSettings(nats_server.url))
    async with serving(config, clock=clock.now) as port:
        replica = Replica(port)
        yield replica
        await replica.stop()


async def test_who_speaks_through_one_worker_is_lent_the_window_with_the_first_message(replica: Replica) -> None:
    first = await replica.worker("w1")
    verdict = await first.say()
    assert (verdict.decision, verdict.lent > 0) == (ADMITTED, True)
    assert (await first.say(BEA)).lent not in (0, verdict.lent)


async def test_a_worker_of_before_is_lent_nothing(replica: Replica) -> None:
    stream: Any = replica.stub.Admit()
    await stream.read()
    await stream.write(pb.AdmitRequest(messages=[pb.MessageCheck(id=1, speaker=ANA, slug="live", life=1)]))
    assert (await stream.read()).verdicts == [pb.Verdict(id=1, decision=ADMITTED)]
    stream.cancel()


async def test_what_is_reported_counts_before_what_is_asked_with_it(replica: Replica) -> None:
    first = await replica.worker("w1")
    lent = (await first.say()).lent
    await first.report(lent, 9, nonce="n")
    assert (await first.say(nonce="n")).decision == REPEATED
    assert (await first.say()).decision == RATE_LIMITED


async def test_another_worker_is_answered_once_the_window_is_returned_with_what_was_admitted(replica: Replica) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    lent = (await first.say()).lent
    waiting, free = await second.ask(ANA, BEA)
    async with asyncio.timeout(60):
        assert (await free).lent
    assert await first.is_asked_back() == ANA_KEY
    assert not waiting.done()
    await first.report(lent, 8, returned=[ANA_KEY])
    async with asyncio.timeout(60):
        assert await waiting == pb.Verdict(id=1, decision=ADMITTED)
    assert (await second.say()).decision == RATE_LIMITED


async def test_what_one_author_says_meanwhile_is_answered_in_its_order(replica: Replica) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    await first.say()
    told: list[int] = []
    asked = [*await second.ask(ANA, ANA), *await second.ask(ANA)]
    for number, one in enumerate(asked):
        one.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
    await first.is_asked_back()
    await first.tell(returned=[ANA_KEY])
    async with asyncio.timeout(60):
        await asyncio.gather(*asked)
    assert told == [0, 1, 2]


async def test_a_worker_that_is_gone_is_waited_for_until_its_lease_is_over(replica: Replica, clock: Clock) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    await first.say()
    await replica.end("w1")
    (waiting,) = await second.ask(ANA)
    clock.ms += 999
    await second.say(BEA)
    assert not waiting.done()
    clock.ms += 1
    async with asyncio.timeout(60):
        assert (await waiting).decision == ADMITTED


async def test_a_worker_that_opens_another_stream_does_not_wait_for_itself(replica: Replica) -> None:
    first = await replica.worker("w1")
    await first.say()
    await replica.end("w1")
    again = await replica.worker("w1")
    assert (await again.say()).lent


async def test_who_spoke_through_another_worker_is_lent_nothing_until_it_cannot_matter(
    replica: Replica, clock: Clock
) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    lent = (await first.say()).lent
    await first.report(lent, returned=[ANA_KEY])
    assert not (await second.say()).lent
    clock.ms += 109_999
    assert not (await second.say()).lent
    clock.ms += 1
    assert (await second.say()).lent


async def test_what_another_worker_carries_disturbs_as_well(replica: Replica) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    await first.say()
    carried = pb.CarriedAdmission(speaker=ANA, age_ms=5_000, life=1, nonce="n", counts=True)
    await second.tell(carried=[carried])
    await first.tell(returned=[ANA_KEY])
    assert not (await first.say()).lent


async def test_a_mute_is_answered_once_no_worker_admits_the_muted_any_more(replica: Replica) -> None:
    first = await replica.worker("w1")
    lent = (await first.say()).lent
    muting = asyncio.create_task(replica.mute())
    change = await first.is_asked_back()
    assert not muting.done()
    await first.report(lent, returned_all=change)
    async with asyncio.timeout(60):
        assert (await muting).permitted
    assert (await first.say()).decision == SANCTIONED
    assert (await first.say(BEA)).lent


async def test_a_mute_waits_for_a_worker_that_does_not_answer_until_its_lease_is_over(
    replica: Replica, clock: Clock
) -> None:
    first = await replica.worker("w1")
    await first.say()
    muting = asyncio.create_task(replica.mute())
    await first.is_asked_back()
    assert not muting.done()
    clock.ms += 1_000
    async with asyncio.timeout(60):
        assert (await muting).permitted


async def test_what_is_lent_after_a_change_is_not_taken_for_returned_by_the_answer_to_it(replica: Replica) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    await first.say()
    muting = asyncio.create_task(replica.mute())
    change = await first.is_asked_back()
    assert (await first.say(BEA)).lent  # asked before the worker heard of the change
    await first.tell(returned_all=change)
    async with asyncio.timeout(60):
        await muting
    (waiting,) = await second.ask(BEA)
    assert await first.is_asked_back() == pb.SpeakerKey(user_id=6)
    assert not waiting.done()


async def test_where_a_policy_asks_for_anything_nothing_is_lent(replica: Replica) -> None:
    first = await replica.worker("w1")
    await replica.slow_down()
    assert not (await first.say()).lent
    assert (await first.say(BEA, slug="elsewhere")).lent


async def test_what_another_worker_carries_is_counted_by_nobody_who_does_not_know_of_it(replica: Replica) -> None:
    """It admitted that when another replica was the home of its author, and tells it late."""
    first, second = await replica.worker("w1"), await replica.worker("w2")
    lent = (await first.say()).lent
    carried = [pb.CarriedAdmission(speaker=ANA, age_ms=5_000, life=1, counts=True, id=1_000 + n) for n in range(8)]
    await second.tell(carried=carried)
    assert await first.is_asked_back() == ANA_KEY
    await first.report(lent, returned=[ANA_KEY])
    assert (await first.say()).decision == RATE_LIMITED


async def test_what_is_asked_about_another_face_of_an_author_counts_for_an_address_that_is_lent(
    replica: Replica,
) -> None:
    """The worker does not count it."""
    guest = pb.Speaker(username="Anonymous_10.0.0.9", address="10.0.0.9", rank=pb.RANK_ANONYMOUS, connection="e:9")
    worker = await replica.worker("w1")
    assert (await worker.say(guest)).lent
    here = pb.MessageCheck(id=500, speaker=guest, slug="live", life=1, without_policy=True)
    here.speaker.connection = "e:10"
    answer = worker.verdicts[500] = asyncio.get_running_loop().create_future()
    await worker.tell(messages=[here])
    assert await worker.is_asked_back() == pb.SpeakerKey(address="10.0.0.9")
    assert not answer.done()
    await worker.tell(returned=[pb.SpeakerKey(address="10.0.0.9")])
    async with asyncio.timeout(60):
        assert (await answer).decision == ADMITTED
    assert not (await worker.say(guest)).lent


async def test_a_stream_that_finishes_is_told_first_what_waits_for_a_window(replica: Replica) -> None:
    first, second = await replica.worker("w1"), await replica.worker("w2")
    await first.say()
    (waiting,) = await second.ask(ANA)
    await first.is_asked_back()
    await second.stream.done_writing()
    await first.tell(returned=[ANA_KEY])
    async with asyncio.timeout(60):
        assert (await waiting).decision == ADMITTED

"""What the moderation adapter does with windows that a replica lends, against a replica by hand."""

# ruff: noqa: N802 - gRPC names its methods so

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest

from salon.moderation.v1 import moderation_pb2 as pb
from salon.moderation.v1.moderation_pb2_grpc import (
    ModerationServiceServicer,
    add_ModerationServiceServicer_to_server,
)
from ws_edge.adapters.grpc import lent_windows
from ws_edge.adapters.grpc.moderation import GrpcModeration
from ws_edge.ports import Decision, Verdict
from ws_edge.protocol.identity import Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef

pytestmark = pytest.mark.integration

SLUG, LIFE = Slug("live"), Life(2)
LOG = LogRef(RoomId(1), LIFE, 3)
WORKER = "w" * 32
ANA = Speaker(Identity(UserId(5), "ana", None, (), Rank.USER, None), "10.0.0.1", "e:1")
ANA_ELSEWHERE = Speaker(Identity(UserId(5), "ana", None, (), Rank.USER, None), "10.0.0.1", "e:2")
BEA = Speaker(Identity(UserId(6), "bea", None, (), Rank.USER, None), "10.0.0.1", "e:3")
ANONYMOUS = Speaker(Identity(None, "Anonymous_10.0.0.9", None, (), Rank.ANONYMOUS, None), "10.0.0.9", "e:4")
ANA_KEY = pb.SpeakerKey(user_id=5)


class Lender(ModerationServiceServicer):
    """Admits everybody and lends everything."""

    def __init__(self) -> None:
        self.requests: list[pb.AdmitRequest] = []
        self.news = asyncio.Event()
        self.is_heard = True
        """False: leases are renewed no more."""
        self.lends = True
        self.told: asyncio.Queue[pb.AdmitResponse] = asyncio.Queue()

    async def Admit(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        await context.write(pb.AdmitResponse(limits=pb.Limits(messages_per_window=9, window_ms=9_000)))
        writing = asyncio.Lock()
        telling = asyncio.create_task(self._tell(context, writing))
        while isinstance(request := await context.read(), pb.AdmitRequest):
            self.requests.append(request)
            self.news.set()
            answer = pb.AdmitResponse(heard_ms=request.sent_ms if self.is_heard else 0)
            for check in request.messages:
                lent = check.id + 1_000 if self.lends else 0
                answer.verdicts.add(id=check.id, decision=pb.Verdict.DECISION_ADMITTED, lent=lent)
            async with writing:
                await context.write(answer)
        telling.cancel()

    async def _tell(self, context: Any, writing: asyncio.Lock) -> None:
        while True:
            told = await self.told.get()
            async with writing:
                await context.write(told)

    async def hears(self, is_enough: Callable[[pb.AdmitRequest], bool]) -> pb.AdmitRequest:
        """The first request of that kind."""
        async with asyncio.timeout(30):
            while not any(map(is_enough, self.requests)):
                self.news.clear()
                await self.news.wait()
        return next(filter(is_enough, self.requests))


@pytest.fixture
async def lender() -> AsyncIterator[Lender]:
    server, lender = grpc.aio.server(), Lender()  # type: ignore[abstract]  # the rest is not called
    add_ModerationServiceServicer_to_server(lender, server)
    lender.port = server.add_insecure_port("127.0.0.1:0")  # type: ignore[attr-defined]
    await server.start()
    yield lender
    await server.stop(None)


@pytest.fixture
async def moderation(lender: Lender) -> AsyncIterator[GrpcModeration]:
    moderation = GrpcModeration([f"127.0.0.1:{lender.port}"], worker=WORKER)  # type: ignore[attr-defined]
    await moderation.start()
    await eventually(lambda: moderation.is_connected)
    yield moderation
    await moderation.stop()


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for here announces itself to nobody
            await asyncio.sleep(0.005)


async def ask(moderation: GrpcModeration, who: Speaker) -> Verdict:
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    moderation.admit(who, SLUG, LOG, "", answer.set_result, text="hi")
    async with asyncio.timeout(30):
        return await answer


async def test_what_a_connection_says_after_a_message_that_was_lent_is_reported_and_not_asked(
    lender: Lender, moderation: GrpcModeration
) -> None:
    assert not moderation.has_lent(ANA, LIFE)
    first = await ask(moderation, ANA)
    assert first.decision is Decision.ADMITTED
    assert moderation.has_lent(ANA, LIFE)
    numbers = [moderation.report_admitted(ANA, LIFE, nonce, "ho") for nonce in ("", "n-1")]
    reported = await lender.hears(lambda request: len(request.admitted) > 0)
    lent = first.number + 1_000
    assert list(reported.admitted) == [
        pb.AdmittedMessage(lent=lent, id=numbers[0], text="ho"),
        pb.AdmittedMessage(lent=lent, id=numbers[1], text="ho", nonce="n-1"),
    ]
    assert (reported.worker, reported.sent_ms > 0) == (WORKER, True)
    assert len({first.number, *numbers}) == 3


async def test_who_was_not_admitted_since_asks(moderation: GrpcModeration) -> None:
    await ask(moderation, ANA)
    assert not moderation.has_lent(ANA_ELSEWHERE, LIFE)
    assert not moderation.has_lent(ANA, Life(3))
    assert not moderation.has_lent(BEA, LIFE)


async def test_while_something_of_a_speaker_is_asked_the_rest_follows_it(moderation: GrpcModeration) -> None:
    await ask(moderation, ANA)
    asked = asyncio.ensure_future(ask(moderation, ANA_ELSEWHERE))
    await asyncio.sleep(0)
    assert not moderation.has_lent(ANA, LIFE)
    await asked
    assert moderation.has_lent(ANA, LIFE)
    assert moderation.has_lent(ANA_ELSEWHERE, LIFE)


async def test_what_is_reported_is_heard_before_what_is_asked_or_released_next(
    lender: Lender, moderation: GrpcModeration
) -> None:
    await ask(moderation, ANA)
    number = moderation.report_admitted(ANA, LIFE, "", "ho")
    moderation.release(ANA, SLUG, LIFE, "", number)
    await ask(moderation, BEA)
    kinds = [
        kind for request in lender.requests for kind in ("admitted", "released", "messages") if getattr(request, kind)
    ]
    assert kinds == ["messages", "admitted", "released", "messages"]


async def test_what_is_recalled_is_returned_behind_what_was_admitted(
    lender: Lender, moderation: GrpcModeration
) -> None:
    await ask(moderation, ANA)
    await ask(moderation, ANONYMOUS)
    moderation.report_admitted(ANA, LIFE, "", "ho")
    lender.told.put_nowait(pb.AdmitResponse(recalled=[ANA_KEY]))
    returned = await lender.hears(lambda request: len(request.returned) > 0)
    assert list(returned.returned) == [ANA_KEY]
    assert sum(len(request.admitted) for request in lender.requests) == 1
    assert not moderation.has_lent(ANA, LIFE)
    assert moderation.has_lent(ANONYMOUS, LIFE)
    lender.told.put_nowait(pb.AdmitResponse(recalled=[pb.SpeakerKey(address="10.0.0.9")]))
    await lender.hears(lambda request: list(request.returned) == [pb.SpeakerKey(address="10.0.0.9")])
    assert not moderation.has_lent(ANONYMOUS, LIFE)


async def test_where_something_changed_all_is_returned_under_its_number(
    lender: Lender, moderation: GrpcModeration
) -> None:
    await ask(moderation, ANA)
    await ask(moderation, BEA)
    lender.told.put_nowait(pb.AdmitResponse(recalled_all=7))
    await lender.hears(lambda request: request.returned_all == 7)
    assert not moderation.has_lent(ANA, LIFE)
    assert not moderation.has_lent(BEA, LIFE)
    await ask(moderation, ANA)
    assert moderation.has_lent(ANA, LIFE)


async def test_a_lease_is_renewed_while_nothing_is_said(lender: Lender, moderation: GrpcModeration) -> None:
    await ask(moderation, ANA)
    await lender.hears(lambda request: not request.messages and request.sent_ms > 0)
    assert moderation.has_lent(ANA, LIFE)


async def test_a_lease_that_is_not_renewed_ends_and_comes_back_for_nobody(
    lender: Lender, moderation: GrpcModeration
) -> None:
    await ask(moderation, ANA)
    lender.is_heard = False
    await eventually(lambda: not moderation.has_lent(ANA, LIFE))
    lender.is_heard = True
    await ask(moderation, BEA)
    assert moderation.has_lent(BEA, LIFE)
    assert not moderation.has_lent(ANA, LIFE)


async def test_the_window_of_who_is_quiet_is_returned(
    lender: Lender, moderation: GrpcModeration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_windows, "_QUIET_S", 0.0)
    await ask(moderation, ANA)
    await lender.hears(lambda request: list(request.returned) == [ANA_KEY])
    assert not moderation.has_lent(ANA, LIFE)


async def test_what_was_not_lent_is_asked_about(lender: Lender, moderation: GrpcModeration) -> None:
    lender.lends = False
    await ask(moderation, ANA)
    assert not moderation.has_lent(ANA, LIFE)


async def test_a_stream_that_ends_takes_what_it_lent_with_it_and_carries_what_was_admitted(
    lender: Lender, moderation: GrpcModeration
) -> None:
    await ask(moderation, ANA)
    number = moderation.report_admitted(ANA, LIFE, "n-1", "ho")
    (stream,) = moderation._up.values()
    stream._give_up("a test")
    assert not moderation.has_lent(ANA, LIFE)
    carried = await lender.hears(lambda request: len(request.carried) > 0)
    assert (number, "n-1") in [(one.id, one.nonce) for one in carried.carried]

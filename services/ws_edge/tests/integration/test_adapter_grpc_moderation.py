"""The moderation adapter against replicas by hand."""

# ruff: noqa: N802 - gRPC names its methods so

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest
import structlog
from msgspec import structs

from chassis.logs import LogSummary
from chassis.traces import hold_trace, read_trace
from salon.moderation.v1 import moderation_pb2 as pb
from salon.moderation.v1.moderation_pb2_grpc import (
    ModerationServiceServicer,
    add_ModerationServiceServicer_to_server,
)
from tools.ports import held_port
from ws_edge.adapters.grpc import admission_stream, convert, moderation as moderation_module
from ws_edge.adapters.grpc.homes import choose
from ws_edge.adapters.grpc.moderation import GrpcModeration
from ws_edge.errors import ModerationUnavailable
from ws_edge.ports import (
    AdmissionLimits,
    CommandRefusal,
    CommandRequest,
    CommandResult,
    Decision,
    InForce,
    ReportAnswer,
    ReportOutcome,
    Verdict,
    WarningStep,
)
from ws_edge.protocol.commands import ChangeSanction, ClearRoom, Command, DeleteMessage, PurgeMessages, Report, Target
from ws_edge.protocol.feed import FeedState
from ws_edge.protocol.identity import AnonymousNames, Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.sanctions import Action, BanNotice, Sanction, SanctionEvent, Scope
from ws_edge.protocol.warnings import RoomWarning

pytestmark = pytest.mark.integration

EDGE = "e" * 32
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SLUG, LIFE = Slug("live"), Life(2)
LOG = LogRef(RoomId(1), LIFE, 3)
ADMITTED, UNAVAILABLE = Verdict(Decision.ADMITTED), Verdict(Decision.UNAVAILABLE)
LIMITS = pb.Limits(messages_per_window=3, window_ms=5_000, messages_per_address=30)


class FakeModeration(ModerationServiceServicer):
    """Admits everybody, or decides by slug, and writes down what it is asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.news = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.slow_rooms: set[str] = set()
        self.late_rooms: set[str] = set()
        """Whose verdicts come later, in an answer of their own, once they may be told."""
        self.may_tell_late = asyncio.Event()
        self.decisions: dict[str, tuple[Any, int]] = {}
        self.act: pb.ActResponse = pb.ActResponse()
        self.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_PERMITTED)
        self.knows_commands = True
        self.revocations: list[pb.TokenRevocation] | grpc.StatusCode | None = []
        """None: the service is one of before; a status: it cannot say."""
        self.sanctions: list[pb.Sanction] = []
        self.streams = 0
        self.feed_requests: list[Any] = []
        self.feed_refusal: grpc.StatusCode | None = None
        self.traces: list[str | None] = []

    def _take(self, request: Any) -> None:
        self.requests.append(request)
        self.news.set()

    def _note_trace(self, context: Any) -> None:
        self.traces.append(dict(context.invocation_metadata()).get("traceparent"))

    def asked(self) -> list[pb.MessageCheck]:
        return [check for r in self.requests if isinstance(r, pb.AdmitRequest) for check in r.messages]

    def asked_for_sanctions(self) -> bool:
        return any(isinstance(request, pb.ListActiveRequest) for request in self.requests)

    def released(self) -> list[pb.ReleasedAdmission]:
        return [released for r in self.requests if isinstance(r, pb.AdmitRequest) for released in r.released]

    def carried(self) -> list[pb.CarriedAdmission]:
        return [c for r in self.requests if isinstance(r, pb.AdmitRequest) for c in r.carried]

    async def hears(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_enough():
                self.news.clear()
                await self.news.wait()

    async def Admit(self, requests: Any, context: Any) -> AsyncIterator[pb.AdmitResponse]:
        self._note_trace(context)
        self.streams += 1
        yield pb.AdmitResponse(limits=LIMITS)
        async for request in requests:
            self._take(request)
            await self.may_answer.wait()
            answer, late = pb.AdmitResponse(), pb.AdmitResponse()
            for check in [*request.checks, *request.messages]:
                decision, retry_after_ms = self.decisions.get(check.slug, (pb.Verdict.DECISION_ADMITTED, 0))
                into = late if check.slug in self.late_rooms else answer
                into.verdicts.add(
                    id=check.id,
                    decision=decision,
                    retry_after_ms=retry_after_ms,
                    holds_place=check.slug in self.slow_rooms and isinstance(check, pb.MessageCheck),
                )
            yield answer
            if late.verdicts:
                await self.may_tell_late.wait()
                yield late

    async def Act(self, request: pb.ActRequest, context: Any) -> pb.ActResponse:
        self._take(request)
        return self.act

    async def Execute(self, request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:
        self._note_trace(context)
        if not self.knows_commands:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        self._take(request)
        await self.may_answer.wait()
        return self.executed

    async def ListActive(self, request: pb.ListActiveRequest, context: Any) -> pb.ListActiveResponse:
        self._note_trace(context)
        self._take(request)
        await self.may_answer.wait()
        return pb.ListActiveResponse(sanctions=self.sanctions)

    async def ListRevocations(self, request: pb.ListRevocationsRequest, context: Any) -> pb.ListRevocationsResponse:
        self._take(request)
        if isinstance(self.revocations, list):
            return pb.ListRevocationsResponse(revocations=self.revocations)
        await context.abort(self.revocations or grpc.StatusCode.UNIMPLEMENTED, "not now")
        raise AssertionError("aborted")

    async def ListRules(self, request: pb.ListRulesRequest, context: Any) -> pb.ListRulesResponse:
        raise AssertionError("no edge asks for rules")

    async def TestText(self, request: pb.TestTextRequest, context: Any) -> pb.TestTextResponse:
        raise AssertionError("no edge tries texts")

    async def ListRuleHits(self, request: pb.ListRuleHitsRequest, context: Any) -> pb.ListRuleHitsResponse:
        raise AssertionError("no edge asks for hits")

    async def OpenFeed(self, request: pb.OpenFeedRequest, context: Any) -> pb.OpenFeedResponse:
        self.feed_requests.append(request)
        if self.feed_refusal is not None:
            await context.abort(self.feed_refusal, "")
        return pb.OpenFeedResponse(event_id=7, recovered=True)

    async def ReadFeeds(self, request: pb.ReadFeedsRequest, context: Any) -> pb.ReadFeedsResponse:
        self.feed_requests.append(request)
        event = pb.FeedEvent(event_id=8, slug="x", kind="hold", data='{"hold_id":4}')
        return pb.ReadFeedsResponse(events=[event], up_to_id=9, more=True)

    async def ListSanctions(self, request: pb.ListSanctionsRequest, context: Any) -> pb.ListSanctionsResponse:
        raise AssertionError("no edge asks for the history")

    async def LiftSanction(self, request: pb.LiftSanctionRequest, context: Any) -> pb.LiftSanctionResponse:
        raise AssertionError("no edge lifts by id")

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:
        raise AssertionError("no edge reads the audit log")

    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Any) -> pb.VerifyAuditResponse:
        raise AssertionError("no edge checks it")

    async def ListUndoable(self, request: pb.ListUndoableRequest, context: Any) -> pb.ListUndoableResponse:
        raise AssertionError("an edge undoes one by one")

    async def ListHeld(self, request: pb.ListHeldRequest, context: Any) -> pb.ListHeldResponse:
        raise AssertionError("moderators read it through rooms")

    async def ListRoomRoles(self, request: pb.ListRoomRolesRequest, context: Any) -> pb.ListRoomRolesResponse:
        raise AssertionError("edges read roles with sanctions")

    async def ListReports(self, request: Any, context: Any) -> Any:
        raise AssertionError("no edge asks for reports")

    async def ListUnbanRequests(self, request: Any, context: Any) -> Any:
        raise AssertionError("no edge asks for unban requests")

    async def GetCase(self, request: Any, context: Any) -> Any:
        raise AssertionError("no edge asks for cases")

    async def FindSlug(self, request: Any, context: Any) -> Any:
        raise AssertionError("edges know their rooms")

    async def FindBan(self, request: pb.FindBanRequest, context: Any) -> pb.FindBanResponse:
        return pb.FindBanResponse(sanction_id=17, may_request_unban=request.speaker.user_id == 5)


class Replica:
    """A server that can go and come back on its port."""

    def __init__(self) -> None:
        self.moderation = FakeModeration()
        self.port = held_port()
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_ModerationServiceServicer_to_server(self.moderation, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for here announces itself to nobody
            await asyncio.sleep(0.005)


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    replicas = [Replica(), Replica()]
    for replica in replicas:
        await replica.start()
    yield replicas
    for replica in replicas:
        replica.moderation.may_answer.set()
        await replica.stop()


@pytest.fixture
async def moderation(replicas: list[Replica]) -> AsyncIterator[GrpcModeration]:
    moderation = GrpcModeration([replica.address for replica in replicas])
    await moderation.start()
    await eventually(lambda: len(moderation._up) == 2)
    yield moderation
    await moderation.stop()


def speaker(user_id: int | None = 5, *, connection: int = 1, address: str = "10.0.0.1") -> Speaker:
    if user_id is None:
        identity = Identity(None, f"Anonymous_{address}", None, (), Rank.ANONYMOUS, None)
    else:
        identity = Identity(UserId(user_id), "ana", None, (), Rank.USER, None)
    return Speaker(identity, address, f"{EDGE}:{connection}")


def home_of(who: Speaker, replicas: list[Replica]) -> Replica:
    address = choose(who.routing_key, [replica.address for replica in replicas])
    return next(replica for replica in replicas if replica.address == address)


def speaker_at(replica: Replica, replicas: list[Replica]) -> Speaker:
    """Somebody whose home is this replica."""
    return next(who for who in map(speaker, range(1, 1000)) if home_of(who, replicas) is replica)


class Verdicts:
    """Collects what `done` was called with, by name, the numbers of what was admitted apart."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Verdict]] = []
        self.numbers: dict[str, int] = {}
        self._news = asyncio.Event()

    def of(self, name: str) -> Callable[[Verdict], None]:
        def done(verdict: Verdict) -> None:
            self.heard.append((name, verdict._replace(number=0)))
            self.numbers[name] = verdict.number
            self._news.set()

        return done

    async def hears(self, count: int) -> list[tuple[str, Verdict]]:
        async with asyncio.timeout(30):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


async def test_a_message_is_asked_about_with_all_that_the_decision_needs(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    verdicts, who = Verdicts(), speaker(None, connection=9)
    moderation.admit(who, SLUG, LOG, "n-1", verdicts.of("a"))
    assert await verdicts.hears(1) == [("a", ADMITTED)]
    home = home_of(who, replicas)
    (check,) = home.moderation.asked()
    assert check == pb.MessageCheck(
        id=check.id,
        speaker=pb.Speaker(
            username="Anonymous_10.0.0.1", address="10.0.0.1", rank=pb.RANK_ANONYMOUS, connection=f"{EDGE}:9"
        ),
        slug="live",
        life=2,
        nonce="n-1",
        room_id=1,
        partition=3,
        text_elsewhere=choose(f"r:{SLUG}", [replica.address for replica in replicas]) != home.address,
    )


@pytest.mark.parametrize(
    ("decision", "retry_after_ms", "verdict"),
    [
        (pb.Verdict.DECISION_ADMITTED, 0, ADMITTED),
        (pb.Verdict.DECISION_REPEATED, 0, Verdict(Decision.REPEATED)),
        (pb.Verdict.DECISION_RATE_LIMITED, 1234, Verdict(Decision.RATE_LIMITED, 1234)),
        (pb.Verdict.DECISION_SANCTIONED, 0, Verdict(Decision.SANCTIONED)),
        (pb.Verdict.DECISION_SANCTIONED, 60_000, Verdict(Decision.SANCTIONED, 60_000)),
        (pb.Verdict.DECISION_UNSPECIFIED, 0, UNAVAILABLE),
        (99, 0, UNAVAILABLE),
    ],
)
async def test_every_decision_has_its_verdict(
    replicas: list[Replica], moderation: GrpcModeration, decision: Any, retry_after_ms: int, verdict: Verdict
) -> None:
    for replica in replicas:
        replica.moderation.decisions["live"] = (decision, retry_after_ms)
    verdicts = Verdicts()
    moderation.admit(speaker(), SLUG, LOG, "", verdicts.of("a"))
    assert await verdicts.hears(1) == [("a", verdict)]


async def test_what_comes_together_travels_together_and_is_answered_in_order(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    verdicts, who = Verdicts(), speaker()
    names = [str(number) for number in range(300)]
    for name in names:
        moderation.admit(who, SLUG, LOG, name, verdicts.of(name))
    assert await verdicts.hears(300) == [(name, ADMITTED) for name in names]
    asked = home_of(who, replicas).moderation
    assert [check.nonce for check in asked.asked()] == names
    assert len(asked.requests) == 1


async def test_what_comes_alone_waits_for_nothing_and_what_follows_it_is_gathered(
    replicas: list[Replica], moderation: GrpcModeration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_stream, "_GATHER_S", 5.0)
    monkeypatch.setattr(admission_stream, "_AT_REST_S", 3_600.0)
    verdicts, who = Verdicts(), speaker()
    asked = home_of(who, replicas).moderation
    moderation.admit(who, SLUG, LOG, "alone", verdicts.of("alone"))
    began = time.monotonic()
    await verdicts.hears(1)
    assert time.monotonic() - began < 5.0
    monkeypatch.setattr(admission_stream, "_GATHER_S", 0.1)
    for name in ("next", "after it"):
        moderation.admit(who, SLUG, LOG, name, verdicts.of(name))
        await asyncio.sleep(0)
    await verdicts.hears(3)
    assert [len(request.messages) for request in asked.requests if isinstance(request, pb.AdmitRequest)] == [1, 2]


async def test_a_verdict_that_comes_later_holds_up_no_other_one(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    verdicts, who = Verdicts(), speaker()
    late = home_of(who, replicas).moderation
    late.late_rooms.add("live")
    moderation.admit(who, SLUG, LOG, "", verdicts.of("late"))
    moderation.admit(who, Slug("other"), LOG, "", verdicts.of("other"))
    assert await verdicts.hears(1) == [("other", ADMITTED)]
    late.may_tell_late.set()
    assert await verdicts.hears(2) == [("other", ADMITTED), ("late", ADMITTED)]


async def test_everybody_is_asked_about_at_their_own_home(replicas: list[Replica], moderation: GrpcModeration) -> None:
    verdicts = Verdicts()
    for user_id in range(1, 41):
        moderation.admit(speaker(user_id), SLUG, LOG, "", verdicts.of("u"))
        moderation.admit(speaker(None, connection=user_id), SLUG, LOG, "", verdicts.of("a"))
    await verdicts.hears(80)
    for replica in replicas:
        users = {check.speaker.user_id for check in replica.moderation.asked()} - {0}
        assert users == {n for n in range(1, 41) if home_of(speaker(n), replicas) is replica}
    # All anonymous connections of one address share a home.
    assert {len([c for c in r.moderation.asked() if not c.speaker.user_id]) for r in replicas} == {0, 40}


async def test_the_limits_are_those_that_moderation_told(replicas: list[Replica]) -> None:
    moderation = GrpcModeration([replicas[0].address])
    assert moderation.limits == AdmissionLimits(10, 10.0, 100)
    await moderation.start()
    await eventually(lambda: moderation.is_connected)
    assert moderation.limits == AdmissionLimits(3, 5.0, 30)
    await moderation.stop()


async def test_without_any_replica_the_answer_is_unavailable_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_stream, "_VERDICT_DEADLINE_S", 60.0)
    monkeypatch.setattr(admission_stream, "_OPEN_DEADLINE_S", 60.0)
    moderation = GrpcModeration(["127.0.0.1:1"])
    await moderation.start()
    verdicts = Verdicts()
    for name in "abc":
        moderation.admit(speaker(), SLUG, LOG, "", verdicts.of(name))
    assert verdicts.heard == []
    assert await asyncio.wait_for(verdicts.hears(3), 20) == [(name, UNAVAILABLE) for name in "abc"]
    moderation.report_seen(speaker(), SLUG)
    with pytest.raises(ModerationUnavailable):
        await moderation.check_arrival(speaker(), SLUG, final=True)
    with pytest.raises(ModerationUnavailable):
        await moderation.active([SLUG])
    await moderation.stop()


async def test_when_a_replica_dies_its_questions_are_answered_in_order_and_the_next_takes_over(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    dying, next_one = replicas
    who, verdicts = speaker_at(dying, replicas), Verdicts()
    moderation.admit(who, SLUG, LOG, "before", verdicts.of("before"))
    await verdicts.hears(1)
    dying.moderation.may_answer.clear()
    for name in "abc":
        moderation.admit(who, SLUG, LOG, name, verdicts.of(name))
    await dying.moderation.hears(lambda: len(dying.moderation.asked()) == 4)
    arriving = asyncio.create_task(moderation.check_arrival(who, SLUG, final=True))
    await asyncio.sleep(0)
    await dying.stop()
    assert (await verdicts.hears(4))[1:] == [(name, UNAVAILABLE) for name in "abc"]
    with pytest.raises(ModerationUnavailable):
        await arriving
    moderation.admit(who, SLUG, LOG, "d", verdicts.of("d"))
    assert (await verdicts.hears(5))[-1] == ("d", ADMITTED)
    # The one that takes over has learnt, before, what was admitted elsewhere.
    told = next_one.moderation
    assert [(c.speaker.user_id, c.nonce, c.life, c.counts) for c in told.carried()] == [
        (who.identity.user_id, "before", 2, True)
    ]
    carried_at = next(i for i, r in enumerate(told.requests) if r.carried)
    assert carried_at <= next(i for i, r in enumerate(told.requests) if r.messages)


async def test_a_replica_that_comes_back_is_told_what_was_admitted_meanwhile_and_nobody_is_told_twice(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    restarting, other = replicas
    who, verdicts = speaker_at(restarting, replicas), Verdicts()
    moderation.admit(who, SLUG, LOG, "one", verdicts.of("one"))
    await verdicts.hears(1)
    await restarting.stop()
    await eventually(lambda: len(moderation._up) == 1)
    moderation.admit(who, SLUG, LOG, "two", verdicts.of("two"))
    await verdicts.hears(2)
    restarting.moderation = FakeModeration()
    await restarting.start()
    fresh = restarting.moderation
    await fresh.hears(lambda: len(fresh.carried()) == 2)
    assert [c.nonce for c in fresh.requests[0].carried] == ["one", "two"]
    assert all(0 <= c.age_ms < 5_000 for c in fresh.carried())
    moderation.admit(who, SLUG, LOG, "three", verdicts.of("three"))
    assert (await verdicts.hears(3))[2] == ("three", ADMITTED)
    await restarting.stop()
    await eventually(lambda: len(moderation._up) == 1)
    await other.moderation.hears(lambda: len(other.moderation.carried()) == 2)
    assert [c.nonce for c in other.moderation.carried()] == ["one", "three"]


async def test_what_the_edge_admitted_alone_is_carried_to_the_first_replica_that_comes_up(
    replicas: list[Replica],
) -> None:
    (replica, _), verdicts = replicas, Verdicts()
    await replica.stop()
    moderation = GrpcModeration([replica.address])
    await moderation.start()
    moderation.admit(speaker(), SLUG, LOG, "n", verdicts.of("a"))
    assert await verdicts.hears(1) == [("a", UNAVAILABLE)]
    moderation.note_admitted(speaker(), LIFE, "n")
    await replica.start()
    await replica.moderation.hears(lambda: len(replica.moderation.carried()) == 1)
    moderation.note_admitted(speaker(), LIFE, "late")
    await replica.moderation.hears(lambda: len(replica.moderation.carried()) == 2)
    assert [(c.nonce, c.counts) for c in replica.moderation.carried()] == [("n", True), ("late", True)]
    await moderation.stop()


async def test_a_replica_that_hangs_is_given_up_within_two_seconds(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    hanging, _ = replicas
    who, verdicts = speaker_at(hanging, replicas), Verdicts()
    hanging.moderation.may_answer.clear()
    asked_at_s = asyncio.get_running_loop().time()
    moderation.admit(who, SLUG, LOG, "a", verdicts.of("a"))
    assert await verdicts.hears(1) == [("a", UNAVAILABLE)]
    assert admission_stream._VERDICT_DEADLINE_S + admission_stream._LOOK_EVERY_S < 2.0
    assert 1.4 < asyncio.get_running_loop().time() - asked_at_s < 4  # and not never
    moderation.admit(who, SLUG, LOG, "b", verdicts.of("b"))
    assert (await verdicts.hears(2))[1] == ("b", ADMITTED)


async def test_what_is_asked_from_within_an_answer_comes_after_all_earlier_answers(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    dying, _ = replicas
    who, verdicts = speaker_at(dying, replicas), Verdicts()
    dying.moderation.may_answer.clear()

    def ask_again(verdict: Verdict) -> None:
        verdicts.of("a")(verdict)
        moderation.admit(who, SLUG, LOG, "c", verdicts.of("c"))

    moderation.admit(who, SLUG, LOG, "a", ask_again)
    moderation.admit(who, SLUG, LOG, "b", verdicts.of("b"))
    await dying.moderation.hears(lambda: len(dying.moderation.asked()) == 2)
    await dying.stop()
    assert await verdicts.hears(3) == [("a", UNAVAILABLE), ("b", UNAVAILABLE), ("c", UNAVAILABLE)]


async def test_a_speaker_stays_with_the_replica_that_still_owes_an_answer(replicas: list[Replica]) -> None:
    late, first = replicas
    who, verdicts = speaker_at(late, replicas), Verdicts()
    await late.stop()
    moderation = GrpcModeration([replica.address for replica in replicas])
    await moderation.start()
    await eventually(lambda: moderation.is_connected)
    first.moderation.may_answer.clear()
    moderation.admit(who, SLUG, LOG, "a", verdicts.of("a"))
    await first.moderation.hears(lambda: len(first.moderation.asked()) == 1)
    await late.start()
    await eventually(lambda: len(moderation._up) == 2)
    moderation.admit(who, SLUG, LOG, "b", verdicts.of("b"))
    first.moderation.may_answer.set()
    assert await verdicts.hears(2) == [("a", ADMITTED), ("b", ADMITTED)]
    assert [c.nonce for c in first.moderation.asked()] == ["a", "b"]
    # What was admitted there after the home had moved is told to the new home.
    await late.moderation.hears(lambda: len(late.moderation.carried()) == 2)
    moderation.admit(who, SLUG, LOG, "c", verdicts.of("c"))
    await verdicts.hears(3)
    assert [c.nonce for c in late.moderation.asked()] == ["c"]
    await moderation.stop()


async def test_a_mistake_in_one_callback_does_not_take_the_others_verdicts(moderation: GrpcModeration) -> None:
    verdicts, who = Verdicts(), speaker()

    def fail(verdict: Verdict) -> None:
        raise RuntimeError("a mistake")

    moderation.admit(who, SLUG, LOG, "", fail)
    moderation.admit(who, SLUG, LOG, "", verdicts.of("b"))
    assert await verdicts.hears(1) == [("b", ADMITTED)]
    assert moderation._speaking == {}


async def test_an_arrival_is_checked_on_the_stream(replicas: list[Replica], moderation: GrpcModeration) -> None:
    for replica in replicas:
        replica.moderation.decisions["banned"] = (pb.Verdict.DECISION_SANCTIONED, 0)
    assert await moderation.check_arrival(speaker(), SLUG, final=False)
    assert not await moderation.check_arrival(speaker(), Slug("banned"), final=True)
    checks = [check for r in home_of(speaker(), replicas).moderation.requests for check in r.checks]
    assert [(c.slug, c.final, c.speaker.user_id) for c in checks] == [("live", False, 5), ("banned", True, 5)]


async def test_an_arrival_without_an_answer_is_unavailable(
    replicas: list[Replica], moderation: GrpcModeration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_stream, "_ARRIVAL_DEADLINE_S", 0.05)
    home_of(speaker(), replicas).moderation.may_answer.clear()
    with pytest.raises(ModerationUnavailable):
        await moderation.check_arrival(speaker(), SLUG, final=True)


async def test_a_sighting_goes_to_the_speakers_home(replicas: list[Replica], moderation: GrpcModeration) -> None:
    moderation.report_seen(speaker(), SLUG)
    home = home_of(speaker(), replicas).moderation
    await home.hears(lambda: bool(home.requests))
    (sighting,) = home.requests[0].sightings
    assert (sighting.slug, sighting.speaker.address, sighting.speaker.user_id) == ("live", "10.0.0.1", 5)


def request(target_user_id: int | None = 7, target_username: str | None = None) -> CommandRequest:
    moderator = Speaker(Identity(UserId(1), "mod", None, ("admin",), Rank.ADMIN, None), "10.0.0.9", f"{EDGE}:3")
    target = Target(None if target_user_id is None else UserId(target_user_id), target_username)
    return CommandRequest(
        moderator,
        SLUG,
        LogRef(RoomId(1), LIFE, 3),
        ChangeSanction(Action.BAN, target, Scope.ROOM, 60),
        target,
        Rank.USER,
        "spam",
        "n",
        EDGE,
        17,
    )


async def test_an_action_is_carried_out_at_the_home_of_its_target(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    for number in range(7, 15):
        home = home_of(speaker(number), replicas).moderation
        home.requests.clear()
        await moderation.execute(request(number))
        assert [r.change_sanction.target_user_id for r in home.requests] == [number]
    home = home_of(speaker(None), replicas).moderation
    home.requests.clear()
    await moderation.execute(request(None, "Anonymous_10.0.0.1"))
    assert [r.change_sanction.target_username for r in home.requests] == ["Anonymous_10.0.0.1"]


async def test_where_names_hide_addresses_an_action_meets_what_its_target_says_on_another_edge(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    names, verdicts = AnonymousNames("a key"), Verdicts()
    elsewhere = GrpcModeration([replica.address for replica in replicas])
    await elsewhere.start()
    await eventually(lambda: len(elsewhere._up) == 2)
    for number in range(1, 21):
        address = f"10.0.0.{number}"
        target = Speaker(names.identity(address), address, f"{EDGE}:{number}")
        moderation.admit(target, SLUG, LOG, "", verdicts.of(address))
        await verdicts.hears(number)
        await elsewhere.execute(request(None, target.identity.username))
    for replica in replicas:
        spoke = [check.speaker.username for check in replica.moderation.asked()]
        sanctioned = [
            r.change_sanction.target_username for r in replica.moderation.requests if isinstance(r, pb.ExecuteRequest)
        ]
        assert spoke == sanctioned != []
    await elsewhere.stop()


async def test_a_replica_that_comes_back_with_another_address_is_the_home_of_the_same_people(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Replica()
    await moved.start()
    behind = {"moderation-0:1": [replicas[0].address], "moderation-1:1": [replicas[1].address]}

    async def look_up(address: str) -> list[str]:
        return behind[address]

    monkeypatch.setattr(moderation_module, "look_up", look_up)
    monkeypatch.setattr(moderation_module, "_LOOK_UP_EVERY_S", 0.01)
    moderation, verdicts = GrpcModeration(list(behind)), Verdicts()
    await moderation.start()
    await eventually(lambda: len(moderation._up) == 2)
    for user_id in range(1, 41):
        moderation.admit(speaker(user_id), SLUG, LOG, "", verdicts.of("u"))
    await verdicts.hears(40)
    first = [{check.speaker.user_id for check in replica.moderation.asked()} for replica in replicas]
    behind["moderation-0:1"] = [moved.address]
    await eventually(lambda: set(moderation._up) == {moved.address, replicas[1].address})
    await replicas[0].stop()
    replicas[1].moderation.requests.clear()
    for user_id in range(1, 41):
        moderation.admit(speaker(user_id), SLUG, LOG, "", verdicts.of("u"))
    await verdicts.hears(80)
    asked = [{check.speaker.user_id for check in replica.moderation.asked()} for replica in (moved, replicas[1])]
    assert asked == first
    await moderation.stop()
    await moved.stop()


async def test_of_many_speakers_each_is_told_before_they_are_asked_about_and_all_in_slices(
    replicas: list[Replica], moderation: GrpcModeration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderation_module, "_HOMES_AT_ONCE", 10)
    staying = replicas[1]
    for number in range(1, 1001):
        moderation.note_admitted(speaker(number), LIFE, str(number))
    home = home_of(speaker(1), replicas)
    gone = replicas[0] if home is replicas[0] else staying
    left = staying if gone is replicas[0] else replicas[0]
    moderation._set_replicas({left.address: [left.address]})
    earlier = len(left.moderation.carried())
    assert all(moderation._carried.is_behind(f"u:{number}") for number in range(1, 1001))
    verdicts = Verdicts()
    moderation.admit(speaker(1), SLUG, LOG, "new", verdicts.of("new"))
    await verdicts.hears(1)
    told = left.moderation
    carried_at = next(i for i, r in enumerate(told.requests) if "1" in [c.nonce for c in r.carried])
    assert earlier < 1000
    assert carried_at <= next(i for i, r in enumerate(told.requests) if r.messages)
    await told.hears(lambda: len(told.carried()) == 1000)
    assert sorted(int(c.nonce) for c in told.carried()) == list(range(1, 1001))


async def test_an_action_is_translated_both_ways(replicas: list[Replica], moderation: GrpcModeration) -> None:
    sanction = pb.Sanction(
        id=3,
        action=pb.ACTION_BAN,
        target_user_id=7,
        addresses=["10.0.0.1"],
        scope=pb.SCOPE_EVERYWHERE,
        moderator_rank=pb.RANK_ADMIN,
    )
    event = pb.SanctionEvent(
        event_id=8,
        action=pb.ACTION_BAN,
        target_user_id=7,
        moderator_user_id=1,
        duration_minutes=60,
        scope=pb.SCOPE_ROOM,
        slug="live",
        at_ms=5,
        imposed=[sanction],
        silent=True,
    )
    home = home_of(speaker(7), replicas).moderation
    assert await moderation.execute(request()) is CommandRefusal.NOT_PERMITTED
    home.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, event=event)
    imposed = Sanction(3, Action.BAN, UserId(7), None, frozenset({"10.0.0.1"}), None, Rank.ADMIN, None)
    applied = SanctionEvent(8, Action.BAN, UserId(7), None, UserId(1), 60, Scope.ROOM, SLUG, 5, (imposed,), (), True)
    assert await moderation.execute(request()) == CommandResult(applied, None, is_repeated=False)
    person = pb.Speaker(user_id=1, username="mod", address="10.0.0.9", rank=pb.RANK_ADMIN, connection=f"{EDGE}:3")
    assert home.requests[0] == pb.ExecuteRequest(
        actor=person,
        slug="live",
        log=pb.LogRef(partition=3, room_id=1, life=LIFE),
        nonce="n",
        reason="spam",
        edge=EDGE,
        token=17,
        target_rank=pb.RANK_USER,
        change_sanction=pb.ChangeSanction(
            action=pb.ACTION_BAN, target_user_id=7, scope=pb.SCOPE_ROOM, duration_minutes=60
        ),
    )
    home.knows_commands = False  # a service of before
    home.act = pb.ActResponse(permitted=True, event=event)
    assert await moderation.execute(request()) == CommandResult(applied, None, is_repeated=False)
    assert home.requests[-1] == pb.ActRequest(
        moderator=person,
        action=pb.ACTION_BAN,
        target_user_id=7,
        target_rank=pb.RANK_USER,
        scope=pb.SCOPE_ROOM,
        slug="live",
        duration_minutes=60,
        reason="spam",
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (DeleteMessage(MessageId(42)), pb.ExecuteRequest(delete_message=pb.DeleteMessage(message_id=42))),
        (
            PurgeMessages(Target(None, "Anonymous_a")),
            pb.ExecuteRequest(purge_messages=pb.PurgeMessages(target_username="Anonymous_a")),
        ),
        (ClearRoom(), pb.ExecuteRequest(clear_room=pb.ClearRoom())),
    ],
)
async def test_what_takes_messages_back_says_what_it_came_to_and_is_unavailable_where_it_is_not_known(
    replicas: list[Replica], moderation: GrpcModeration, command: Command, expected: pb.ExecuteRequest
) -> None:
    asked = replace(request(), command=command)
    home = home_of(speaker(7), replicas).moderation
    home.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, entry_id=512, repeated=True)
    assert await moderation.execute(asked) == CommandResult(None, MessageId(512), is_repeated=True)
    (heard,) = home.requests
    assert heard.WhichOneof("command") == expected.WhichOneof("command")
    assert heard.delete_message == expected.delete_message
    assert heard.purge_messages == expected.purge_messages
    home.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND)
    assert await moderation.execute(asked) is CommandRefusal.NOT_FOUND
    home.knows_commands = False
    with pytest.raises(ModerationUnavailable):
        await moderation.execute(asked)


async def test_actions_and_reads_carry_their_trace_and_the_stream_of_everybodys_messages_none(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    replica = home_of(speaker(7), replicas)
    addresses = [replica.address for replica in replicas]
    slug = next(slug for slug in map(str, range(1000)) if choose(slug, addresses) == replica.address)
    with hold_trace(TRACE):
        await moderation.execute(request(7))
    await moderation.active([Slug(slug)])
    stream, acted, read = replica.moderation.traces
    assert stream is None
    assert acted is not None
    assert (acted[:36], acted[-3:]) == (TRACE[:36], "-01")
    assert acted != TRACE
    assert read is not None
    assert read_trace(read) == read
    assert read[:35] != TRACE[:35]


async def test_an_action_without_an_answer_is_unavailable_and_not_repeated(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    home = home_of(speaker(7), replicas)
    home.moderation.may_answer.clear()
    acting = asyncio.create_task(moderation.execute(request()))
    await home.moderation.hears(lambda: bool(home.moderation.requests))
    await home.stop()
    with pytest.raises(ModerationUnavailable):
        await acting
    assert not any(
        isinstance(r, pb.ExecuteRequest) for other in replicas if other is not home for r in other.moderation.requests
    )


async def test_what_happened_to_a_warning_is_told_to_the_home_of_its_target(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    home = home_of(speaker(7), replicas).moderation
    home.executed = pb.ExecuteResponse(
        outcome=pb.ExecuteResponse.OUTCOME_DONE,
        warning=pb.Warning(id=17, slug="live", target_user_id=7, moderator_rank=pb.RANK_MODERATOR),
    )
    found = await moderation.report_warning(speaker(7), SLUG, 17, WarningStep.ACKNOWLEDGE)
    assert found == RoomWarning(17, SLUG, UserId(7), None, "", Rank.MODERATOR, 0, is_open=False)
    (heard,) = home.requests
    assert heard.report_warning == pb.WarningReport(warning_id=17, step=pb.WarningReport.STEP_ACKNOWLEDGE)
    assert heard.actor.user_id == 7
    home.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND)
    assert await moderation.report_warning(speaker(7), SLUG, 18, WarningStep.ACKNOWLEDGE) is None


async def test_a_report_goes_to_the_home_of_who_files_it_and_who_is_banned_is_told_from_there(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    home = home_of(speaker(5), replicas).moderation
    home.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE)
    report, log = Report(MessageId(42), None, "spam", ""), LogRef(RoomId(1), Life(2), 3)
    assert await moderation.file_report(speaker(5), SLUG, log, report) == ReportAnswer(ReportOutcome.REPORTED)
    (heard,) = home.requests
    assert (heard.file_report.message_id, heard.actor.user_id) == (42, 5)
    assert await moderation.find_ban(speaker(5), SLUG) == BanNotice(17, "", None, can_appeal=True)
    assert await moderation.find_ban(speaker(6), SLUG) == BanNotice(17, "", None, can_appeal=False)


async def test_a_moderator_begins_with_what_the_home_of_the_room_says(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    assert await moderation.open_feed(speaker(7), SLUG, None) == FeedState(7)
    assert await moderation.open_feed(speaker(7), SLUG, 0) == FeedState(7)
    owner = structs.replace(speaker(7), identity=speaker(7).identity.in_room("owner", Rank.OWNER))
    assert await moderation.open_feed(owner, SLUG, None) == FeedState(7)
    anew, since, by_room = [request for replica in replicas for request in replica.moderation.feed_requests]
    assert (by_room.reader.owner, by_room.token_rank) == (True, pb.RANK_USER)
    assert (anew.reader.user_id, anew.slug, anew.HasField("since")) == (7, "live", False)
    assert (since.since, since.HasField("since")) == (0, True)
    assert anew.token_rank == pb.RANK_USER
    for replica in replicas:
        replica.moderation.feed_refusal = grpc.StatusCode.PERMISSION_DENIED
    assert await moderation.open_feed(speaker(7), SLUG, None) is None
    for replica in replicas:
        replica.moderation.feed_refusal = grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(ModerationUnavailable):
        await moderation.open_feed(speaker(7), SLUG, None)


async def test_the_feeds_of_many_rooms_are_read_at_once(replicas: list[Replica], moderation: GrpcModeration) -> None:
    part = await moderation.read_feeds([Slug("x"), Slug("y")], 6)
    assert [(event.id, event.slug, event.data.details) for event in part.events] == [(8, "x", {"hold_id": 4})]
    assert (part.up_to_id, part.has_more) == (9, True)
    ((request),) = [request for replica in replicas for request in replica.moderation.feed_requests]
    assert (list(request.slugs), request.after_id) == (["x", "y"], 6)


async def test_sanctions_in_force_are_read_for_rooms_alone(replicas: list[Replica], moderation: GrpcModeration) -> None:
    for replica in replicas:
        replica.moderation.sanctions = [
            pb.Sanction(
                id=4,
                action=pb.ACTION_MUTE,
                target_username="Anonymous_10.0.0.1",
                addresses=["10.0.0.1"],
                scope=pb.SCOPE_ROOM,
                slug="live",
                moderator_rank=pb.RANK_MODERATOR,
                expires_at_ms=1_800_000_000_000,
            )
        ]
    addresses = frozenset({"10.0.0.1"})
    expected = Sanction(4, Action.MUTE, None, "Anonymous_10.0.0.1", addresses, SLUG, Rank.MODERATOR, 1_800_000_000.0)
    assert await moderation.active([SLUG]) == InForce([expected])
    assert await moderation.active([]) == InForce([])
    assert await moderation.active([Slug(f"s{number}") for number in range(1000)]) == InForce([expected])
    asked = [r for replica in replicas for r in replica.moderation.requests]
    assert sorted(len(r.slugs) for r in asked) == [1, 1000]
    assert all(r.room_only and r.with_policies and r.with_warnings for r in asked)


async def test_what_holds_everywhere_is_asked_for_by_itself_and_left_out_where_an_older_replica_tells_it(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    room = pb.Sanction(
        id=4, action=pb.ACTION_BAN, target_user_id=5, scope=pb.SCOPE_ROOM, slug="live", moderator_rank=pb.RANK_ADMIN
    )
    everywhere = pb.Sanction(
        id=5, action=pb.ACTION_BAN, target_user_id=5, scope=pb.SCOPE_EVERYWHERE, moderator_rank=pb.RANK_ADMIN
    )
    for replica in replicas:
        replica.moderation.sanctions = [room, everywhere]
    assert [sanction.id for sanction in (await moderation.active([SLUG])).sanctions] == [4]
    for replica in replicas:
        replica.moderation.sanctions = [everywhere]
        replica.moderation.requests.clear()
    assert [sanction.id for sanction in await moderation.active_everywhere()] == [5]
    assert [r for replica in replicas for r in replica.moderation.requests] == [pb.ListActiveRequest()]


async def test_revoked_tokens_are_read_and_where_one_replica_cannot_say_another_one_is_asked_soon(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    told = pb.TokenRevocation(user_id=5, before_ms=1_500, until_ms=9_000, version=4)
    for replica in replicas:
        replica.moderation.revocations = [told]
    assert await moderation.revocations_after(3) == [Revocation(UserId(5), "", 1.5, 9.0, 4)]
    asked = [r for replica in replicas for r in replica.moderation.requests if isinstance(r, pb.ListRevocationsRequest)]
    assert asked == [pb.ListRevocationsRequest(after_version=3, first=2000)]
    replicas[0].moderation.revocations = grpc.StatusCode.UNAVAILABLE
    for _ in range(30):
        with suppress(ModerationUnavailable):
            await moderation.revocations_after(3)
            break
    assert await moderation.revocations_after(3) == [Revocation(UserId(5), "", 1.5, 9.0, 4)]


@pytest.mark.parametrize("old", [0, 1])
async def test_a_replica_of_before_does_not_say_that_nothing_is_revoked(
    replicas: list[Replica], moderation: GrpcModeration, old: int
) -> None:
    told = pb.TokenRevocation(user_id=5, before_ms=1_500, until_ms=9_000, version=4)
    for number, replica in enumerate(replicas):
        replica.moderation.revocations = None if number == old else [told]
    for _ in range(2):
        assert await moderation.revocations_after(3) == [Revocation(UserId(5), "", 1.5, 9.0, 4)]


async def test_a_service_of_before_revokes_nothing(replicas: list[Replica], moderation: GrpcModeration) -> None:
    for replica in replicas:
        replica.moderation.revocations = None
    assert await moderation.revocations_after(0) == []


async def test_a_message_is_released_before_what_is_asked_next_and_a_place_carried_to_who_takes_over(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    for replica in replicas:
        replica.moderation.slow_rooms = {"live"}
    verdicts, who = Verdicts(), speaker()
    home = home_of(who, replicas)
    (other,) = [replica for replica in replicas if replica is not home]
    moderation.admit(who, SLUG, LOG, "n", verdicts.of("a"), without_policy=True)
    ((_, verdict),) = await verdicts.hears(1)
    (asked,) = home.moderation.asked()
    assert asked.without_policy
    assert verdict == Verdict(Decision.ADMITTED, place=asked.id)
    assert verdicts.numbers == {"a": asked.id}
    moderation.release(who, SLUG, LIFE, "n", asked.id)
    moderation.admit(who, SLUG, LOG, "m", verdicts.of("b"))
    await verdicts.hears(2)
    released = pb.ReleasedAdmission(speaker=asked.speaker, slug="live", life=LIFE, nonce="n", id=asked.id)
    assert home.moderation.released() == [released]
    # Homes may have moved since.
    await other.moderation.hears(lambda: bool(other.moderation.released()))
    assert other.moderation.released() == [released]
    held = home.moderation.asked()[-1].id
    assert held > asked.id
    own = moderation.note_admitted(speaker(5, connection=2), LIFE, "", slow_in=Slug("other"))
    assert own > held
    await home.stop()
    await other.moderation.hears(lambda: len(other.moderation.carried()) >= 4)
    places = [(c.slug, c.id, c.nonce, c.counts) for c in other.moderation.carried() if c.slug]
    assert sorted(places) == [("live", held, "", False), ("other", own, "", False)]
    windows = [(c.id, c.nonce, c.counts) for c in other.moderation.carried() if not c.slug]
    assert sorted(windows) == [(held, "m", True), (own, "", True)]


async def test_a_replica_that_could_not_be_told_of_a_release_is_told_when_its_stream_is_back(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    """Where it has gone on meanwhile it would go on to count the message."""
    verdicts, who = Verdicts(), speaker()
    home = home_of(who, replicas)
    moderation.admit(who, SLUG, LOG, "n", verdicts.of("a"))
    await verdicts.hears(1)
    await home.stop()
    moderation.release(who, SLUG, LIFE, "n", verdicts.numbers["a"])
    await home.start()
    await home.moderation.hears(lambda: bool(home.moderation.released()))
    (told,) = home.moderation.released()
    assert (told.id, told.slug, told.nonce) == (verdicts.numbers["a"], "live", "")


async def test_however_many_long_messages_come_at_once_no_request_is_too_large(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    """A server takes 4 MiB: with more it would end the stream, and a few hundred strangers could have it do so."""
    verdicts, who, slug = Verdicts(), speaker(), Slug("s" * 128)
    for number in range(1_200):
        moderation.admit(who, slug, LOG, f"{number}", verdicts.of(f"{number}"), text="😀" * 1000)
    heard = await verdicts.hears(1_200)
    assert heard == [(f"{number}", ADMITTED) for number in range(1_200)]
    requests = [r for r in home_of(who, replicas).moderation.requests if isinstance(r, pb.AdmitRequest)]
    assert max(r.ByteSize() for r in requests) < 4 * 1024 * 1024


async def test_however_much_was_released_no_request_is_too_large(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    """A server takes 4 MiB, and would go on to refuse the stream."""
    (home, _), who = replicas, speaker()
    await home.stop()
    for number in range(1, 2_502):
        moderation.release(who, Slug("\N{GRINNING FACE}" * 128), LIFE, "", number)
    home.moderation.requests.clear()
    await home.start()
    await home.moderation.hears(lambda: len(home.moderation.released()) >= 2_501)
    sizes = [len(r.released) for r in home.moderation.requests if isinstance(r, pb.AdmitRequest) and r.released]
    assert max(sizes) <= 1_000
    assert [one.id for one in home.moderation.released()] == list(range(1, 2_502))


async def test_the_text_of_a_message_is_asked_of_the_home_of_its_room_under_the_number_it_was_admitted_with(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    addresses = [replica.address for replica in replicas]
    home = next(replica for replica in replicas if replica.address == choose(f"r:{SLUG}", addresses))
    (other,) = [replica for replica in replicas if replica is not home]
    verdicts, there, elsewhere = Verdicts(), speaker_at(home, replicas), speaker_at(other, replicas)
    for name, who in (("there", there), ("elsewhere", elsewhere)):
        moderation.admit(who, SLUG, LOG, name, verdicts.of(name), text="hello")
    await verdicts.hears(2)
    assert [check.text_elsewhere for check in home.moderation.asked()] == [False]
    assert [check.text_elsewhere for check in other.moderation.asked()] == [True]
    number = verdicts.numbers["elsewhere"]
    moderation.ask_text(elsewhere, SLUG, LOG, "elsewhere", verdicts.of("text"), text="hello", number=number)
    await verdicts.hears(3)
    asked = home.moderation.asked()[-1]
    assert (asked.id, asked.text_alone, asked.text, asked.slug) == (number, True, "hello", SLUG)
    assert (asked.nonce, asked.life) == ("elsewhere", LIFE)
    assert asked.speaker == other.moderation.asked()[0].speaker
    await home.stop()
    await other.moderation.hears(lambda: len(other.moderation.carried()) >= 1)
    # What was asked of the text alone counts nowhere, and is carried by nobody.
    assert [carried.nonce for carried in other.moderation.carried()] == ["there"]
    moderation.admit(elsewhere, SLUG, LOG, "", verdicts.of("alone"), text="hello")
    await verdicts.hears(4)
    assert not other.moderation.asked()[-1].text_elsewhere


def ban(number: int, **differing: Any) -> pb.Sanction:
    """One of the user 7 in the room, or what differs from that."""
    known: dict[str, Any] = {"action": pb.ACTION_BAN, "scope": pb.SCOPE_ROOM, "moderator_rank": pb.RANK_ADMIN}
    return pb.Sanction(id=number, target_user_id=7, slug=SLUG, **known | differing)


@pytest.mark.parametrize("later", [{"action": 99}, {"moderator_rank": 99}, {"scope": 99}])
async def test_a_sanction_of_a_later_version_is_left_out_and_the_others_are_read(
    replicas: list[Replica], moderation: GrpcModeration, monkeypatch: pytest.MonkeyPatch, later: dict[str, Any]
) -> None:
    for replica in replicas:
        replica.moderation.sanctions = [ban(4), ban(5, **later), ban(6)]
    monkeypatch.setattr(convert, "_skipped", LogSummary(structlog.get_logger(), "sanction_not_understood"))
    with structlog.testing.capture_logs() as logs:
        assert [sanction.id for sanction in (await moderation.active([SLUG])).sanctions] == [4, 6]
        assert [sanction.id for sanction in (await moderation.active([SLUG])).sanctions] == [4, 6]
    assert [(entry["event"], entry["sanction"]) for entry in logs] == [("sanction_not_understood", 5)]


async def test_an_event_with_a_sanction_of_a_later_version_is_applied_without_it(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    event = pb.SanctionEvent(
        event_id=8,
        action=pb.ACTION_BAN,
        target_user_id=7,
        scope=pb.SCOPE_ROOM,
        slug="live",
        imposed=[ban(3), ban(4, action=99)],
        lifted_ids=[2],
    )
    home_of(speaker(7), replicas).moderation.executed = pb.ExecuteResponse(
        outcome=pb.ExecuteResponse.OUTCOME_DONE, event=event
    )
    answer = await moderation.execute(request())
    assert isinstance(answer, CommandResult)
    assert answer.event is not None
    assert ([sanction.id for sanction in answer.event.imposed], answer.event.lifted_ids) == ([3], (2,))


async def test_a_name_is_followed_to_its_replicas(replicas: list[Replica]) -> None:
    moderation = GrpcModeration([f"localhost:{replicas[0].port}", "nobody.invalid:1"])
    await moderation.start()
    await eventually(lambda: moderation.is_connected)
    await moderation.stop()
    assert not moderation.is_connected


async def test_stopping_answers_what_waits(replicas: list[Replica]) -> None:
    moderation, verdicts = GrpcModeration([replicas[0].address]), Verdicts()
    await moderation.start()
    await eventually(lambda: moderation.is_connected)
    replicas[0].moderation.may_answer.clear()
    moderation.admit(speaker(), SLUG, LOG, "", verdicts.of("a"))
    await replicas[0].moderation.hears(lambda: bool(replicas[0].moderation.asked()))
    await moderation.stop()
    assert verdicts.heard == [("a", UNAVAILABLE)]


async def read_under_way(replicas: list[Replica], moderation: GrpcModeration) -> asyncio.Task[InForce]:
    """A question about sanctions that has arrived and is not answered."""
    for replica in replicas:
        replica.moderation.may_answer.clear()
    reading = asyncio.create_task(moderation.active([SLUG]))
    await eventually(lambda: any(replica.moderation.asked_for_sanctions() for replica in replicas))
    return reading


async def test_a_read_that_is_under_way_when_its_replica_is_left_is_unavailable_and_ends_no_task(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    reading = await read_under_way(replicas, moderation)
    moderation._set_replicas({})
    with pytest.raises(ModerationUnavailable):
        await reading


async def test_a_read_whose_caller_is_cancelled_stays_cancelled(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    reading = await read_under_way(replicas, moderation)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_replica_that_left_its_name_is_left_and_its_questions_answered(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    leaving, staying = replicas
    who, verdicts = speaker_at(leaving, replicas), Verdicts()
    leaving.moderation.may_answer.clear()
    moderation.admit(who, SLUG, LOG, "a", verdicts.of("a"))
    await leaving.moderation.hears(lambda: bool(leaving.moderation.asked()))
    moderation._set_replicas({staying.address: [staying.address]})
    assert verdicts.heard == [("a", UNAVAILABLE)]
    moderation.admit(who, SLUG, LOG, "b", verdicts.of("b"))
    assert (await verdicts.hears(2))[1] == ("b", ADMITTED)
    await eventually(lambda: len(moderation._tasks) == 2)


async def test_while_every_replica_is_away_no_message_makes_a_line_of_its_own(
    replicas: list[Replica], moderation: GrpcModeration
) -> None:
    verdicts = Verdicts()
    with structlog.testing.capture_logs() as logs:
        for replica in replicas:
            await replica.stop()
        await eventually(lambda: not moderation._up)
        for number in range(200):
            moderation.admit(speaker(number + 1), SLUG, LOG, "", verdicts.of("a"))
        assert await verdicts.hears(200) == [("a", UNAVAILABLE)] * 200
    assert len(logs) <= 3 * len(replicas)

"""Warnings over gRPC and NATS, on replicas that come and go: real NATS, real databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio
import nats
import pytest
from nats.aio.client import Client
from room_log import Clock, connection_to, ports_of

from chassis.database import Database
from chassis.nats_connection import NatsSettings
from moderation.adapters.nats import WARNINGS_SUBJECT
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.domain.admission import MessageCheck
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.verdicts import ADMITTED, WARNING_PENDING, Verdict
from moderation.domain.warnings import RoomWarning, WarningCommand, WarningOrder, WarningReport, WarningStep
from moderation.errors import NotPermitted, WarningNotFound
from moderation.ports import Ports
from moderation.usecases.execute import execute
from moderation.usecases.refresh import keep_reading_warnings, read_warnings
from moderation.usecases.retention import Retention, prune_history
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
PENDING = pb.Verdict(id=1, decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_WARNING_PENDING)
MODERATOR = pb.Speaker(user_id=2, username="mod", rank=pb.RANK_MODERATOR)
ANA = pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:1")
BOB = pb.Speaker(user_id=6, username="bob", rank=pb.RANK_USER)
TO_ANA = pb.IssueWarning(target_user_id=5)
DONE, NOT_FOUND = pb.ExecuteResponse.OUTCOME_DONE, pb.ExecuteResponse.OUTCOME_NOT_FOUND
ORDER = WarningOrder(WarningCommand(Moderator(2, Rank.MODERATOR), Target(5, ""), None, "live", "No links"))


class Replica:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = pb_grpc.ModerationServiceStub(channel)

    async def execute(self, actor: pb.Speaker, *, nonce: str = "", **command: Any) -> pb.ExecuteResponse:
        request = pb.ExecuteRequest(actor=actor, slug="live", nonce=nonce, reason="No links", **command)
        return await self.stub.Execute(request, timeout=60)

    async def report(self, actor: pb.Speaker, number: int, step: pb.WarningReport.Step.ValueType) -> pb.ExecuteResponse:
        return await self.execute(actor, report_warning=pb.WarningReport(warning_id=number, step=step))

    async def open_ones(self) -> list[pb.Warning]:
        answer = await self.stub.ListActive(pb.ListActiveRequest(slugs=["live"], with_warnings=True), timeout=60)
        assert answer.has_warnings
        return list(answer.warnings)

    async def say(self) -> pb.Verdict:
        stream = self.stub.Admit()
        await stream.read()
        await stream.write(pb.AdmitRequest(messages=[pb.MessageCheck(id=1, speaker=ANA, slug="live", life=1)]))
        answer = await stream.read()
        assert isinstance(answer, pb.AdmitResponse)
        stream.cancel()
        return answer.verdicts[0]


@asynccontextmanager
async def replica_on(url: str, folder: Path) -> AsyncIterator[Replica]:
    config = Config(port=0, database_url=f"sqlite://{folder}/m.sqlite3", nats=NatsSettings(url))
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Replica(channel)


@pytest.fixture
async def bus(nats_server: Any) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url, connect_timeout=5, max_reconnect_attempts=20, reconnect_time_wait=0.1)
    yield client
    await client.close()


async def test_an_undone_warning_is_told_to_edges_as_withdrawn_and_lets_its_target_write(
    nats_server: Any, bus: Client, tmp_path: Path
) -> None:
    heard = await bus.subscribe(WARNINGS_SUBJECT)
    await bus.flush()
    async with replica_on(nats_server.url, tmp_path) as replica:
        issued = await replica.execute(MODERATOR, issue_warning=TO_ANA)
        assert await replica.say() == PENDING
        admin = pb.Speaker(user_id=1, username="boss", rank=pb.RANK_ADMIN)
        undone = await replica.execute(admin, undo=pb.UndoAction(action_id=issued.action_id))
        assert (undone.outcome, undone.undone) == (DONE, pb.Undone(action_id=issued.action_id))
        assert not undone.HasField("warning"), "edges of before take one in an answer for one that was just issued"
        assert (await replica.say()).decision == pb.Verdict.DECISION_ADMITTED
        assert await replica.open_ones() == []
    told = [pb.WarningEvent.FromString((await heard.next_msg(60)).data).warnings[0] for _ in range(2)]
    assert [(warning.id, warning.open) for warning in told] == [(issued.action_id, True), (issued.action_id, False)]


async def test_warn_and_acknowledge_by_execute_are_told_to_edges_and_obeyed_also_after_a_restart(
    nats_server: Any, bus: Client, migrated_folder: Path
) -> None:
    heard = await bus.subscribe(WARNINGS_SUBJECT)
    await bus.flush()

    async def told() -> list[pb.Warning]:
        return list(pb.WarningEvent.FromString((await heard.next_msg(60)).data).warnings)

    async with replica_on(nats_server.url, migrated_folder) as replica:
        refused = await replica.execute(BOB, issue_warning=TO_ANA)
        assert refused == pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_PERMITTED)
        issued = await replica.execute(MODERATOR, nonce="n", issue_warning=TO_ANA)
        warning = issued.warning
        assert (issued.outcome, issued.action_id, warning.id) == (DONE, warning.id, warning.id)
        assert (warning.slug, warning.target_user_id, warning.reason) == ("live", 5, "No links")
        assert (warning.open, warning.delivered) == (True, False)
        assert await told() == await replica.open_ones() == [warning]
        again = await replica.execute(MODERATOR, nonce="n", issue_warning=TO_ANA)
        assert (again.repeated, again.warning) == (True, warning)
        assert await replica.say() == PENDING
        assert (await replica.report(ANA, warning.id, pb.WarningReport.STEP_DELIVER)).warning.delivered
        assert [each.delivered for each in await told()] == [True]
        for actor, number in ((BOB, warning.id), (ANA, warning.id + 1)):
            answer = await replica.report(actor, number, pb.WarningReport.STEP_ACKNOWLEDGE)
            assert answer == pb.ExecuteResponse(outcome=NOT_FOUND)
    async with replica_on(nats_server.url, migrated_folder) as replica:
        assert await replica.say() == PENDING
        assert [each.id for each in await replica.open_ones()] == [warning.id]
        closed = await replica.report(ANA, warning.id, pb.WarningReport.STEP_ACKNOWLEDGE)
        assert (closed.outcome, closed.warning.open) == (DONE, False)
        assert await told() == [closed.warning]
        assert (await replica.say()).decision == pb.Verdict.DECISION_ADMITTED
        late = await replica.report(ANA, warning.id, pb.WarningReport.STEP_LAPSE)
        assert (late.outcome, late.warning) == (DONE, closed.warning)
    async with replica_on(nats_server.url, migrated_folder) as replica:
        assert (await replica.say()).decision == pb.Verdict.DECISION_ADMITTED


# --- two replicas on one database -------------------------------------------------------------------------------------


class Subject:
    """Two replicas that hear nothing of each other but what the database tells."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock(lambda: time.time_ns() // 1_000_000)
        self.first, self.second = [ports_of(database, connection_to("nats://nowhere"), self.clock) for _ in range(2)]

    async def warn(self) -> RoomWarning:
        warning = (await execute(self.first, ORDER)).warning
        assert warning is not None
        return warning


def say(ports: Ports) -> Verdict:
    ana = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
    return ports.admission.judge_message(MessageCheck(ana, "live", 1, ""), ports.clock())


@pytest.fixture
def subject(database: Database) -> Subject:
    return Subject(database)


async def test_the_replica_that_was_asked_obeys_at_once_and_the_other_within_half_a_second(
    subject: Subject, eventually: Eventually
) -> None:
    reading = asyncio.create_task(keep_reading_warnings(subject.second))
    warning = await subject.warn()
    assert say(subject.first) == WARNING_PENDING

    async def is_obeyed() -> bool:
        ana = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
        return subject.second.admission.warnings.is_pending(ana, "live")

    await eventually(is_obeyed)
    reading.cancel()
    await execute(subject.second, WarningReport(warning.id, Target(5, ""), WarningStep.ACKNOWLEDGE))
    assert (say(subject.second), say(subject.first)) == (ADMITTED, WARNING_PENDING)
    await read_warnings(subject.first)
    assert say(subject.first) == ADMITTED


async def test_one_that_was_stored_and_told_to_nobody_is_obeyed_and_listed_all_the_same(subject: Subject) -> None:
    """The process that stored it was killed before it published anything."""
    await subject.first.store.warn(ORDER, now_ms=1_000)
    await read_warnings(subject.second)
    assert say(subject.second) == WARNING_PENDING
    (listed,) = await subject.second.store.open_warnings(["live"]) or []
    await subject.first.store.report_warning(WarningReport(listed.id, Target(5, ""), WarningStep.LAPSE), now_ms=2_000)
    await read_warnings(subject.second)
    assert say(subject.second) == ADMITTED


async def test_who_may_not_warn_and_who_was_not_warned_change_nothing(subject: Subject) -> None:
    user = Moderator(6, Rank.USER)
    with pytest.raises(NotPermitted):
        await execute(subject.first, WarningOrder(WarningCommand(user, Target(5, ""), None, "live", "x")))
    with pytest.raises(WarningNotFound):
        await execute(subject.first, WarningReport(1, Target(5, ""), WarningStep.ACKNOWLEDGE))
    assert await subject.first.store.warnings_after(0, first=9) == []


async def test_what_waits_for_as_long_as_history_is_kept_asks_for_nothing_any_more(subject: Subject) -> None:
    await subject.warn()
    subject.clock.ahead_ms = 91 * 86_400_000
    await prune_history(subject.second, Retention(audit_days=90, evidence_days=30))
    await read_warnings(subject.first)
    assert say(subject.first) == ADMITTED
    assert await subject.first.store.open_warnings(["live"]) == []

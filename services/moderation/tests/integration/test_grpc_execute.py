"""Execute over gRPC: one replica in this process, real NATS, SQLite."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
import nats
import pytest
from prometheus_client import CollectorRegistry
from room_log import LOG, Room, open_room

from chassis.nats_connection import NatsSettings
from moderation.adapters.store.tables import AuditRow
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.telemetry import Metrics
from moderation.usecases import outbox
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc, policy_pb2

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
DONE = pb.ExecuteResponse.OUTCOME_DONE
ADMIN = pb.Speaker(user_id=1, username="boss", rank=pb.RANK_ADMIN)
MODERATOR = pb.Speaker(user_id=2, username="mod", rank=pb.RANK_MODERATOR)
USER = pb.Speaker(user_id=6, username="bob", rank=pb.RANK_USER)
BAN = pb.ChangeSanction(action=pb.ACTION_BAN, target_user_id=5, scope=pb.SCOPE_ROOM, purge=True)


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Replica:
    def __init__(self, channel: grpc.aio.Channel, metrics: Metrics) -> None:
        self.stub = pb_grpc.ModerationServiceStub(channel)
        self._metrics = metrics

    async def execute(self, actor: pb.Speaker = MODERATOR, nonce: str = "", **command: Any) -> pb.ExecuteResponse:
        log = pb.LogRef(partition=LOG.partition, room_id=LOG.room_id, life=LOG.life)
        return await self.stub.Execute(
            pb.ExecuteRequest(actor=actor, slug="live", log=log, nonce=nonce, edge="e", token=4, **command), timeout=60
        )

    async def delete(self, message_id: int, actor: pb.Speaker = MODERATOR, nonce: str = "") -> pb.ExecuteResponse:
        command = pb.DeleteMessage(message_id=message_id)
        return await self.execute(actor, nonce, delete_message=command, target_rank=pb.RANK_USER)

    def metric(self, name: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"salon_moderation_{name}")


@asynccontextmanager
async def replica_on(url: str, folder: Path) -> AsyncIterator[Replica]:
    config = Config(port=0, database_url=f"sqlite://{folder}/m.sqlite3", nats=NatsSettings(url))
    metrics = Metrics(CollectorRegistry())
    async with (
        serving(config, metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Replica(channel, metrics)


@pytest.fixture
async def room(nats_server: Nats) -> AsyncIterator[Room]:
    found = await open_room(nats_server.url)
    yield found
    await found.client.close()


@pytest.fixture
async def replica(nats_server: Nats, migrated_folder: Path) -> AsyncIterator[Replica]:
    async with replica_on(nats_server.url, migrated_folder) as found:
        yield found


async def test_a_deletion_and_what_is_answered_when_it_is_asked_for_again(replica: Replica, room: Room) -> None:
    message_id = await room.say("bad words")
    refused = await replica.delete(message_id, USER)
    first = await replica.delete(message_id, nonce="n")
    again = await replica.delete(message_id, nonce="n")
    gone = await replica.delete(message_id, nonce="another")
    assert refused == pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_PERMITTED)
    assert (first.outcome, first.repeated, first.HasField("event")) == (DONE, False, False)
    assert again == pb.ExecuteResponse(outcome=DONE, action_id=first.action_id, entry_id=first.entry_id, repeated=True)
    assert gone == pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND)
    assert list(await room.entries()) == [first.entry_id]
    assert (await room.entries())[first.entry_id].origin.token == 4


async def test_a_sanction_by_execute_is_the_one_by_act_with_purge_and_nonce(replica: Replica, room: Room) -> None:
    await room.say("goes")
    answer = await replica.execute(ADMIN, "n", change_sanction=BAN)
    assert (answer.outcome, answer.event.event_id) == (DONE, answer.action_id)
    assert (answer.event.action, answer.event.imposed[0].target_user_id) == (pb.ACTION_BAN, 5)
    assert list(await room.entries()) == [answer.entry_id]
    assert (await replica.execute(ADMIN, "n", change_sanction=BAN)).event == answer.event
    refused = await replica.execute(MODERATOR, change_sanction=BAN)
    assert refused.outcome == pb.ExecuteResponse.OUTCOME_NOT_PERMITTED
    act = pb.ActRequest(moderator=ADMIN, action=pb.ACTION_UNBAN, target_user_id=5, scope=pb.SCOPE_ROOM, slug="live")
    lifted = await replica.stub.Act(act, timeout=60)
    assert list(lifted.event.lifted_ids) == [answer.event.imposed[0].id]


async def test_what_was_done_is_undone_by_execute_read_by_list_audit_and_checked_by_verify_audit(
    replica: Replica, room: Room
) -> None:
    stub = replica.stub
    message_id = await room.say("bad words", 6)
    ban = await replica.execute(ADMIN, "n1", change_sanction=BAN)
    deletion = await replica.delete(message_id, ADMIN)
    policy = await replica.execute(ADMIN, change_policy=policy_pb2.PolicyChanges(slow_mode_seconds=30))
    undone = await replica.execute(ADMIN, "n2", undo=pb.UndoAction(action_id=policy.action_id))
    assert (undone.outcome, undone.undone) == (DONE, pb.Undone(action_id=policy.action_id, brings_entry=True))
    assert (await room.entries())[undone.entry_id].policy_changed.policy.slow_mode_seconds == 0
    again = await replica.execute(ADMIN, "n2", undo=pb.UndoAction(action_id=policy.action_id))
    assert (again.repeated, again.action_id, again.entry_id) == (True, undone.action_id, undone.entry_id)
    lifted = await replica.execute(ADMIN, undo=pb.UndoAction(action_id=ban.action_id))
    assert (lifted.event.action, list(lifted.event.lifted_ids)) == (pb.ACTION_UNBAN, [ban.event.imposed[0].id])
    assert (lifted.event.edge, lifted.event.token, list(lifted.undone.not_undone)) == ("e", 4, ["messages"])
    for action_id, outcome in (
        (deletion.action_id, pb.ExecuteResponse.OUTCOME_CANNOT_UNDO),
        (ban.action_id, pb.ExecuteResponse.OUTCOME_ALREADY_UNDONE),
        (999, pb.ExecuteResponse.OUTCOME_NOT_FOUND),
    ):
        answer = await replica.execute(ADMIN, undo=pb.UndoAction(action_id=action_id))
        assert answer == pb.ExecuteResponse(outcome=outcome)
    refused = await replica.execute(MODERATOR, undo=pb.UndoAction(action_id=policy.action_id))
    assert refused.outcome == pb.ExecuteResponse.OUTCOME_NOT_PERMITTED
    listed = await stub.ListAudit(pb.ListAuditRequest(reader=MODERATOR, slug="live", first=9), timeout=60)
    told = {entry.action_id: entry for entry in listed.entries}
    assert [entry.action for entry in listed.entries] == ["undo", "undo", "policy", "delete", "ban"]
    assert (told[deletion.action_id].message_id, told[deletion.action_id].message_text) == (message_id, "bad words")
    assert not told[ban.action_id].HasField("message_text")
    assert (told[ban.action_id].undone_by, told[lifted.action_id].undoes) == (lifted.action_id, ban.action_id)
    (change,) = told[policy.action_id].policy_changes
    assert (change.field, change.before, change.after) == ("slow_mode_seconds", "0", "30")
    verified = await stub.VerifyAudit(pb.VerifyAuditRequest(reader=ADMIN, slug="live"), timeout=60)
    digest = told[lifted.action_id].digest
    assert verified == pb.VerifyAuditResponse(checked=5, last_id=lifted.action_id, last_digest=digest)
    undoable = await stub.ListUndoable(pb.ListUndoableRequest(reader=ADMIN, actor_user_id=1), timeout=60)
    assert [(a.action_id, a.slug, a.is_lasting) for a in undoable.actions] == [(deletion.action_id, "live", True)]


async def test_what_else_its_author_did_counts_for_nothing_where_all_of_theirs_is_undone(replica: Replica) -> None:
    first, same = [
        await replica.execute(ADMIN, change_policy=policy_pb2.PolicyChanges(slow_mode_seconds=30)) for _ in range(2)
    ]
    alone = pb.UndoAction(action_id=first.action_id)
    assert (await replica.execute(ADMIN, undo=alone)).outcome == pb.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO
    of_all = pb.UndoAction(action_id=first.action_id, of_all_since_ms=0)
    assert (await replica.execute(ADMIN, undo=of_all)).outcome == DONE
    assert first.action_id < same.action_id


async def test_the_audit_log_is_for_moderators_of_a_room_and_all_of_it_with_addresses_for_admins(
    replica: Replica,
) -> None:
    stub = replica.stub
    for request in (pb.ListAuditRequest(reader=USER, slug="live"), pb.ListAuditRequest(reader=MODERATOR)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAudit(request, timeout=60)
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.VerifyAudit(pb.VerifyAuditRequest(reader=MODERATOR, slug="live"), timeout=60)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListUndoable(pb.ListUndoableRequest(reader=MODERATOR, actor_user_id=1), timeout=60)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListAudit(pb.ListAuditRequest(reader=ADMIN, action="no word"), timeout=60)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    ban = await replica.execute(ADMIN, change_sanction=BAN)
    followed = AuditRow(
        action=1,
        target_user_id=5,
        target_username="",
        moderator_user_id=1,
        moderator_rank=4,
        duration_minutes=0,
        scope=1,
        slug="live",
        reason="",
        at_ms=time.time_ns() // 1_000_000,
        imposed_id=ban.event.imposed[0].id,
        lifted_ids=[],
        followed_address="10.0.0.7",
    )
    await followed.save()
    for reader, address in ((MODERATOR, ""), (ADMIN, "10.0.0.7")):
        asked = pb.ListAuditRequest(reader=reader, slug="live", first=9, action="follow")
        (entry,) = (await stub.ListAudit(asked, timeout=60)).entries
        assert (entry.action, entry.address) == ("follow", address)


async def test_a_command_that_is_not_known_is_the_callers_mistake(replica: Replica) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replica.execute()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_who_deletes_their_own_message_without_the_log_is_told_that_it_is_away(
    replica: Replica, nats_server: Nats, room: Room
) -> None:
    message_id = await room.say("mine", 6)
    nats_server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replica.delete(message_id, USER)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    nats_server.start()


async def test_what_waits_is_counted_and_done_at_the_next_start(
    nats_server: Nats, migrated_folder: Path, room: Room, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "COUNT_EVERY_S", 0.05)
    message_id = await room.say("goes")
    nats_server.stop()
    async with replica_on(nats_server.url, migrated_folder) as replica:
        answer = await replica.delete(message_id)
        assert (answer.outcome, answer.entry_id) == (DONE, 0)

        async def is_counted() -> bool:
            return replica.metric("outbox_waiting") == 1

        await eventually(is_counted)
        assert replica.metric("outbox_oldest_seconds") is not None
    nats_server.start()
    async with replica_on(nats_server.url, migrated_folder) as replica:

        async def is_done() -> bool:
            return await room.texts() == []

        await eventually(is_done)
    (told,) = (await room.entries()).values()
    assert told.message_deleted.message_id == message_id


async def test_a_room_role_is_told_to_edges_kept_and_listed(replica: Replica, nats_server: Nats) -> None:
    owner = pb.Speaker(user_id=9, username="ana", rank=pb.RANK_MODERATOR, owner=True)
    client = await nats.connect(nats_server.url)
    told = await client.subscribe("salon.v1.moderation.roles")
    await client.flush()
    role = pb.SetRoomRole(target_user_id=5, role=pb.ROOM_ROLE_MODERATOR, owner_user_id=9)
    refused = await replica.execute(MODERATOR, set_room_role=role)
    assert refused == pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_PERMITTED)
    given = await replica.execute(owner, set_room_role=role)
    assert (given.outcome, given.entry_id) == (DONE, 0)
    assert (given.role.user_id, given.role.role, given.role.given_by_user_id) == (5, pb.ROOM_ROLE_MODERATOR, 9)
    roles = pb.RoomRoles.FromString((await told.next_msg(timeout=60)).data)
    assert (roles.slug, roles.owner_user_id, list(roles.moderators), list(roles.vips)) == ("live", 9, [5], [])
    read = await replica.stub.ListActive(pb.ListActiveRequest(slugs=["live", "other"], with_roles=True), timeout=60)
    assert list(read.roles) == [roles]
    assert not (await replica.stub.ListActive(pb.ListActiveRequest(slugs=["live"]), timeout=60)).roles
    for user_id in (7, 6):
        await replica.execute(
            owner, set_room_role=pb.SetRoomRole(target_user_id=user_id, role=pb.ROOM_ROLE_VIP, owner_user_id=9)
        )
    page = pb.ListRoomRolesRequest(slug="live", first=1, after_user_id=5)
    found = await replica.stub.ListRoomRoles(page, timeout=60)
    assert (found.owner_user_id, [holder.user_id for holder in found.holders]) == (9, [6])
    mine = await replica.stub.ListRoomRoles(pb.ListRoomRolesRequest(slug="live", first=9, user_id=7), timeout=60)
    assert [holder.user_id for holder in mine.holders] == [7]
    none = await replica.stub.ListRoomRoles(pb.ListRoomRolesRequest(slug="other", first=9), timeout=60)
    assert none == pb.ListRoomRolesResponse()
    await client.close()


async def test_more_than_500_roles_are_too_many(replica: Replica) -> None:
    owner = pb.Speaker(user_id=9, username="ana", rank=pb.RANK_MODERATOR, owner=True)
    for user_id in range(100, 600):
        await replica.execute(
            owner, set_room_role=pb.SetRoomRole(target_user_id=user_id, role=pb.ROOM_ROLE_VIP, owner_user_id=9)
        )
    full = await replica.execute(
        owner, set_room_role=pb.SetRoomRole(target_user_id=5, role=pb.ROOM_ROLE_MODERATOR, owner_user_id=9)
    )
    assert full == pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_TOO_MANY_ROLES)

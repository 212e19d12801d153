"""A change of the policy: decided, told in the room's log, and obeyed by every replica. Real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

import pytest
from room_log import ADMIN, LOG, MODERATOR, Clock, Room, connection_to, open_room, ports_of

from chassis.database import Database
from chassis.tasks import end_tasks
from moderation.adapters.store.tables import AuditRow, OutboxRow
from moderation.domain.admission import MessageCheck
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.people import Moderator, Rank, Speaker
from moderation.domain.policy import (
    SHIELD_PRESET,
    Policy,
    PolicyChanges,
    PolicyCommand,
    PolicyOrder,
    ShieldCommand,
    ShieldOrder,
)
from moderation.domain.verdicts import Decision
from moderation.errors import NotPermitted
from moderation.ports import Ports
from moderation.usecases import execute as module
from moderation.usecases.execute import execute
from moderation.usecases.outbox import keep_working
from moderation.usecases.refresh import READ_CHANGES_EVERY_S, keep_reading_policies, read_policies
from salon.events.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock(lambda: time.time_ns() // 1_000_000)


@pytest.fixture
async def room(nats_server: Nats) -> AsyncIterator[Room]:
    found = await open_room(nats_server.url)
    yield found
    await found.client.close()


@pytest.fixture
async def replicas(database: Database, nats_server: Nats, clock: Clock, room: Room) -> AsyncIterator[list[Ports]]:
    """Two on one database, connected."""
    connections = [connection_to(nats_server.url) for _ in range(2)]
    running = [asyncio.create_task(connection.run()) for connection in connections]
    found = [ports_of(database, connection, clock) for connection in connections]
    async with asyncio.timeout(30):
        while not all(connection.is_connected for connection in connections):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    yield found
    await end_tasks([*running, *(task for ports in found for task in ports.outbox_work)])


def order(
    seconds: int, by: Moderator = ADMIN, *, log: LogRef | None = LOG, nonce: str = "", slug: str = "live"
) -> PolicyOrder:
    command = PolicyCommand(by, slug, PolicyChanges(slow_mode_seconds=seconds), "")
    return PolicyOrder(command, log, Origin("e" * 32, 4, nonce))


def held_to(ports: Ports) -> Policy | None:
    """What that replica judges by just now."""
    return ports.policies.find("live", ports.clock().wall_ms)


async def told(room: Room) -> list[tuple[int, int, str]]:
    """Version, slow mode and nonce of each entry."""
    return [
        (entry.policy_changed.version, entry.policy_changed.policy.slow_mode_seconds, entry.origin.nonce)
        for entry in (await room.entries()).values()
        if entry.WhichOneof("entry") == "policy_changed"
    ]


async def test_the_room_is_told_once_with_the_whole_policy_and_nothing_is_erased(
    replicas: list[Ports], room: Room
) -> None:
    await room.say("hello")
    receipt = await execute(replicas[0], order(30, nonce="n1"))
    assert receipt.policy is not None
    ((entry_id, entry),) = [(i, e) for i, e in (await room.entries()).items() if e.WhichOneof("entry") != "message"]
    assert receipt.entry_id == entry_id
    assert (entry.policy_changed.version, entry.policy_changed.moderator_user_id) == (receipt.policy.version, 1)
    assert entry.origin == pb.CommandOrigin(edge="e" * 32, token=4, nonce="n1", action_id=receipt.action_id)
    again = await execute(replicas[1], order(60, nonce="n1"))
    assert (again.action_id, again.entry_id, again.repeated) == (receipt.action_id, entry_id, True)
    assert await told(room) == [(receipt.policy.version, 30, "n1")]
    assert (await room.texts(), await room.erasures()) == (["hello"], [])
    assert (await OutboxRow.get(action_id=receipt.action_id)).done_at_ms is not None


async def test_a_moderator_does_not_change_the_policy(replicas: list[Ports]) -> None:
    with pytest.raises(NotPermitted):
        await execute(replicas[0], order(30, MODERATOR))
    assert await AuditRow.all().count() == 0


async def test_an_action_by_slug_on_a_room_without_a_life_has_no_entry_and_holds(
    replicas: list[Ports], room: Room
) -> None:
    receipt = await execute(replicas[0], order(30, log=None))
    assert (receipt.entry_id, await told(room)) == (0, [])
    assert held_to(replicas[0]) == Policy(30)


async def test_every_replica_obeys_it_soon(replicas: list[Ports], eventually: Eventually) -> None:
    assert READ_CHANGES_EVERY_S < 0.5  # a second after it was told is what the contract promises
    here, there = replicas
    reading = asyncio.create_task(keep_reading_policies(there))
    try:
        await execute(here, order(30))
        assert held_to(here) == Policy(30)

        async def is_known_there() -> bool:
            return held_to(there) == Policy(30)

        await eventually(is_known_there)
    finally:
        await end_tasks([reading])
    check = MessageCheck(ANA, "live", 21, "")
    assert there.admission.judge_message(check, there.clock()).decision is Decision.ADMITTED
    assert there.admission.judge_message(check, there.clock()).decision is Decision.SLOW_MODE


def shield(minutes: int, by: Moderator = MODERATOR, *, nonce: str = "") -> ShieldOrder:
    return ShieldOrder(ShieldCommand(by, "live", minutes, "raid"), LOG, Origin("e" * 32, 4, nonce))


async def test_a_shield_is_told_and_obeyed_by_every_replica_up_to_its_end_by_its_clock_and_is_kept(
    replicas: list[Ports], clock: Clock, room: Room
) -> None:
    here, there = replicas
    await execute(here, order(5))
    receipt = await execute(here, shield(15, nonce="n1"))
    assert (await execute(there, shield(0, nonce="n1"))).action_id == receipt.action_id
    await read_policies(there)
    (*_, entry) = (await room.entries()).values()
    policy = entry.policy_changed.policy
    assert (policy.slow_mode_seconds, policy.shield.preset.slow_mode_seconds) == (5, 30)
    check = MessageCheck(ANA._replace(user_id=0, rank=Rank.ANONYMOUS), "live", 21, "")
    for ports in (here, there):
        assert held_to(ports) == SHIELD_PRESET
        assert ports.admission.judge_message(check, ports.clock()).decision is Decision.READ_ONLY
    clock.ahead_ms = 15 * 60_000
    for ports in (here, there):
        assert held_to(ports) == Policy(5)
        assert ports.admission.judge_message(check, ports.clock()).decision is Decision.ADMITTED


async def test_a_shield_is_switched_off_at_once_and_asks_for_what_its_replica_was_set_to(
    replicas: list[Ports], room: Room
) -> None:
    ports = replace(replicas[0], shield_preset=Policy(members_only=True))
    await execute(ports, shield(15))
    assert held_to(ports) == Policy(members_only=True)
    await execute(ports, shield(0))
    assert held_to(ports) is None
    *_, last = (await room.entries()).values()
    assert not last.policy_changed.policy.HasField("shield")


async def test_a_user_sets_no_shield(replicas: list[Ports]) -> None:
    with pytest.raises(NotPermitted):
        await execute(replicas[0], shield(15, Moderator(5, Rank.USER)))
    assert await AuditRow.all().count() == 0


async def test_however_many_were_changed_they_are_all_read(
    replicas: list[Ports], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.usecases.refresh.READ_AT_ONCE", 3)
    for number in range(7):
        await replicas[0].store.change_policy(order(1, log=None, slug=f"s{number}"), now_ms=1_000)
    await read_policies(replicas[1])
    assert len(replicas[1].policies) == 7


async def test_what_could_not_be_told_while_nats_was_away_is_told_when_it_is_back(
    replicas: list[Ports], nats_server: Nats, room: Room, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(module, "TRIED_FOR_S", 0.1)
    nats_server.stop()
    receipt = await execute(replicas[0], order(30))
    assert receipt.entry_id == 0
    assert held_to(replicas[0]) == Policy(30)
    nats_server.start()
    working = asyncio.create_task(keep_working(replicas[1]))
    try:

        async def is_told() -> bool:
            row = await OutboxRow.get(action_id=receipt.action_id)
            return row.done_at_ms is not None

        await eventually(is_told)
    finally:
        await end_tasks([working])
    assert [seconds for _, seconds, _ in await told(room)] == [30]

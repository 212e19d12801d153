"""Sanctions on one worker: what moderators ask for goes out, what was decided is told and enforced."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import structlog
from edge_world import Client, NeverWarned, World
from structlog.contextvars import merge_contextvars

from chassis.tasks import SLICE
from chassis.traces import read_trace
from ws_edge.chat.registry import ConnectionRegistry, HeldRoom
from ws_edge.errors import CloseCode, ErrorCode
from ws_edge.ports import CommandRefusal, CommandRequest, CommandResult
from ws_edge.protocol.commands import ChangeSanction, Target
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room.room import Room

AT_MS = 1_764_261_180_000


def event_of(
    action: Action,
    *,
    target: int | None = 5,
    username: str | None = None,
    slug: str | None = "s",
    scope: Scope = Scope.ROOM,
    addresses: tuple[str, ...] = (),
    number: int = 1,
    silent: bool = False,
    rank: Rank = Rank.ADMIN,
) -> SanctionEvent:
    user_id = None if target is None else UserId(target)
    room = None if slug is None else Slug(slug)
    where = None if scope is Scope.EVERYWHERE else room
    imposed: tuple[Sanction, ...] = ()
    if action in (Action.BAN, Action.MUTE):
        imposed = (Sanction(number, action, user_id, username, frozenset(addresses), where, rank, None),)
    lifted = () if imposed else (1,)
    return SanctionEvent(number, action, user_id, username, UserId(1), 60, scope, room, AT_MS, imposed, lifted, silent)


async def test_ban_everyone_is_told_then_every_connection_of_the_target_gets_4003(world: World) -> None:
    witness = await world.join("s", "1:admin")
    target, again = await world.join("s", "5:user"), await world.join("s", "5:user")
    elsewhere = await world.join("t", "5:user")
    world.worker.sanction_changed(event_of(Action.BAN))
    await world.settle()
    told = {
        "type": "moderation_action",
        "data": {
            "action": "ban",
            "target_user_id": 5,
            "moderator_user_id": 1,
            "duration_minutes": 60,
            "timestamp": "2025-11-27T16:33:00.000Z",
        },
    }
    assert witness.frames == target.frames == again.frames == [told]
    assert (witness.closed_with, target.closed_with, again.closed_with) == (None, 4003, 4003)
    assert (elsewhere.frames, elsewhere.closed_with) == ([], None)


async def test_mute_everyone_is_told_and_the_target_stays(world: World) -> None:
    target = await world.join("s", "5:user")
    world.worker.sanction_changed(event_of(Action.MUTE))
    await world.settle()
    assert (target.types, target.closed_with) == (["moderation_action"], None)


async def test_a_mute_ends_the_typing_of_the_target_that_others_are_shown(world: World) -> None:
    witness, target = await world.join("s", "1:admin"), await world.join("s", "5:user")
    target.send("typing_start")
    world.worker.sanction_changed(event_of(Action.MUTE))
    await world.settle()
    assert witness.types == ["typing_start", "moderation_action", "typing_stop"]
    target.send("typing_start")
    await world.settle()
    assert witness.types[3:] == []


@pytest.mark.parametrize("action", [Action.UNBAN, Action.UNMUTE])
async def test_lifting_is_told_and_no_longer_in_the_book(world: World, action: Action) -> None:
    target = await world.join("s", "5:user")
    world.worker.sanction_changed(event_of(Action.MUTE))
    world.worker.sanction_changed(event_of(action, number=2))
    await world.settle()
    assert [f["data"]["action"] for f in target.frames] == ["mute", action.word]  # type: ignore[index]
    assert world.ports.cache.by_id == {}


async def test_an_event_that_comes_twice_is_told_once(world: World) -> None:
    witness = await world.join("s", "1:user")
    world.worker.sanction_changed(event_of(Action.MUTE))
    world.worker.sanction_changed(event_of(Action.MUTE))
    await world.settle()
    assert witness.types == ["moderation_action"]


async def test_scope_everywhere_closes_and_tells_where_the_target_is(world: World) -> None:
    here, there = await world.join("s", "5:user"), await world.join("t", "5:user")
    witness, stranger = await world.join("t", "2:user"), await world.join("u", "3:user")
    world.worker.sanction_changed(event_of(Action.BAN, scope=Scope.EVERYWHERE))
    await world.settle()
    assert (here.closed_with, there.closed_with) == (4003, 4003)
    assert (witness.types, stranger.types) == (["moderation_action"], [])


async def test_a_ban_of_a_user_closes_anonymous_connections_of_the_same_addresses(world: World) -> None:
    same = await world.join("s", address="192.0.2.5")
    other = await world.join("s", address="192.0.2.6")
    signed_in = await world.join("s", "6:user", address="192.0.2.5")
    world.worker.sanction_changed(event_of(Action.BAN, addresses=("192.0.2.5",)))
    assert (same.closed_with, other.closed_with, signed_in.closed_with) == (4003, None, None)


async def test_an_address_added_later_is_enforced_and_not_told(world: World) -> None:
    same = await world.join("s", address="192.0.2.5")
    witness = await world.join("s", "2:user")
    world.worker.sanction_changed(event_of(Action.BAN, addresses=("192.0.2.5",), silent=True))
    assert (same.closed_with, witness.types) == (4003, [])


async def test_anonymous_target_has_null_id_and_its_name_in_the_frame(world: World) -> None:
    target = await world.join("s", address="192.0.2.5")
    name = "Anonymous_192.0.2.5"
    world.worker.sanction_changed(event_of(Action.BAN, target=None, username=name, addresses=("192.0.2.5",)))
    assert target.frames[0]["data"] == {
        "action": "ban",
        "target_user_id": None,
        "moderator_user_id": 1,
        "duration_minutes": 60,
        "timestamp": "2025-11-27T16:33:00.000Z",
        "target_username": name,
    }
    assert target.closed_with == 4003


async def test_a_sanction_never_applies_to_a_token_of_equal_or_higher_rank(world: World) -> None:
    target = await world.join("s", "5:admin")
    world.worker.sanction_changed(event_of(Action.BAN, rank=Rank.ADMIN))
    assert target.closed_with is None


async def test_moderation_action_carries_who_what_where_and_the_target_s_highest_rank(world: World) -> None:
    world.rooms.ranks[5] = Rank.MODERATOR
    await world.join("s", "5:user")
    moderator = await world.join("s", "1:moderator")
    world.moderation.event = event_of(Action.MUTE)
    moderator.send("moderation_action", action="mute", target_user_id=5, duration_minutes=60, reason="spam")
    await world.settle()
    request = world.moderation.requests[0]
    assert request.command == ChangeSanction(Action.MUTE, Target(UserId(5), None), Scope.ROOM, 60)
    assert (request.reason, request.slug, request.nonce) == ("spam", "s", "")
    assert (request.actor.key, request.target_rank) == ("u:1", Rank.MODERATOR)
    assert moderator.types == ["moderation_action"]


async def test_each_moderation_action_begins_a_trace_of_its_own(world: World) -> None:
    moderator = await world.join("s", "1:moderator")
    for _ in range(2):
        moderator.send("moderation_action", action="mute", target_user_id=5)
    await world.settle()
    first, second = world.moderation.traces
    assert read_trace(first) == first
    assert read_trace(second) == second
    assert first != second


async def test_a_token_that_carries_an_anonymous_name_does_not_shield_who_has_that_name(world: World) -> None:
    await world.join("s", "7:admin")
    assert world.worker.connections.connected_rank(None, "user_7", None) is None
    await world.join("s", address="192.0.2.1")
    assert world.worker.connections.connected_rank(None, "Anonymous_192.0.2.1", Slug("s")) is Rank.ANONYMOUS


async def test_a_ban_whose_lifting_was_heard_first_closes_nobody(world: World) -> None:
    target = await world.join("s", "5:user")
    unban, ban = event_of(Action.UNBAN, number=2), event_of(Action.BAN, number=1)
    assert unban.lifted_ids == (ban.imposed[0].id,)
    world.worker.sanction_changed(unban)
    world.worker.sanction_changed(ban)
    await world.settle()
    assert (target.types, target.closed_with) == (["moderation_action", "moderation_action"], None)
    assert (await world.join("s", "5:user")).closed_with is None


async def test_rooms_away_the_target_s_rank_here_counts(world: World) -> None:
    await world.join("s", "5:admin")
    moderator = await world.join("s", "1:moderator")
    world.rooms.is_away = True
    moderator.send("moderation_action", action="mute", target_user_id=5)
    await world.settle()
    assert world.moderation.requests[0].target_rank is Rank.ADMIN


async def test_refused_action_is_you_do_not_have_permission(world: World) -> None:
    moderator = await world.join("s", "1:moderator")
    moderator.send("moderation_action", action="ban", target_user_id=5)
    await world.settle()
    assert moderator.frames == [
        {
            "type": "error",
            "data": {
                "message": "You do not have permission to moderate this room",
                "code": "not_moderator",
            },
        }
    ]


async def test_user_is_refused_without_asking_moderation(world: World) -> None:
    user = await world.join("s", "1:user")
    user.send("moderation_action", action="mute", target_user_id=5)
    await world.settle()
    assert (user.types, world.moderation.requests) == (["not_moderator"], [])


async def test_moderation_away_an_action_is_unavailable(world: World) -> None:
    moderator = await world.join("s", "1:moderator")
    world.moderation.is_away = True
    moderator.send("moderation_action", action="mute", target_user_id=5)
    await world.settle()
    assert moderator.types == ["unavailable"]


async def test_an_action_that_fails_is_logged_and_refused_with_its_nonce_and_the_next_is_carried_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    moderator = await world.join("s", "1:moderator")
    execute, failures = world.moderation.execute, [KeyError("spam"), None]

    async def fail_once(request: CommandRequest) -> CommandResult | CommandRefusal | Decided:
        if failure := failures.pop(0):
            raise failure
        return await execute(request)

    monkeypatch.setattr(world.moderation, "execute", fail_once)
    world.moderation.event = event_of(Action.MUTE)
    with structlog.testing.capture_logs(processors=[merge_contextvars]) as logs:
        for nonce in ("first", "second"):
            moderator.send("moderation_action", action="mute", target_user_id=5, nonce=nonce)
        await world.settle()
    assert moderator.types == ["unavailable", "moderation_action"]
    assert moderator.frames[0]["data"]["nonce"] == "first"  # type: ignore[index]
    (entry,) = logs
    assert (entry["event"], entry["kind"]) == ("moderation_action_failed", "KeyError")
    assert entry["trace"] == read_trace(entry["trace"])
    assert "spam" not in str(entry)


async def test_a_ban_whose_event_was_missed_is_enforced_at_the_next_reading(world: World) -> None:
    target = await world.join("s", "5:user")
    world.moderation.sanctions.extend(event_of(Action.BAN).imposed)
    await world.worker.actions.refresh()
    assert target.closed_with == 4003


async def test_a_ban_everywhere_whose_lifting_was_missed_ends_on_an_idle_edge_with_the_next_reading(
    world: World,
) -> None:
    world.worker.sanction_changed(event_of(Action.BAN, scope=Scope.EVERYWHERE))
    refused = await world.arrive("s", "5:user")
    await world.settle()
    assert refused.closed_with == 4003
    world.clock.time_s += 1
    await world.worker.actions.refresh()
    await world.join("s", "5:user")


async def test_an_event_that_overtakes_a_reading_is_not_undone_by_it(world: World) -> None:
    await world.join("s", "2:user")
    world.worker.sanction_changed(event_of(Action.MUTE))
    heard = world.worker.sanction_reader.recent_events
    heard[-1] = (world.clock.now_s(), heard[-1][1])
    await world.worker.actions.refresh()
    assert list(world.ports.cache.by_id) == [1]
    world.clock.time_s += 1
    await world.worker.actions.refresh()
    assert list(world.ports.cache.by_id) == []


@dataclass(eq=False)
class Inside(NeverWarned):
    """An occupant of whom nothing is asked but where they are."""

    id: ConnectionId
    speaker: Speaker
    slug: Slug
    membership: Membership
    room: Room | None = None
    ended: list[int] = field(default_factory=list)

    def settle_rank(self) -> None: ...

    def stop_typing(self) -> None: ...

    def write(self, frames: bytes) -> None: ...

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None: ...

    def give_way(self) -> None: ...

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        self.ended.append(code)


def crowd(world: World, size: int, life: int = 1, *, user_id: int | None = None) -> list[Inside]:
    """So many signed-in users in the registry, from 1001 on; `user_id`: so many connections of one user."""
    people = []
    for number in range(1001, 1001 + size):
        identity = Identity(UserId(user_id or number), "ana", None, (), Rank.USER, None)
        membership = Membership(RoomId(1), Life(life), Slug("s"), 1, 1, crowded=False)
        one = Inside(ConnectionId(number), Speaker(identity, "192.0.2.1", f"e:{number}"), Slug("s"), membership)
        world.worker.connections.add(one)
        world.worker.connections.note_membership(one)
        people.append(one)
    return people


async def test_a_refresh_looks_at_many_in_slices_and_what_happens_meanwhile_holds(world: World) -> None:
    people = crowd(world, 5 * SLICE)
    first, left, last = people[0], people[-2], people[-1]
    missed = [ban for one in (first, left) for ban in event_of(Action.BAN, target=one.speaker.identity.user_id).imposed]
    world.moderation.sanctions += [replace(ban, id=10 + number, slug=None) for number, ban in enumerate(missed)]
    refreshing = asyncio.create_task(world.worker.actions.refresh())
    turns = 0
    while not first.ended:  # noqa: ASYNC110 - the turns of the loop are what is looked at
        await asyncio.sleep(0)
    while not refreshing.done():
        turns += 1
        if turns == 1:
            assert (left.ended, last.ended) == ([], [])
            world.worker.sanction_changed(
                event_of(Action.BAN, target=last.speaker.identity.user_id, slug=None, scope=Scope.EVERYWHERE, number=99)
            )
            assert last.ended == [4003]
        await asyncio.sleep(0)
    assert turns >= 4
    assert (first.ended, left.ended) == ([4003], [4003])
    assert not any(one.ended for one in people[1:-2])


async def test_many_rooms_recover_in_slices_when_the_bus_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = {}
    for life in range(1, 2 * SLICE + 2):
        membership = Membership(RoomId(life), Life(life), Slug(f"s{life}"), 1, 1, crowded=False)
        opened = asyncio.get_running_loop().create_future()
        if life % 2:
            opened.set_result(None)
        rooms[Life(life)] = HeldRoom(world.worker.held_rooms.new_room(membership), opened)
    recovered: list[Life] = []
    monkeypatch.setattr(Room, "recover", lambda room: recovered.append(room.life))
    monkeypatch.setattr(Room, "reread_presence", lambda room: None)
    world.worker.held_rooms.by_life.update(rooms)
    world.worker.bus_restored()
    assert len(recovered) == SLICE // 2
    await world.settle()
    assert recovered == list(range(1, 2 * SLICE + 2, 2))
    assert [life for life, held in rooms.items() if held.was_interrupted] == list(range(2, 2 * SLICE + 1, 2))


async def test_a_deleted_room_of_many_is_closed_in_slices_and_nobody_elsewhere_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = crowd(world, 3 * SLICE + 1, life=7)
    elsewhere = await world.join("t", "1:user")
    with monkeypatch.context() as patch:
        patch.setattr(ConnectionRegistry, "__iter__", lambda _: pytest.fail("everybody is gone through"))
        world.worker.room_deleted(Life(7))
    counts = [sum(bool(one.ended) for one in people)]
    while counts[-1] < len(people):
        await asyncio.sleep(0)
        counts.append(sum(bool(one.ended) for one in people))
    assert counts[0] == SLICE
    assert all(later - earlier <= SLICE for earlier, later in pairwise(counts))
    assert {tuple(one.ended) for one in people} == {(4004,)}
    assert elsewhere.closed_with is None


async def test_a_ban_that_holds_many_connections_is_enforced_in_slices_and_the_first_at_once(world: World) -> None:
    people = crowd(world, 3 * SLICE + 1, user_id=5)
    world.worker.sanction_changed(event_of(Action.BAN, scope=Scope.EVERYWHERE))
    counts = [sum(bool(one.ended) for one in people)]
    for _ in range(10):
        await asyncio.sleep(0)
        counts.append(sum(bool(one.ended) for one in people))
    assert counts[0] == SLICE
    assert all(later - earlier <= SLICE for earlier, later in pairwise(counts))
    assert {tuple(one.ended) for one in people} == {(4003,)}


async def test_deleted_room_closes_those_inside_with_4004(world: World) -> None:
    inside, outside = await world.join("s", "1:user"), await world.join("t", "1:user")
    life = next(held.room.life for held in world.worker.held_rooms.by_life.values() if held.room.slug == "s")
    world.worker.room_deleted(life)
    assert (inside.closed_with, outside.closed_with) == (4004, None)


async def test_leaving_tells_moderation_where_somebody_was_last(world: World) -> None:
    client = await world.join("s", "1:user")
    client.hang_up()
    assert world.moderation.seen == [("u:1", "s")]


async def test_membership_that_another_life_has_replaced_is_closed_with_1012(world: World) -> None:
    client = await world.join("s", "1:user")
    held = list(world.worker.held_connections())
    assert [(h.connection, h.slug) for h in held] == [(1, "s")]
    world.worker.membership_lost(held[0].connection)
    assert client.closed_with == 1012


async def live(world: World) -> Client:
    client = Client(world.arrivals.arrive_live("192.0.2.1"))
    client.receiver.connected(client)
    return client


async def test_live_text_goes_as_it_is_to_everyone_on_every_edge(world: World) -> None:
    ana, ben = await live(world), await live(world)
    ana.receiver.receive_text('{"any": "thing", "ü": 1}'.encode())
    assert ana.raw == b""
    world.worker.broadcast_received(world.bus.broadcasts[0])
    await world.settle()
    assert ana.raw == ben.raw == b"\x81\x19" + '{"any": "thing", "ü": 1}'.encode()


async def test_live_11th_frame_in_10_seconds_is_rate_limit_exceeded(world: World) -> None:
    client = await live(world)
    for _ in range(11):
        client.receiver.receive_text(b"x")
    assert len(world.bus.broadcasts) == 10
    assert client.frames[0]["data"]["message"] == "Rate limit exceeded"  # type: ignore[index]
    world.clock.time_s += 10
    client.receiver.receive_text(b"x")
    assert len(world.bus.broadcasts) == 11


async def test_live_binary_is_invalid_message_format(world: World) -> None:
    client = await live(world)
    client.receiver.receive_binary()
    assert client.types == ["invalid_format"]


async def test_live_frames_are_of_at_most_4_kib(world: World) -> None:
    assert (await live(world)).receiver.frame_limit_bytes == 4096
    assert (await world.join()).receiver.frame_limit_bytes == 16384


async def test_live_nats_away_is_told(world: World) -> None:
    client = await live(world)
    world.bus.is_away = True
    client.receiver.receive_text(b"x")
    assert client.types == ["unavailable"]


async def test_live_50_refused_frames_close_with_1008(world: World) -> None:
    client = await live(world)
    for _ in range(50):
        client.receiver.receive_binary()
    assert client.closed_with == 1008
    assert world.holds_nothing()


async def test_sanctions_of_a_room_left_while_they_were_read_are_not_kept(world: World) -> None:
    client = await world.join("s", "1:user")
    world.moderation.reading.shut()
    world.moderation.reading.reached.clear()
    reading = asyncio.create_task(world.worker.actions.refresh())
    await world.moderation.reading.reached.wait()
    client.hang_up()
    world.moderation.reading.open()
    await reading
    assert world.holds_nothing()

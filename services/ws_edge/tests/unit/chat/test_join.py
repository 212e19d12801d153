"""How a client gets into a room: the steps in their order, each refusal, and a client gone at each step."""

import asyncio
from dataclasses import replace

import pytest
import structlog
from edge_world import Client, FakeTokens, World, until
from msgspec import to_builtins

from ws_edge.chat.connection import ChatConnection
from ws_edge.errors import TokensUnavailable
from ws_edge.ports import JoinRefusal
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, Slug, UserId
from ws_edge.protocol.policies import NO_POLICY
from ws_edge.protocol.resume_text import ResumeTexts
from ws_edge.protocol.rooms import RoomSnapshot
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room.room import Room


def ban_of(
    user_id: int, slug: str | None = "s", *, event_id: int = 1, addresses: frozenset[str] = frozenset()
) -> SanctionEvent:
    where = None if slug is None else Slug(slug)
    ban = Sanction(event_id, Action.BAN, UserId(user_id), None, addresses, where, Rank.ADMIN, None)
    scope = Scope.EVERYWHERE if slug is None else Scope.ROOM
    return SanctionEvent(event_id, Action.BAN, UserId(user_id), None, UserId(1), 0, scope, where, 0, imposed=(ban,))


async def test_first_frame_after_a_successful_join_is_room_joined(world: World) -> None:
    world.entrance.resume_texts = ResumeTexts(None)
    client = await world.arrive("s")
    await world.settle()
    you = {"user_id": None, "username": "Anonymous_192.0.2.1", "roles": [], "may": ["write"]}
    data = {"room_id": 7, "connection_count": 1, "last_id": 0, "epoch": "1.1", "you": you}
    data |= {"policy": to_builtins(NO_POLICY), "pinned": None}
    assert client.frames == [{"type": "room_joined", "data": data}]


async def test_connection_count_includes_the_new_one(world: World) -> None:
    await world.join("s")
    second = await world.arrive("s", "2:user")
    await world.settle()
    assert second.frames[0]["data"]["connection_count"] == 2  # type: ignore[index]


async def test_checks_come_before_the_membership_and_after_the_subscription(world: World) -> None:
    world.rooms.joining.shut()
    await world.arrive("s")
    await world.settle()
    assert world.moderation.checks == [("s", False)]
    world.rooms.joining.open()
    await world.settle()
    assert world.moderation.checks == [("s", False), ("s", True)]


async def test_in_a_held_room_whose_sanctions_were_just_read_only_the_final_check_is_asked(world: World) -> None:
    await world.join("s")
    world.moderation.checks.clear()
    await world.join("s", "2:user")
    assert world.moderation.checks == [("s", True)]


async def test_frames_sent_before_room_joined_are_handled_after_it_in_order(world: World) -> None:
    client = await world.arrive("s")
    client.say("one")
    client.send("ping")
    client.say("two")
    await world.settle()
    assert client.types == ["room_joined", "pong", "chat_message", "chat_message"]
    assert [f["data"]["message"] for f in client.frames[2:]] == ["one", "two"]  # type: ignore[index]


async def test_50_first_joins_at_once_hold_one_room_with_one_subscription(world: World) -> None:
    clients = [await world.arrive("s", f"{n}:user") for n in range(1, 51)]
    await world.settle()
    assert [client.types[0] for client in clients] == ["room_joined"] * 50
    assert sum(len(listeners) for listeners in world.bus.listeners.values()) == 1
    assert len(world.worker.held_rooms.by_life) == 1
    for client in clients:
        client.hang_up()
    assert world.holds_nothing()


@pytest.mark.parametrize("step", ["resolving", "checking", "joining", "subscribing", "finally_checking"])
async def test_a_client_gone_at_any_step_of_joining_leaves_nothing_behind(world: World, step: str) -> None:
    gate = next(
        found for part in (world.rooms, world.moderation, world.bus) if (found := getattr(part, step, None)) is not None
    )
    gate.shut()
    client = await world.arrive("42")
    await gate.reached.wait()
    client.hang_up()
    gate.open()
    await world.settle()
    assert world.holds_nothing()
    assert client.frames == []


async def test_a_client_that_takes_nothing_before_room_joined_is_closed_with_1013(world: World) -> None:
    world.moderation.finally_checking.shut()
    client = await world.arrive("s", "1:user")
    await world.settle()
    client.receiver.congestion_changed(False)
    assert not client.over.is_set()
    client.receiver.congestion_changed(True)
    world.moderation.finally_checking.open()
    await world.settle()
    assert (client.frames, client.closed_with) == ([], 1013)
    assert world.holds_nothing()


async def test_a_client_gone_while_joining_leaves_the_others_in_the_room(world: World) -> None:
    stays = await world.join("s", "1:user")
    world.moderation.finally_checking.shut()
    goes = await world.arrive("s", "2:user")
    await world.settle()
    goes.hang_up()
    world.moderation.finally_checking.open()
    await world.settle()
    stays.say("still here")
    await world.settle()
    assert stays.types == ["chat_message"]
    assert len(world.worker.held_rooms.by_life) == 1


async def test_a_membership_that_was_asked_for_is_always_given_back(world: World) -> None:
    world.rooms.joining.shut()
    client = await world.arrive("s")
    await world.rooms.joining.reached.wait()
    client.hang_up()
    assert world.rooms.left == [1]


async def test_banned_user_gets_access_denied_and_4003_and_makes_no_room(world: World) -> None:
    world.moderation.banned.add(UserId(5))
    client = await world.arrive("s", "5:user")
    await world.settle()
    assert client.frames == [{"type": "error", "data": {"message": "Access denied", "code": "access_denied"}}]
    assert client.closed_with == 4003
    assert world.meter.turned_away_with == ["access_denied"]
    assert world.rooms.created == 0
    assert world.holds_nothing()


@pytest.mark.parametrize("step", ["joining", "subscribing", "finally_checking"])
async def test_a_ban_that_comes_while_the_target_is_joining_keeps_it_out(world: World, step: str) -> None:
    gate = next(
        found for part in (world.rooms, world.moderation, world.bus) if (found := getattr(part, step, None)) is not None
    )
    witness = await world.join("s", "1:user")
    if step == "subscribing":
        witness.hang_up()
    gate.shut()
    target = await world.arrive("s", "5:user")
    await gate.reached.wait()
    world.moderation.banned.add(UserId(5))
    world.moderation.sanctions.extend(ban_of(5).imposed)
    world.worker.sanction_changed(ban_of(5))
    gate.open()
    await world.settle()
    assert target.types == ["access_denied"]
    assert target.closed_with == 4003


@pytest.mark.parametrize(
    ("refusal", "frames", "code"),
    [
        (JoinRefusal.NOT_FOUND, "Not found", 4004),
        (JoinRefusal.ACCESS_DENIED, "Access denied", 4003),
        (JoinRefusal.UNAVAILABLE, "Service unavailable", 1013),
    ],
)
async def test_refusals_of_the_rooms_service_are_told(
    world: World, refusal: JoinRefusal, frames: str, code: int
) -> None:
    world.rooms.refusal = refusal
    client = await world.arrive("video-9")
    await world.settle()
    assert [f["data"]["message"] for f in client.frames] == [frames]  # type: ignore[index]
    assert client.closed_with == code
    assert len(world.meter.turned_away_with) == 1
    assert world.holds_nothing()


@pytest.mark.parametrize("away", ["rooms", "moderation", "bus"])
async def test_service_behind_the_edge_away_is_service_unavailable_1013(world: World, away: str) -> None:
    getattr(world, away).is_away = True
    client = await world.arrive("s")
    await world.settle()
    assert client.frames == [{"type": "error", "data": {"message": "Service unavailable", "code": "unavailable"}}]
    assert client.closed_with == 1013
    assert world.holds_nothing()


async def test_moderation_away_joins_go_on_for_60_s_where_sanctions_were_read(world: World) -> None:
    await world.join("s", "1:user")
    world.moderation.is_away = True
    world.clock.time_s += 60.0
    assert (await world.join("s", "2:user")).closed_with is None
    world.clock.time_s += 0.1
    late = await world.arrive("s", "3:user")
    await world.settle()
    assert (late.types, late.closed_with) == (["unavailable"], 1013)


async def test_moderation_away_a_ban_that_was_read_still_holds(world: World) -> None:
    world.moderation.sanctions.extend(ban_of(5).imposed)
    await world.join("s", "1:user")
    world.moderation.is_away = True
    banned = await world.arrive("s", "5:user")
    await world.settle()
    assert (banned.types, banned.closed_with) == (["access_denied"], 4003)


async def test_a_room_that_opens_with_a_past_reads_who_is_in_it(world: World) -> None:
    world.rooms.lives[Slug("s")] = Life(9)
    world.rooms.versions[Slug("s")] = 4
    world.rooms.members[ConnectionId(99)] = Slug("s")
    world.rooms.snapshots[Life(9)] = RoomSnapshot(5, 2, False, ())
    client = await world.arrive("s")
    await world.settle()
    assert client.types == ["room_joined"]


@pytest.mark.parametrize("token", ["x", "", "nonsense"])
async def test_bad_token_is_invalid_token_1008(world: World, token: str) -> None:
    client = await world.arrive("s", token)
    assert client.frames == [{"type": "error", "data": {"message": "Invalid token", "code": "invalid_token"}}]
    assert client.closed_with == 1008


async def test_a_connection_whose_token_expires_is_told_invalid_token_and_closed_with_1008(world: World) -> None:
    client = await world.join("s", "7:user@0.05")
    async with asyncio.timeout(30):
        await client.over.wait()
    assert (client.types, client.closed_with) == (["invalid_token"], 1008)
    assert world.holds_nothing()


async def test_a_token_that_holds_for_years_is_not_taken_for_expired_before(world: World) -> None:
    client = await world.join("s", "7:user@400000000")
    connection = next(iter(world.worker.connections))
    world.clock.time_s += 399_999_999
    connection._watch_expiry()  # type: ignore[attr-defined]
    assert client.types == []
    world.clock.time_s += 1
    connection._watch_expiry()  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        await client.over.wait()
    assert (client.types, client.closed_with) == (["invalid_token"], 1008)


@pytest.mark.parametrize("ref", ["", "007", "0", ".hidden", "a b", "x" * 129, str(2**53)])
async def test_malformed_room_reference_is_not_found_4004(world: World, ref: str) -> None:
    client = await world.arrive(ref)
    assert client.frames == [{"type": "error", "data": {"message": "Not found", "code": "not_found"}}]
    assert client.closed_with == 4004


async def test_malformed_video_id_is_not_found_4004(world: World) -> None:
    client = Client(world.arrivals.arrive_video("x1", None, "192.0.2.1"))
    client.receiver.connected(client)
    await world.settle()
    assert (client.types, client.closed_with) == (["not_found"], 4004)


async def test_over_the_limit_of_connections_is_too_many_connections_1013(world: World) -> None:
    world.limits.of_address = 2
    first, _ = await world.join(), await world.join()
    third = await world.arrive()
    assert third.frames == [
        {"type": "error", "data": {"message": "Too many connections", "code": "too_many_connections"}}
    ]
    assert third.closed_with == 1013
    first.hang_up()
    assert (await world.join()).closed_with is None


async def test_ipv6_counts_by_its_64_network(world: World) -> None:
    world.limits.of_address = 1
    await world.join(address="2001:db8::1")
    assert (await world.arrive(address="2001:db8::2")).closed_with == 1013
    assert (await world.join(address="2001:db8:0:1::2")).closed_with is None


async def test_over_the_limit_of_handshakes_a_second_is_too_many_connections(world: World) -> None:
    world.limits.handshakes.limit = 2
    await world.join()
    await world.join()
    assert (await world.arrive()).closed_with == 1013
    world.clock.time_s += 1.0
    assert (await world.join()).closed_with is None


async def test_bad_tokens_count_as_handshakes(world: World) -> None:
    world.limits.handshakes.limit = 2
    refused = [await world.arrive("s", "nonsense") for _ in range(3)]
    assert [client.types for client in refused] == [["invalid_token"], ["invalid_token"], ["too_many_connections"]]
    assert world.holds_nothing()


async def test_while_the_keys_of_tokens_cannot_be_read_a_token_is_service_unavailable_1013(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_tokens: FakeTokens, _token: str) -> Identity:
        raise TokensUnavailable

    monkeypatch.setattr(FakeTokens, "verify", fail)
    client = await world.arrive("s", "1:user")
    assert (client.types, client.closed_with) == (["unavailable"], 1013)
    await world.join("s")


async def test_a_defect_while_a_token_is_verified_closes_with_1011_and_its_words_are_not_logged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_tokens: FakeTokens, token: str) -> Identity:
        raise ZeroDivisionError(token)

    monkeypatch.setattr(FakeTokens, "verify", fail)
    with structlog.testing.capture_logs() as logs:
        client = await world.arrive("s", "SECRET")
    assert (client.types, client.closed_with) == ([], 1011)
    assert (world.meter.turned_away_with, world.meter.closes) == (["internal"], [])
    assert [(line["event"], line["kind"]) for line in logs] == [("arrival_failed", "ZeroDivisionError")]
    assert logs[0]["place"].endswith(" fail")
    assert "SECRET" not in str(logs)
    assert world.holds_nothing()


async def test_a_client_gone_while_its_token_is_verified_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_tokens: FakeTokens, _token: str) -> Identity:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(FakeTokens, "verify", wait)
    client = await world.arrive("s", "1:user")
    client.say("early")
    assert len(world.ports.tasks) == 1
    client.hang_up()
    await world.settle()
    assert (client.frames, len(world.ports.tasks)) == ([], 0)
    assert (world.meter.turned_away_with, world.meter.closes) == ([], [])
    assert world.holds_nothing()


async def test_what_a_client_owes_when_it_is_over_is_given_back_at_once(world: World) -> None:
    client = await world.join("s", "1:user")
    (connection,) = world.worker.connections
    assert isinstance(connection, ChatConnection)
    given_back: list[int] = []
    connection.owe(given_back.append, 1)
    connection.owe(given_back.append, 2)
    assert given_back == []
    client.hang_up()
    assert given_back == [2, 1]
    connection.owe(given_back.append, 3)
    assert given_back == [2, 1, 3]


async def test_who_is_sent_away_from_a_room_is_expected_back_and_nobody_else(world: World) -> None:
    inside, leaving = await world.join("s", "1:user"), await world.join("s", "2:user")
    leaving.receiver.lost()
    world.rooms.joining.shut()
    await world.arrive("s", "3:user")
    await world.worker.drain(0.0)
    await world.settle()
    assert inside.closed_with == 1012
    assert world.rooms.away == [1]
    assert sorted(world.rooms.left) == [1, 2, 3]


async def test_edge_that_is_draining_refuses_with_1012(world: World) -> None:
    world.entrance.drain_state.is_draining = True
    client = await world.arrive()
    assert (client.types, client.closed_with) == (["unavailable"], 1012)


async def test_drain_closes_everybody_with_1012_and_gives_all_back(world: World) -> None:
    clients = [await world.join("s", f"{n}:user") for n in range(1, 4)]
    live = Client(world.arrivals.arrive_live("192.0.2.9"))
    live.receiver.connected(live)
    await world.worker.drain(0.02)
    assert [client.closed_with for client in (*clients, live)] == [1012] * 4
    assert world.holds_nothing()


async def test_who_is_still_joining_when_the_edge_drains_is_told_unavailable_and_closed_with_1012(world: World) -> None:
    inside = await world.join("s", "1:user")
    world.moderation.finally_checking.shut()
    joining = await world.arrive("s", "2:user")
    await world.settle()
    await world.worker.drain(0.0)
    assert (inside.types, inside.closed_with) == ([], 1012)
    assert (joining.types, joining.closed_with) == (["unavailable"], 1012)
    world.moderation.finally_checking.open()
    await world.settle()
    assert world.holds_nothing()


async def test_who_gets_in_while_the_edge_drains_is_closed_like_all_inside(world: World) -> None:
    first = await world.join("s", "1:user")
    world.moderation.finally_checking.shut()
    second = await world.arrive("s", "2:user")
    await world.settle()
    draining = asyncio.create_task(world.worker.drain(4.0))
    async with asyncio.timeout(30):
        await first.over.wait()
    world.moderation.finally_checking.open()
    await draining
    assert (second.types, second.closed_with) == (["room_joined"], 1012)


async def test_a_client_that_joins_a_room_deleted_meanwhile_is_not_found_4004(world: World) -> None:
    world.rooms.snapshots[Life(1)] = RoomSnapshot(0, 0, False, (), deleted=True)
    clients = [await world.arrive("s", f"{number}:user") for number in (1, 2)]
    await world.settle()
    assert [(client.types, client.closed_with) for client in clients] == [(["not_found"], 4004)] * 2
    assert world.holds_nothing()


async def test_what_holds_everywhere_is_read_once_and_a_room_that_opens_reads_its_own_sanctions(world: World) -> None:
    for slug in ("s", "s", "t", "u"):
        await world.join(slug, "1:user")
    assert world.moderation.reads == [None, ("s",), ("t",), ("u",)]
    await world.worker.actions.refresh()
    assert world.moderation.reads[4:] == [None, ("s", "t", "u")]


async def test_a_worker_reads_what_holds_everywhere_when_it_starts_and_when_the_bus_is_back(world: World) -> None:
    world.worker.start()
    await world.settle()
    assert world.moderation.reads == [None]
    world.worker.bus_restored()
    await world.settle()
    assert world.moderation.reads == [None, None]
    await world.ports.tasks.stop()


async def test_a_refresh_reads_what_holds_everywhere_once_and_not_with_each_part(world: World) -> None:
    slugs = [f"s{number}" for number in range(1001)]
    world.worker.sanction_reader.slugs.update(dict.fromkeys(map(Slug, slugs)))
    await world.worker.actions.refresh()
    assert [None if read is None else len(read) for read in world.moderation.reads] == [None, 1000, 1]


async def test_rooms_that_open_before_anything_was_read_wait_for_one_reading_of_everywhere(world: World) -> None:
    world.moderation.reading_everywhere.shut()
    world.moderation.sanctions += [replace(ban, slug=None) for ban in ban_of(5).imposed]
    clients = [await world.arrive(slug, "1:user") for slug in "st"]
    await world.moderation.reading_everywhere.reached.wait()
    clients.append(await world.arrive("u", "1:user"))
    await world.settle()
    assert [client.types for client in clients] == [[]] * 3
    world.moderation.reading_everywhere.open()
    await until(lambda: [client.types for client in clients] == [["room_joined"]] * 3)
    assert world.moderation.reads.count(None) == 1
    assert list(world.ports.cache.by_id) == [ban.id for ban in world.moderation.sanctions]


async def test_a_room_is_not_fresh_when_what_holds_everywhere_is_not(world: World) -> None:
    await world.join("s", "1:user")
    world.clock.time_s += 61
    await world.worker.sanction_reader.read([Slug("s")])
    world.moderation.is_away = True
    refused = await world.arrive("s", "2:user")
    await world.settle()
    assert refused.closed_with == 1013
    world.moderation.is_away = False
    await world.worker.sanction_reader.read_everywhere()
    world.moderation.is_away = True
    await world.join("s", "2:user")


async def test_the_rooms_of_a_slug_are_those_that_looking_at_all_rooms_finds(world: World) -> None:
    first = await world.join("s", "1:user")
    await world.join("t", "1:user")
    world.rooms.lives[Slug("s")] = Life(99)
    await world.join("s", "2:user")
    held_rooms = world.worker.held_rooms

    def look_at_all(slug: str) -> list[Room]:
        return [held.room for held in held_rooms.by_life.values() if held.room.slug == slug]

    assert [len(held_rooms.find_slug(Slug(slug))) for slug in "stu"] == [2, 1, 0]
    assert [held_rooms.find_slug(Slug(slug)) for slug in "stu"] == [look_at_all(slug) for slug in "stu"]
    first.hang_up()
    assert [held_rooms.find_slug(Slug(slug)) for slug in "stu"] == [look_at_all(slug) for slug in "stu"]
    assert [room.life for room in held_rooms.find_slug(Slug("s"))] == [99]


async def test_a_deletion_heard_while_a_room_opens_turns_away_also_who_learns_of_its_membership_later(
    world: World,
) -> None:
    world.moderation.reading.shut()
    first = await world.arrive("s", "1:user")
    await world.moderation.reading.reached.wait()
    world.rooms.joining.shut()
    second = await world.arrive("s", "2:user")
    await world.settle()
    life = world.rooms.lives[Slug("s")]
    world.worker.room_deleted(life)
    world.rooms.lives[Slug("s")] = life  # the second join was committed before the deletion
    world.rooms.joining.open()
    await world.settle()
    assert second.closed_with is None
    world.moderation.reading.open()
    await world.settle()
    assert [(client.types, client.closed_with) for client in (first, second)] == [(["not_found"], 4004)] * 2
    assert world.holds_nothing()


async def test_a_deletion_heard_when_the_room_is_open_turns_away_who_learns_of_its_membership_later(
    world: World,
) -> None:
    stays = await world.join("s", "1:user")
    (held,) = world.worker.held_rooms.by_life.values()
    held.holders += 1  # somebody who left and has yet to give it back
    world.rooms.joining.shut()
    late = await world.arrive("s", "2:user")
    await world.settle()
    life = world.rooms.lives[Slug("s")]
    world.worker.room_deleted(life)
    world.rooms.lives[Slug("s")] = life  # the late join was committed before the deletion
    world.rooms.joining.open()
    await world.settle()
    assert (stays.types, stays.closed_with) == ([], 4004)
    assert (late.types, late.closed_with) == (["not_found"], 4004)
    world.worker.held_rooms.release(held)
    assert world.holds_nothing()


async def test_a_deletion_heard_before_anything_of_the_room_was_known_here_turns_away_too(world: World) -> None:
    world.rooms.joining.shut()
    client = await world.arrive("s", "1:user")
    await world.settle()
    world.worker.room_deleted(Life(1))
    world.rooms.snapshots[Life(1)] = RoomSnapshot(0, 0, False, (), deleted=True)
    world.rooms.joining.open()
    await world.settle()
    assert (client.types, client.closed_with) == (["not_found"], 4004)
    assert world.holds_nothing()

"""Owners and roles of rooms: what they are worth to a connection, from joining to a change while it is open."""

from edge_world import MODERATES, OWNS, Client, World

from ws_edge.ports import CommandRefusal
from ws_edge.protocol.identity import Rank, Slug, UserId
from ws_edge.protocol.roles import RoomRole, RoomRoles
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope

S = Slug("s")
OWNER = UserId(7)


def roles(version: int, *, owner: UserId | None = OWNER, **held: RoomRole) -> RoomRoles:
    """`u5=...`: of the user 5."""
    return RoomRoles(version, owner, {UserId(int(user[1:])): role for user, role in held.items()})


def sanction(action: Action, target: int, rank: Rank) -> SanctionEvent:
    user = UserId(target)
    one = Sanction(1, action, user, None, frozenset(), S, rank, None)
    return SanctionEvent(1, action, user, None, UserId(9), 0, Scope.ROOM, S, 0, (one,), (), True)


async def welcome(world: World, token: str) -> dict[str, object]:
    """What `you` says in room_joined."""
    client = await world.arrive("s", token)
    await world.settle()
    data = client.frames[0]["data"]
    assert isinstance(data, dict)
    you = data["you"]
    assert isinstance(you, dict)
    return you


def mute(client: Client, target: int) -> None:
    client.send("moderation_action", action="mute", target_user_id=target)


async def test_you_shows_what_the_room_makes_of_somebody(world: World) -> None:
    world.rooms.owners[S] = OWNER
    world.moderation.roles[S] = roles(1, u5=RoomRole.MODERATOR, u6=RoomRole.VIP)
    owner, moderator, vip, user = [await welcome(world, f"{number}:user") for number in (7, 5, 6, 4)]
    assert (owner["roles"], owner["may"]) == (["user", "owner"], ["write", *OWNS])
    assert (moderator["roles"], moderator["may"]) == (["user", "moderator"], ["write", *MODERATES])
    assert (vip["roles"], vip["may"]) == (["user", "vip"], ["write"])
    assert (user["roles"], user["may"]) == (["user"], ["write"])
    assert world.rooms.changed_ranks == [(1, Rank.OWNER), (2, Rank.MODERATOR)]


async def test_the_last_check_at_the_door_and_messages_are_judged_by_the_rank_of_the_room(world: World) -> None:
    world.rooms.owners[S] = OWNER
    owner = await world.join("s", "7:user")
    owner.say("hello")
    assert [checked.identity.rank for checked in world.moderation.checked] == [Rank.USER, Rank.OWNER]
    assert [asked.identity.rank for asked in world.moderation.asked] == [Rank.OWNER]
    await world.settle()
    (said,) = owner.frames
    assert said["data"]["role"] == "owner"  # type: ignore[index]


async def test_a_role_that_is_given_or_taken_holds_for_who_is_inside_on_all_their_connections(world: World) -> None:
    world.rooms.owners[S] = OWNER
    here, there = await world.join("s", "5:user"), await world.join("other", "5:user")
    second = await world.join("s", "5:user")
    world.worker.roles_changed(S, roles(2, u5=RoomRole.MODERATOR))
    for client in (here, second, there):
        mute(client, 4)
        await world.settle()
    assert [request.actor.identity.rank for request in world.moderation.requests] == [Rank.MODERATOR] * 2
    assert there.types == ["not_moderator"]
    world.worker.roles_changed(S, roles(1))
    world.worker.roles_changed(S, roles(3))
    here.raw = b""
    mute(here, 4)
    assert here.types == ["not_moderator"]
    assert world.rooms.changed_ranks == [(1, Rank.MODERATOR), (3, Rank.MODERATOR), (1, Rank.USER), (3, Rank.USER)]


async def test_roles_of_rooms_that_nobody_here_is_in_are_not_kept(world: World) -> None:
    world.worker.roles_changed(S, roles(1, u5=RoomRole.MODERATOR))
    assert len(world.ports.roles) == 0
    client = await world.join("s", "5:user")
    world.worker.roles_changed(S, roles(2, owner=None, u5=RoomRole.MODERATOR))
    assert len(world.ports.roles) == 1
    client.hang_up()
    await world.settle()
    assert world.holds_nothing()


async def test_a_change_whose_event_was_lost_is_read_again(world: World) -> None:
    world.rooms.owners[S] = OWNER
    client = await world.join("s", "5:user")
    world.moderation.roles[S] = roles(2, u5=RoomRole.MODERATOR)
    await world.worker.actions.refresh()
    mute(client, 4)
    await world.settle()
    assert [request.actor.identity.rank for request in world.moderation.requests] == [Rank.MODERATOR]


async def test_a_sanction_of_before_binds_who_has_lost_the_rank_that_it_did_not_bind(world: World) -> None:
    world.rooms.owners[S] = OWNER
    world.moderation.roles[S] = roles(1, u6=RoomRole.MODERATOR)
    banned = await world.join("s", "6:user")
    world.worker.sanction_changed(sanction(Action.BAN, 6, Rank.MODERATOR))
    await world.settle()
    assert banned.closed_with is None
    world.worker.roles_changed(S, roles(2))
    await world.settle()
    assert banned.closed_with == 4003


async def test_a_renewed_token_keeps_the_rank_of_the_room(world: World) -> None:
    world.rooms.owners[S] = OWNER
    owner = await world.join("s", "7:user")
    for token, rank in (("7:moderator", Rank.OWNER), ("7:admin", Rank.ADMIN), ("7:user", Rank.OWNER)):
        owner.send("authenticate", token=token)
        await world.settle()
        assert world.worker.connections.connected_rank(OWNER, None, S) is rank
    assert world.rooms.changed_ranks == [(1, Rank.OWNER), (1, Rank.ADMIN), (1, Rank.OWNER)]


async def test_the_rank_of_a_target_counts_its_role_here_also_where_rooms_was_not_told_yet(world: World) -> None:
    world.rooms.owners[S] = OWNER
    world.moderation.roles[S] = roles(1, u5=RoomRole.MODERATOR)
    world.moderation.result = CommandRefusal.NOT_PERMITTED
    world.rooms.ranks = {5: Rank.USER, 7: Rank.USER, 4: Rank.USER}
    moderator = await world.join("s", "3:moderator")
    for target in (5, 7, 4, 8):
        mute(moderator, target)
        await world.settle()
    ranks = [request.target_rank for request in world.moderation.requests]
    assert ranks == [Rank.MODERATOR, Rank.OWNER, Rank.USER, None]


async def test_owner_of_now_is_not_kept_out_by_a_ban_of_the_owner_before(world: World) -> None:
    ban = sanction(Action.BAN, 7, Rank.OWNER).imposed
    first = await world.join("s", "1:user")
    world.moderation.sanctions.extend(ban)
    await world.worker.actions.refresh()
    stranger = await world.arrive("s", "7:user")
    await world.settle()
    assert stranger.types == ["access_denied"]
    world.rooms.owners[S] = OWNER
    owner = await world.join("s", "7:user")
    assert owner.closed_with is None
    world.moderation.sanctions[:] = sanction(Action.BAN, 7, Rank.ADMIN).imposed
    await world.worker.actions.refresh()
    await world.settle()
    assert owner.closed_with == 4003
    again = await world.arrive("s", "7:user")
    await world.settle()
    assert (again.types, first.closed_with) == (["access_denied"], None)

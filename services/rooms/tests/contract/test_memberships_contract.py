"""Joining and leaving, on SQLite and on PostgreSQL."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.membership import JoinRefusal, Membership
from rooms.domain.people import EdgeId, Life, Rank, UserId
from rooms.domain.presence import RoomSnapshot
from rooms.domain.rooms import AutoCreate, Invitation, RoomPolicy, SettingsChange

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGE = EdgeId("e" * 32)
OTHER_EDGE = EdgeId("f" * 32)
MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]


async def test_room_1_on_an_empty_system_has_room_id_1_and_slug_1(replica: "Replica") -> None:
    membership = await replica.enter(1, 1, None)
    assert (membership.room_id, membership.slug, membership.connection_count) == (1, "1", 1)


async def test_ids_that_the_server_chooses_start_at_a_billion_and_skip_what_is_taken(replica: "Replica") -> None:
    await replica.enter(1, 1_000_000_001, None)
    assert (await replica.enter(2, "a", None)).room_id == 1_000_000_000
    assert (await replica.enter(3, "b", None)).room_id == 1_000_000_002


async def test_a_room_is_found_by_its_id_and_by_its_slug(replica: "Replica") -> None:
    by_slug = await replica.enter(1, "live-general", 7)
    by_id = await replica.enter(2, int(by_slug.room_id), 8)
    assert (by_id.life, by_id.slug, by_id.connection_count) == (by_slug.life, "live-general", 2)


async def test_connection_count_counts_connections_of_all_edges_the_new_one_included(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 7)
    assert (await replica.enter(1, "a", None, OTHER_EDGE)).connection_count == 3
    assert dict(await replica.memberships.stats()) == {1_000_000_000: 3}


async def test_user_joined_is_for_the_first_connection_and_user_left_for_the_last(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    await replica.enter(3, "a", 8)
    first = await replica.leave(2)
    last = await replica.leave(3)
    joined = [[p.key for change in heard.presence for p in change.joined] for heard in replica.heard[:3]]
    assert joined == [["u:7"], ["u:8"], []]
    assert [p.key for p in first.presence[0].left] == []
    assert [p.key for p in last.presence[0].left] == ["u:8"]
    assert (last.presence[0].connection_count, last.presence[0].left_count) == (1, 1)


async def test_several_lives_are_read_at_once_each_with_its_own(replica: "Replica") -> None:
    a, b = await replica.enter(1, "a", 7), await replica.enter(2, "b", 8)
    await replica.enter(3, "a", 8)
    nowhere = Life(10**9)
    found = await replica.memberships.snapshots([b.life, nowhere, a.life])
    assert {life: [p.key for p in snapshot.participants] for life, snapshot in found.items()} == {
        b.life: ["u:8"],
        nowhere: [],
        a.life: ["u:7", "u:8"],
    }
    assert [found[life].version for life in (a.life, b.life, nowhere)] == [2, 1, 0]


async def test_each_anonymous_connection_is_a_user_of_its_own(replica: "Replica") -> None:
    await replica.enter(1, "a", None)
    membership = await replica.enter(2, "a", None)
    snapshot = await replica.snapshot(membership.life)
    assert [p.key for p in snapshot.participants] == [f"c:{'e' * 32}:1", f"c:{'e' * 32}:2"]


async def test_every_connection_that_comes_makes_a_version_and_so_does_everybody_who_leaves(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    outcomes = await replica.join_all([replica.arrival(2, "a", 8), replica.arrival(3, "a", 9)])
    await replica.leave(2, 3)
    changes = [change for heard in replica.heard for change in heard.presence]
    assert [(change.first_version, change.version) for change in changes] == [(1, 1), (2, 3), (4, 5)]
    assert [outcome.version for outcome in outcomes if isinstance(outcome, Membership)] == [2, 3]


async def test_participants_carry_the_version_at_which_they_came(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.join_all([replica.arrival(2, "a", 8), replica.arrival(3, "a", 7), replica.arrival(4, "a", 9)])
    came = {"u:7": 1, "u:8": 2, "u:9": 4}
    snapshot = await replica.snapshot(membership.life)
    assert {p.key: p.version for p in snapshot.participants} == came
    assert {p.key: p.version for heard in replica.heard for c in heard.presence for p in c.joined} == came
    await replica.leave(2)
    await replica.enter(5, "a", 8)
    snapshot = await replica.snapshot(membership.life)
    assert {p.key: p.version for p in snapshot.participants} == {"u:7": 1, "u:9": 4, "u:8": 6}


async def test_a_batch_keeps_the_order_of_its_arrivals(replica: "Replica") -> None:
    outcomes = await replica.join_all([replica.arrival(n, "a", n) for n in range(1, 6)])
    assert [o.connection_count for o in outcomes if isinstance(o, Membership)] == [1, 2, 3, 4, 5]
    assert [p.user_id for p in replica.heard[0].presence[0].joined] == [1, 2, 3, 4, 5]


async def test_a_join_may_be_repeated(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 7)
    again = await replica.enter(1, "a", 7)
    assert again == first
    assert replica.heard[1].presence == ()


async def test_a_repeated_join_stands_also_where_a_new_one_would_be_refused(replica: "Replica") -> None:
    first = await replica.enter(1, "a", None)
    await replica.catalog.update_room(await replica.found(first.slug), SettingsChange(is_public=False), now=replica.now)
    assert await replica.enter(1, "a", None) == first
    assert await replica.join(2, "a", None) is JoinRefusal.ACCESS_DENIED


async def test_a_connection_twice_in_one_batch_joins_once(replica: "Replica") -> None:
    outcomes = await replica.join_all([replica.arrival(1, "a", 7), replica.arrival(1, "a", 7)])
    assert outcomes[0] == outcomes[1]
    assert await replica.memberships.stats() == {1_000_000_000: 1}


async def test_a_leave_may_be_repeated_and_unknown_connections_are_ignored(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    await replica.leave(1)
    assert (await replica.leave(1, 99)).presence == ()
    assert (await replica.memberships.stats()) == {1_000_000_000: 1}


async def test_a_room_is_deleted_when_its_last_connection_leaves_and_its_life_is_never_used_again(
    replica: "Replica",
) -> None:
    membership = await replica.enter(1, 5, 7)
    changes = await replica.leave(1)
    assert [(end.room_id, end.life, end.slug) for end in changes.ended] == [(5, membership.life, "5")]
    assert await replica.catalog.find_room(room_id=membership.room_id) is None
    again = await replica.enter(2, 5, 7)
    assert again.room_id == 5
    assert again.life > membership.life
    assert again.version == 1


async def test_an_empty_room_is_kept_for_the_grace_and_then_swept(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(empty_grace_ms=5000))
    membership = await replica.enter(1, "a", 7)
    await replica.leave(1)
    replica.later(seconds=4)
    assert (await replica.sweep()).ended == ()
    assert (await replica.enter(2, "a", 7)).life == membership.life
    await replica.leave(2)
    replica.later(seconds=5)
    assert [end.life for end in (await replica.sweep()).ended] == [membership.life]


async def test_a_room_made_through_graphql_is_kept_unused_for_24_hours(replica: "Replica") -> None:
    await replica.create("planned", 7)
    replica.later(hours=23)
    assert (await replica.sweep()).ended == ()
    replica.later(hours=1)
    assert [end.slug for end in (await replica.sweep()).ended] == ["planned"]


async def test_a_room_made_through_graphql_is_ephemeral_after_its_first_visitor(replica: "Replica") -> None:
    await replica.create("planned", 7)
    await replica.enter(1, "planned", 8)
    assert [end.slug for end in (await replica.leave(1)).ended] == ["planned"]


@pytest.mark.parametrize(
    ("user_id", "rank", "may"),
    [(7, Rank.USER, True), (8, Rank.USER, True), (9, Rank.USER, False), (9, Rank.MODERATOR, False),
     (9, Rank.ADMIN, True), (9, Rank.SUPERUSER, True), (None, Rank.ANONYMOUS, False)],
)  # fmt: skip
async def test_a_private_room_is_for_creator_invited_admin_and_superuser(
    replica: "Replica", user_id: int | None, rank: Rank, may: bool
) -> None:
    await replica.create("secret", 7, is_public=False)
    room = await replica.catalog.find_room(slug=(await replica.enter(1, "secret", 7)).slug)
    assert room is not None
    await replica.catalog.invite(
        await replica.found(room.slug), Invitation(room.slug, UserId(8), UserId(7), replica.now)
    )
    outcome = await replica.join(2, "secret", user_id, rank=rank)
    assert isinstance(outcome, Membership) if may else outcome is JoinRefusal.ACCESS_DENIED


async def test_a_room_without_anonymous_users_refuses_them_and_lets_others_in(replica: "Replica") -> None:
    await replica.create("named", 7, allow_anonymous=False)
    assert await replica.join(1, "named", None) is JoinRefusal.ACCESS_DENIED
    assert isinstance(await replica.join(2, "named", 8), Membership)


async def test_user_1_has_no_rights_in_auto_created_rooms(replica: "Replica") -> None:
    slug = (await replica.enter(1, "auto", 5)).slug
    room = await replica.catalog.find_room(slug=slug)
    assert room is not None
    assert (room.created_by, room.owner) == (1, None)


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_private_room_that_empties_is_not_made_by_a_stranger_who_seeks_it_first(
    replica: "Replica", by_id: bool
) -> None:
    room_id = await replica.create("secret", 7, is_public=False)
    first = await replica.enter(1, "secret", 7)
    await replica.leave(1)
    where = int(room_id) if by_id else "secret"
    assert await replica.join(2, where, 9) is JoinRefusal.ACCESS_DENIED
    assert await replica.join(3, where, None) is JoinRefusal.ACCESS_DENIED
    assert (await replica.memberships.stats()) == {}
    again = await replica.enter(4, where, 7)
    assert (again.room_id, again.slug) == (room_id, "secret")
    assert again.life > first.life
    assert await replica.join(5, where, 9) is JoinRefusal.ACCESS_DENIED


@pytest.mark.parametrize(
    ("mode", "where", "is_found"),
    [("slugs", "a", True), ("slugs", 5, False), ("never", "a", False), ("never", 5, False), ("never", "video-5", True)],
)
async def test_auto_create_says_for_which_references_a_room_is_made(
    fresh_database: str, make_replica: MakeReplica, mode: str, where: str | int, is_found: bool
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(auto_create=AutoCreate(mode)))
    outcome = await replica.join(1, where, 7)
    assert isinstance(outcome, Membership) if is_found else outcome is JoinRefusal.NOT_FOUND


async def test_auto_create_never_lets_kept_slugs_live_again(fresh_database: str, make_replica: MakeReplica) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(auto_create=AutoCreate.NEVER))
    room_id = await replica.create("mine", 7)
    await replica.enter(1, "mine", 8)
    await replica.leave(1)
    assert (await replica.enter(2, int(room_id), 8)).slug == "mine"


async def test_crowded_rooms_stop_announcing_until_below_80_percent(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(presence_limit=5))
    for n in range(1, 8):
        await replica.enter(n, "a", n)
    joins = [heard.presence[0] for heard in replica.heard]
    assert [change.crowded for change in joins] == [False] * 5 + [True] * 2
    assert [len(change.joined) for change in joins] == [1] * 5 + [0] * 2
    assert [change.joined_count for change in joins] == [1] * 7
    leaves = [(await replica.leave(n)).presence[0] for n in (6, 1, 2, 7)]
    # 6 was never announced and leaves a crowd; 1 and 2 were announced; 7 leaves when it is no crowd any more.
    assert [[p.user_id for p in change.left] for change in leaves] == [[], [1], [2], [7]]
    assert [(change.connection_count, change.crowded) for change in leaves] == [
        (6, True), (5, True), (4, True), (3, False)]  # fmt: skip


async def test_a_snapshot_shows_the_announced_participants_of_a_life(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(presence_limit=2))
    membership = await replica.enter(1, "a", 1)
    await replica.enter(2, "a", 2)
    await replica.enter(3, "a", 3)
    snapshot = await replica.snapshot(membership.life)
    assert (snapshot.version, snapshot.connection_count, snapshot.crowded) == (3, 3, True)
    assert [p.user_id for p in snapshot.participants] == [1, 2]
    await replica.leave(1, 2, 3)
    over = await replica.snapshot(membership.life)
    assert (over.version, over.deleted) == (0, False)


async def test_a_life_that_was_deleted_is_told_from_one_that_its_last_leave_ended(replica: "Replica") -> None:
    deleted = []
    for connection in (1, 2):
        membership = await replica.enter(connection, "a", 7)
        assert not (await replica.snapshot(membership.life)).deleted
        await replica.catalog.delete_room(await replica.found("a"))
        deleted.append(membership.life)
    living = await replica.enter(3, "a", 7)
    for life in deleted:
        assert await replica.snapshot(life) == RoomSnapshot(0, 0, False, (), deleted=True)
    assert not (await replica.snapshot(living.life)).deleted
    await replica.leave(3)
    assert not (await replica.snapshot(living.life)).deleted


async def test_the_highest_rank_that_somebody_is_connected_with_is_found(replica: "Replica") -> None:
    slug = (await replica.enter(1, "a", 7)).slug
    await replica.enter(2, "b", 7, rank=Rank.ADMIN)
    await replica.enter(3, "a", None)
    connected = replica.memberships.connected_rank
    assert await connected(UserId(7), "", slug) is Rank.USER
    assert await connected(UserId(7), "", None) is Rank.ADMIN
    assert await connected(None, "Anonymous_127.0.0.1", slug) is Rank.ANONYMOUS
    assert await connected(UserId(8), "", None) is None


@pytest.mark.parametrize(("before", "after"), [(Rank.USER, Rank.ADMIN), (Rank.SUPERUSER, Rank.MODERATOR)])
async def test_a_rank_that_changed_is_the_one_that_somebody_is_connected_with(
    replica: "Replica", before: Rank, after: Rank
) -> None:
    slug = (await replica.enter(1, "a", 7, rank=before)).slug
    await replica.change_ranks({1: after})
    assert await replica.memberships.connected_rank(UserId(7), "", slug) is after
    assert await replica.memberships.connected_rank(UserId(7), "", None) is after


async def test_ranks_of_many_connections_change_at_once_and_those_of_others_do_not(replica: "Replica") -> None:
    for number in range(1, 5):
        await replica.enter(number, "a", number)
        await replica.enter(number, "a", 10 + number, OTHER_EDGE)
    changed = {1: Rank.ADMIN, 2: Rank.MODERATOR, 3: Rank.ADMIN}
    await replica.change_ranks(changed)
    people = [1, 2, 3, 4, 11, 12, 13, 14]
    found = [await replica.memberships.connected_rank(UserId(number), "", None) for number in people]
    assert found == [Rank.ADMIN, Rank.MODERATOR, Rank.ADMIN, *[Rank.USER] * 5]


async def test_the_highest_rank_of_several_connections_counts_also_where_one_of_them_changed(
    replica: "Replica",
) -> None:
    await replica.enter(1, "a", 7, rank=Rank.ADMIN)
    await replica.enter(2, "a", 7, rank=Rank.MODERATOR)
    await replica.change_ranks({1: Rank.USER})
    assert await replica.memberships.connected_rank(UserId(7), "", None) is Rank.MODERATOR


async def test_a_change_of_rank_may_be_repeated_and_unknown_connections_are_ignored(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.leave(1)
    for _ in range(2):
        await replica.change_ranks({1: Rank.ADMIN, 99: Rank.ADMIN})
    assert await replica.memberships.connected_rank(UserId(7), "", None) is None
    await replica.change_ranks({})


async def test_a_change_of_rank_that_comes_after_a_later_one_changes_nothing(replica: "Replica") -> None:
    for number in (1, 2):
        await replica.enter(number, "a", number)
    await replica.change_ranks({1: Rank.MODERATOR}, ordinal=2)
    await replica.change_ranks({1: Rank.ADMIN, 2: Rank.ADMIN}, ordinal=1)
    assert [await replica.rank(number) for number in (1, 2)] == [Rank.MODERATOR, Rank.USER]
    # The edge gave the earlier one up, and owes what the later one did not say.
    await replica.change_ranks({2: Rank.ADMIN}, ordinal=3)
    assert [await replica.rank(number) for number in (1, 2)] == [Rank.MODERATOR, Rank.ADMIN]


async def test_everybody_who_is_announced_as_left_makes_a_version(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 1)
    await replica.join_all([replica.arrival(n, "a", n) for n in range(2, 6)])
    (change,) = (await replica.leave(2, 3, 4)).presence
    assert (change.first_version, change.version, len(change.left)) == (6, 8, 3)
    assert (await replica.snapshot(membership.life)).version == 8
    assert (await replica.enter(6, "a", 6)).version == 9


async def test_who_made_a_room_by_createchatroom_owns_it_in_every_life_and_for_every_join(replica: "Replica") -> None:
    await replica.create("a", 7)
    joined = [await replica.enter(1, "a", 8), await replica.enter(1, "a", 8), await replica.enter(2, "b", 7)]
    assert [membership.owner for membership in joined] == [7, 7, None]
    assert [membership.owned_since_ms > 0 for membership in joined] == [True, True, False]
    assert joined[1] == joined[0]
    await replica.leave(1)
    assert (await replica.enter(3, "a", None)).owner == 7


async def test_a_user_who_is_erased_has_no_name_where_they_are_not_connected_and_blocks_nobody(
    replica: "Replica",
) -> None:
    left = await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    inside = await replica.enter(3, "b", 7)
    await replica.leave(1)
    for who, blocked in ((7, 8), (8, 7)):
        await replica.ports.blocks.block(UserId(who), UserId(blocked), now=datetime(2026, 1, 1, tzinfo=UTC))
    logs = [("a", left.room_id, left.life), ("b", inside.room_id, inside.life)]
    assert [(slug, log.room_id, log.life) for slug, log in await replica.memberships.logs_of(UserId(7))] == logs
    assert await replica.memberships.logs_of(UserId(9)) == []
    await replica.memberships.erase_user(UserId(7))
    await replica.memberships.erase_user(UserId(7))
    pages = await replica.ports.catalog.list_participants([left.life, inside.life], first=9, after=None)
    names = {(life, p.user_id): p.username == f"user_{p.user_id}" for life, people in pages.items() for p in people}
    assert names[left.life, UserId(7)]
    assert [p.username for p in pages[inside.life]] == ["user7"]
    assert await replica.ports.blocks.of_user(UserId(7)) == []
    assert await replica.ports.blocks.of_user(UserId(8)) == [7]

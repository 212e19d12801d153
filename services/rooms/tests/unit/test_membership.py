"""What is decided about batches of joins, leaves and connections that are registered again, without a database."""

from collections import Counter
from dataclasses import replace

import pytest

from rooms.domain.log_position import LifeLog, partition_of
from rooms.domain.membership import (
    Arrival,
    ById,
    BySlug,
    Entrant,
    HeldConnection,
    JoinPlan,
    JoinRefusal,
    Planned,
    RoomRef,
    find_missing,
    let_in,
    lives_without,
    newest_lives,
    outdated,
    plan_joins,
    take_back,
)
from rooms.domain.people import ConnectionId, EdgeId, Life, ParticipantKey, Person, Rank, RoomId, Slug, UserId
from rooms.domain.presence import Leaver, apply_away_ends, apply_joins, apply_leaves
from rooms.domain.rooms import OPEN, Access, AutoCreate, LivingRoom, RoomPolicy, SlugState, dormant_ms

EDGE = EdgeId("e" * 32)
A = Slug("a")
PRIVATE = Access(RoomId(5), UserId(7), is_public=False, allow_anonymous=True)


def person(user_id: int | None) -> Person:
    if user_id is None:
        return Person(None, "Anonymous_1", Rank.ANONYMOUS)
    return Person(UserId(user_id), f"user{user_id}", Rank.USER)


def arrival(connection: int, user_id: int | None = 7, ref: ById | BySlug | None = None) -> Arrival:
    return Arrival(ConnectionId(connection), ref or BySlug(A), person(user_id))


def living(*, life: int = 3, connections: int = 0, version: int = 0, crowded: bool = False) -> LivingRoom:
    return LivingRoom(Life(life), RoomId(9), A, connections, version, crowded)


def leaver(user_id: int, *, connections: int = 0, is_announced: bool = True, away: int = 0) -> Leaver:
    return Leaver(ParticipantKey(f"u:{user_id}"), UserId(user_id), f"user{user_id}", is_announced, connections, away)


def held(connection: int, *, life: int, slug: str = "a", partition: int | None = None) -> HeldConnection:
    return HeldConnection(ConnectionId(connection), RoomId(9), Life(life), Slug(slug), person(7), partition)


def test_a_room_that_does_not_live_is_planned_once_for_all_who_come_with_a_number_that_is_still_to_be_taken() -> None:
    plan = plan_joins(
        {BySlug(A): SlugState(A, is_living=False)}, [arrival(1), arrival(2)], RoomPolicy(), uses_partitions=True
    )
    assert [planned.arrival.connection for planned in plan.admitted] == [1, 2]
    assert plan.new_rooms == {A: None}


def test_a_new_room_has_the_number_of_its_kept_settings_or_that_it_was_asked_for_by() -> None:
    kept, number = SlugState(A, is_living=False, access=PRIVATE), SlugState(Slug("41"), is_living=False)
    states: dict[RoomRef, SlugState] = {BySlug(A): kept, ById(RoomId(41)): number}
    plan = plan_joins(states, [arrival(1), arrival(2, ref=ById(RoomId(41)))], RoomPolicy(), uses_partitions=True)
    assert plan.new_rooms == {A: 5, "41": 41}


def test_the_life_that_somebody_comes_back_to_goes_on_only_where_they_may_enter_and_the_slug_does_not_live() -> None:
    states: dict[RoomRef, SlugState] = {
        BySlug(A): SlugState(A, is_living=False),
        BySlug(Slug("b")): SlugState(Slug("b"), is_living=True),
        BySlug(Slug("c")): SlugState(Slug("c"), is_living=False, access=PRIVATE),
    }
    arrivals = [replace(arrival(n, 9, BySlug(Slug(slug))), last_life=Life(n)) for n, slug in enumerate("abca", 1)]
    plan = plan_joins(states, [*arrivals, arrival(5)], RoomPolicy(), uses_partitions=True)
    assert {(one.slug, one.life) for one in plan.dormant} == {("a", 1), ("a", 4)}
    assert plan.refused == {3: JoinRefusal.ACCESS_DENIED}


def test_a_log_lies_dormant_where_somebody_could_come_back_to_it() -> None:
    assert [dormant_ms(partition, 60) for partition in (None, 0, 3)] == [0, 60, 60]


def test_what_the_policy_lets_nobody_create_is_not_found_while_living_rooms_are_entered() -> None:
    policy = RoomPolicy(auto_create=AutoCreate.NEVER)
    states: dict[RoomRef, SlugState] = {
        BySlug(A): SlugState(A, is_living=False),
        BySlug(Slug("b")): SlugState(Slug("b"), is_living=True),
    }
    plan = plan_joins(states, [arrival(1), arrival(2, ref=BySlug(Slug("b")))], policy, uses_partitions=True)
    assert plan.refused == {1: JoinRefusal.NOT_FOUND}
    assert [planned.slug for planned in plan.admitted] == ["b"]
    assert plan.new_rooms == {}


def test_a_private_room_admits_its_owner_and_the_invited_of_the_batch() -> None:
    state = SlugState(A, is_living=True, access=PRIVATE, invited=frozenset({UserId(8)}))
    arrivals = [arrival(1, 7), arrival(2, 8), arrival(3, 9), arrival(4, None)]
    plan = plan_joins({BySlug(A): state}, arrivals, RoomPolicy(), uses_partitions=True)
    assert [planned.arrival.connection for planned in plan.admitted] == [1, 2]
    assert plan.refused == {3: JoinRefusal.ACCESS_DENIED, 4: JoinRefusal.ACCESS_DENIED}


def test_a_plan_stands_for_the_room_that_it_was_made_for_with_the_same_access() -> None:
    planned = Planned(arrival(1, ref=ById(RoomId(9))), A, OPEN)
    assert planned.stands(living())
    assert not planned.stands(None)
    assert not planned.stands(LivingRoom(Life(3), RoomId(9), A, 0, 0, False, PRIVATE))
    assert not Planned(arrival(1, ref=ById(RoomId(8))), A, OPEN).stands(living())


def test_every_connection_that_comes_makes_a_version_and_every_person_is_announced_once() -> None:
    room = living(connections=4, version=10)
    joins = apply_joins(EDGE, [Entrant(ConnectionId(n), person(u), room) for n, u in ((1, 7), (2, 7), (3, 8))], limit=9)
    assert [m.version for m in joins.memberships.values()] == [11, 12, 13]
    assert [m.connection_count for m in joins.memberships.values()] == [5, 6, 7]
    assert [(key, one.connections) for _, key, one in joins.newcomers] == [("u:7", 2), ("u:8", 1)]
    now = {(room.life, ParticipantKey("u:7")): 11, (room.life, ParticipantKey("u:8")): 2}  # 8 was here before
    (event,) = joins.presence(now, now_ms=1).presence
    assert (event.first_version, event.version, event.connection_count, event.joined_count) == (11, 13, 7, 1)
    assert [(p.key, p.version) for p in event.joined] == [("u:7", 11)]


def test_above_the_limit_those_who_come_are_counted_and_not_announced() -> None:
    joins = apply_joins(EDGE, [Entrant(ConnectionId(n), person(n), living(connections=1)) for n in (1, 2)], limit=2)
    now = {(life, key): one.version for life, key, one in joins.newcomers}
    (event,) = joins.presence(now, now_ms=1).presence
    assert ([p.key for p in event.joined], event.joined_count, event.crowded) == (["u:1"], 2, True)
    assert [update.crowded for update in joins.updates] == [True]


def test_a_room_that_its_last_connection_leaves_ends_or_is_kept_for_the_grace() -> None:
    rooms, gone = {Life(3): living(connections=1, version=4)}, [(Life(3), leaver(7))]
    ended = apply_leaves(rooms, gone, RoomPolicy(), away_until_ms={}, now_ms=1)
    assert ([e.life for e in ended.ended], ended.presence, ended.updates) == ([3], (), ())
    kept = apply_leaves(rooms, gone, RoomPolicy(empty_grace_ms=5), away_until_ms={}, now_ms=1)
    assert [(u.connection_count, u.version, u.empty_since_ms) for u in kept.updates] == [(0, 5, 1)]
    assert ([p.key for p in kept.presence[0].left], kept.ended) == (["u:7"], ())


def test_who_has_connections_left_has_not_left_and_a_batch_of_which_nobody_is_announced_makes_one_version() -> None:
    rooms = {Life(3): living(connections=5, version=4)}
    leaves = apply_leaves(rooms, [(Life(3), leaver(7, connections=1))] * 2, RoomPolicy(), away_until_ms={}, now_ms=1)
    (event,) = leaves.presence
    assert (event.first_version, event.version, event.left, event.left_count) == (5, 5, (), 0)
    assert event.connection_count == 3


def test_in_a_crowded_room_those_alone_are_announced_as_left_who_were_announced_on_coming() -> None:
    rooms = {Life(3): living(connections=900, version=4, crowded=True)}
    gone = [(Life(3), leaver(7)), (Life(3), leaver(8, is_announced=False))]
    (event,) = apply_leaves(rooms, gone, RoomPolicy(), away_until_ms={}, now_ms=1).presence
    assert ([p.key for p in event.left], event.left_count, event.version) == (["u:7"], 2, 5)


def test_of_what_an_edge_holds_the_missing_comes_back_and_what_is_in_another_life_is_lost() -> None:
    missing, lost = find_missing(
        [held(1, life=3), held(2, life=3), held(3, life=3)],
        {ConnectionId(1): LifeLog(Life(3), None), ConnectionId(2): LifeLog(Life(4), None)},
    )
    assert ([one.connection for one in missing], lost) == ([3], [2])
    entrants, turned_away = take_back([held(3, life=3), held(4, life=2), held(5, life=3, slug="gone")], {A: living()})
    assert ([entrant.connection for entrant in entrants], turned_away) == ([3], [4, 5])


def test_of_each_slug_the_newest_life_may_be_made_again() -> None:
    newest = newest_lives([held(1, life=3), held(2, life=5), held(3, life=4), held(4, life=1, slug="b")])
    assert [(one.slug, one.life) for one in newest] == [("a", 5), ("b", 1)]


def test_what_an_edge_believes_to_be_in_another_log_than_it_is_is_lost() -> None:
    standing = {ConnectionId(n): LifeLog(Life(3), 5) for n in (1, 2, 3)}
    missing, lost = find_missing(
        [held(1, life=3, partition=5), held(2, life=3), held(3, life=3, partition=6)], standing
    )
    assert (missing, lost) == ([], [2, 3])
    entrants, turned_away = take_back(
        [held(1, life=3, partition=5), held(2, life=3)], {A: replace(living(), partition=5)}
    )
    assert ([entrant.connection for entrant in entrants], turned_away) == ([1], [2])


@pytest.mark.parametrize("partitions", [1, 2, 7, 256])
def test_lives_are_spread_evenly_over_the_partitions(partitions: int) -> None:
    counts = Counter(partition_of(Life(life), partitions) for life in range(1, 10 * partitions + 1))
    assert counts == dict.fromkeys(range(partitions), 10)


def plan_of(partitions: int | None) -> tuple[JoinPlan, tuple[Planned]]:
    """One that comes, from an edge of before or of now."""
    planned = Planned(arrival(1), A, OPEN)
    return JoinPlan((planned.arrival,), (planned,), {}, {}, partitions=partitions), (planned,)


@pytest.mark.parametrize(
    ("partitions", "room", "partition"),
    [
        (2, living(life=3), "ended"),
        (2, replace(living(life=3), visited=False), 1),
        (2, replace(living(life=3), partition=0), 0),
        (None, living(life=3), None),
        (None, replace(living(life=3), visited=False), None),
        (None, replace(living(life=3), partition=0), "refused"),
    ],
)
def test_an_edge_of_before_and_one_of_now_never_share_a_life(
    partitions: int | None, room: LivingRoom, partition: int | str | None
) -> None:
    plan, admitted = plan_of(partitions)
    ended = outdated(plan, admitted, {A: room})
    entrants, refused = let_in(plan, admitted, {A: room})
    assert [life.life for life in ended] == ([3] if partition == "ended" else [])
    assert refused == ({ConnectionId(1): JoinRefusal.UNAVAILABLE} if partition == "refused" else {})
    assert [entrant.room.partition for entrant in entrants] == ([] if isinstance(partition, str) else [partition])


def test_whose_room_is_gone_or_another_by_now_is_neither_let_in_nor_refused() -> None:
    plan, admitted = plan_of(1)
    assert let_in(plan, admitted, {}) == ([], {})
    changed = replace(living(), access=Access(None, None, False, False))
    assert let_in(plan, admitted, {Slug("a"): changed}) == ([], {})


def test_lives_that_nobody_comes_into_are_those_without_an_entrant() -> None:
    entrant = Entrant(ConnectionId(1), person(7), living(life=3))
    assert lives_without({Life(3), Life(4)}, [entrant]) == {Life(4)}


def test_in_a_crowded_room_who_was_never_announced_is_only_counted_when_their_away_membership_ends() -> None:
    room = living(connections=5, version=9, crowded=True)
    leaves = apply_away_ends(
        {room.life: room},
        [(room.life, leaver(7, is_announced=False))],
        RoomPolicy(presence_limit=2),
        away_until_ms={},
        now_ms=1,
    )
    (change,) = leaves.changes.presence
    assert (change.left, change.left_count) == ((), 1)


def test_what_a_batch_writes_of_a_room_keeps_the_partition() -> None:
    room = replace(living(connections=2), partition=5)
    (joined,) = apply_joins(EDGE, [Entrant(ConnectionId(1), person(7), room)], limit=9).updates
    (left,) = apply_leaves({Life(3): room}, [(Life(3), leaver(7))], RoomPolicy(), away_until_ms={}, now_ms=1).updates
    (ended,) = apply_leaves(
        {Life(3): room}, [(Life(3), leaver(n)) for n in (7, 8)], RoomPolicy(), away_until_ms={}, now_ms=1
    ).ended
    assert (joined.partition_number, left.partition_number, ended.partition) == (5, 5, 5)


def test_whoever_has_an_away_membership_has_not_left_and_the_room_is_empty_only_when_that_ends() -> None:
    rooms, gone = {Life(3): living(connections=1, version=4)}, [(Life(3), leaver(7, away=1))]
    leaves = apply_leaves(rooms, gone, RoomPolicy(), away_until_ms={Life(3): 99}, now_ms=1)
    assert leaves.ended == ()
    assert [(u.connection_count, u.version, u.empty_since_ms) for u in leaves.updates] == [(0, 5, 99)]
    (event,) = leaves.presence
    assert (event.left, event.left_count, event.connection_count, event.version) == ((), 0, 0, 5)


def test_when_that_has_ended_they_have_left_and_an_empty_room_ends_or_is_kept_for_the_grace() -> None:
    gone = [(Life(3), leaver(7)), (Life(3), leaver(8))]
    inhabited = {Life(3): living(connections=2, version=4)}
    (event,) = apply_away_ends(inhabited, gone, RoomPolicy(), away_until_ms={}, now_ms=1).presence
    assert ([p.user_id for p in event.left], event.left_count, event.connection_count) == ([7, 8], 2, 2)
    assert (event.first_version, event.version) == (5, 6)
    empty = {Life(3): living(version=4)}
    assert [e.life for e in apply_away_ends(empty, gone, RoomPolicy(), away_until_ms={}, now_ms=1).ended] == [3]
    others = apply_away_ends(empty, gone, RoomPolicy(), away_until_ms={Life(3): 99}, now_ms=1)
    assert (others.ended, [u.empty_since_ms for u in others.updates]) == ((), [99])
    kept = apply_away_ends(empty, gone, RoomPolicy(empty_grace_ms=5), away_until_ms={}, now_ms=1)
    assert (kept.ended, [u.empty_since_ms for u in kept.updates]) == ((), [1])


@pytest.mark.parametrize(
    ("room", "is_abandoned"),
    [
        (living(connections=1), False),
        (living(), False),
        (replace(living(), empty_since_ms=95), True),
        (replace(living(), empty_since_ms=96), False),
        (replace(living(connections=1), empty_since_ms=1), False),
        (replace(living(), visited=False, created_ms=50), True),
        (replace(living(), visited=False, created_ms=51), False),
    ],
)
def test_a_room_is_abandoned_when_it_was_empty_for_the_grace_or_unused_for_long(
    room: LivingRoom, is_abandoned: bool
) -> None:
    policy = RoomPolicy(empty_grace_ms=5, unused_ms=50)
    assert policy.is_abandoned(room, now_ms=100) is is_abandoned

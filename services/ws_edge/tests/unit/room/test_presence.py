"""Presence events in version order; gaps are noticed, and mended from a snapshot."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from ws_edge.protocol.identity import UserId
from ws_edge.protocol.rooms import Participant, PresenceChanged, RoomSnapshot
from ws_edge.room.presence import EARLY_LIMIT, Announcement, Joined, Left, Presence, Stats


def person(number: int) -> Participant:
    return Participant(f"u:{number}", UserId(number), f"user_{number}")


def change(
    version: int,
    *,
    joined: tuple[int, ...] = (),
    left: tuple[int, ...] = (),
    crowded: bool = False,
    counts: tuple[int, int] = (0, 0),
    count: int = 7,
) -> PresenceChanged:
    came = tuple(replace(person(n), version=version) for n in joined)
    return PresenceChanged(
        version, version, count, crowded, came, tuple(person(n) for n in left), *counts, at_ms=1000 + version
    )


def snapshot(version: int, *present: int, crowded: bool = False) -> RoomSnapshot:
    return RoomSnapshot(version, 9, crowded, tuple(replace(person(n), version=version) for n in present))


def names(told: list[Announcement]) -> list[tuple[str, str]]:
    return [(type(a).__name__, a.participant.username) for a in told]


def test_who_comes_and_goes_is_told_in_the_order_of_versions() -> None:
    presence = Presence(1, 1, False)
    assert presence.receive(change(2, joined=(2,))) == [Joined(replace(person(2), version=2), 1002, 2)]
    assert presence.receive(change(3, left=(2,))) == [Left(person(2), 3)]
    assert (presence.version, presence.connection_count) == (3, 7)


def test_an_event_that_is_already_known_is_not_told_again() -> None:
    presence = Presence(5, 1, False)
    assert presence.receive(change(5, joined=(2,))) == []
    assert not presence.has_gap


def test_an_event_that_comes_early_waits_for_the_one_before_it() -> None:
    presence = Presence(1, 1, False)
    assert presence.receive(change(3, left=(2,))) == []
    assert presence.has_gap
    assert names(presence.receive(change(2, joined=(2,)))) == [("Joined", "user_2"), ("Left", "user_2")]
    assert not presence.has_gap


def test_a_snapshot_tells_the_difference_and_goes_on_with_what_is_later() -> None:
    presence = Presence(1, 2, False, {p.key: p for p in (person(1), person(2))})
    presence.receive(change(5, joined=(5,)))
    told = presence.restore(snapshot(4, 2, 3), at_ms=77)
    assert names(told) == [("Left", "user_1"), ("Joined", "user_3"), ("Joined", "user_5")]
    assert told[1] == Joined(replace(person(3), version=4), 77, 4)
    assert presence.version == 5
    assert not presence.has_gap
    assert set(presence.announced) == {"u:2", "u:3", "u:5"}


def test_a_snapshot_older_than_what_is_known_changes_nothing() -> None:
    presence = Presence(4, 2, False, {"u:1": person(1)})
    assert presence.restore(snapshot(3), at_ms=1) == []
    assert presence.restore(snapshot(0), at_ms=1) == []
    assert presence.version == 4


def test_more_early_events_than_are_kept_leave_the_gap_for_a_snapshot() -> None:
    presence = Presence(1, 1, False)
    for version in range(3, 3 + EARLY_LIMIT + 10):
        assert presence.receive(change(version)) == []
    assert presence.has_gap
    presence.restore(snapshot(300), at_ms=1)
    assert presence.version == 300
    assert not presence.has_gap


def test_the_next_event_counts_also_when_no_more_early_ones_are_kept() -> None:
    presence = Presence(1, 1, False)
    for version in range(3, 3 + EARLY_LIMIT):
        presence.receive(change(version))
    presence.receive(change(2))
    assert presence.version == EARLY_LIMIT + 2


def test_room_stats_replace_single_joins_and_leaves_at_most_once_a_second() -> None:
    presence = Presence(1, 600, True)
    assert presence.stats_due_s(10.0) is None
    presence.receive(change(2, crowded=True, counts=(30, 1)))
    assert presence.stats_due_s(10.0) == 0.0
    assert presence.take_stats(10.0) == Stats(7, 30, 1)
    assert presence.stats_due_s(10.2) is None
    presence.receive(change(3, crowded=True, counts=(1, 0)))
    presence.receive(change(4, crowded=True, counts=(0, 4), left=(9,)))
    assert presence.stats_due_s(10.25) == 0.75
    assert presence.take_stats(11.0) == Stats(7, 1, 4)


def test_in_a_large_room_that_never_rests_room_stats_come_ten_times_a_second_apart_then_every_ten_seconds() -> None:
    presence, told = Presence(1, 10_000, True), list[float]()
    for step in range(1, 1000):
        now_s = 100 + step / 10
        presence.receive(change(1 + step, crowded=True, counts=(1, 0), count=10_000))
        due_s = presence.stats_due_s(now_s)
        assert due_s is not None
        if due_s <= 0.05:
            presence.take_stats(now_s)
            told.append(round(now_s, 1))
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert gaps[:9] == pytest.approx([1.0] * 9)
    assert gaps[9:10] == pytest.approx([1.0], abs=0.11)
    assert gaps[10:] == pytest.approx([10.0] * (len(gaps) - 10), abs=0.11)
    assert len(gaps) > 15


def test_after_a_quiet_time_a_large_room_is_told_its_count_a_second_after_the_last_change_again() -> None:
    presence = Presence(1, 10_000, True)
    for version in range(2, 13):
        presence.receive(change(version, crowded=True, counts=(1, 0), count=10_000))
        presence.take_stats(100.0 + version)
    presence.receive(change(13, crowded=True, counts=(1, 0), count=10_000))
    due_s = presence.stats_due_s(112.0)
    assert due_s is not None
    assert due_s > 8
    presence.take_stats(142.0)
    presence.receive(change(14, crowded=True, counts=(1, 0), count=10_000))
    assert presence.stats_due_s(142.0) == 1.0


def test_joins_and_leaves_of_a_room_that_is_not_crowded_make_no_room_stats() -> None:
    presence = Presence(1, 2, False)
    presence.receive(change(2, joined=(2,), counts=(1, 0)))
    assert presence.stats_due_s(10.0) is None


def test_a_count_that_changes_without_anybody_coming_or_going_is_told_in_a_crowded_room() -> None:
    presence = Presence(1, 10_000, True)
    presence.receive(change(2, crowded=True))
    assert presence.take_stats(10.0) == Stats(7, 0, 0)
    presence.receive(change(3, crowded=True))
    assert presence.stats_due_s(12.0) is None
    presence.restore(snapshot(9, crowded=True), at_ms=1)
    assert presence.take_stats(13.0) == Stats(9, 0, 0)

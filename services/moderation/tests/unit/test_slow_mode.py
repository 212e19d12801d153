"""domain/slow_mode.py: exact to the nanosecond, bounded, and given back."""

from moderation.domain.slow_mode import Place, SlowMode

S = 1_000_000_000


def test_messages_of_one_speaker_in_one_room_are_so_far_apart_to_the_nanosecond() -> None:
    places = SlowMode()
    places.take(5, "live", Place(0, "e:1", 1), 0)
    assert places.wait_ns(5, "live", 30, 30 * S - 1) == 1
    assert places.wait_ns(5, "live", 30, 30 * S) == 0
    assert places.wait_ns(5, "other", 30, 1) == 0
    assert places.wait_ns(6, "live", 30, 1) == 0


def test_a_longer_slow_mode_counts_from_what_was_said_before_it_was_made_longer() -> None:
    places = SlowMode()
    places.take(5, "live", Place(0, "e:1", 1), 0)
    assert places.wait_ns(5, "live", 600, 30 * S) == 570 * S


def test_a_message_that_could_not_be_stored_gives_its_place_back() -> None:
    places = SlowMode()
    places.take(5, "live", Place(0, "e:1", 1), 0)
    places.release(5, "live", "e:1", 1)
    assert places.wait_ns(5, "live", 30, 1) == 0
    places.release(5, "live", "e:1", 1)


def test_what_was_said_since_keeps_its_place_when_an_earlier_message_turns_out_not_to_be_stored() -> None:
    places = SlowMode()
    places.take(5, "live", Place(0, "e:1", 1), 0)
    places.take(5, "live", Place(S, "f:1", 1), S)
    places.release(5, "live", "e:1", 1)
    assert places.wait_ns(5, "live", 2, S) == 2 * S


def test_a_place_that_is_carried_counts_once_and_the_later_one_stays() -> None:
    places = SlowMode()
    places.take(5, "live", Place(10 * S, "e:1", 1), 10 * S)
    places.take(5, "live", Place(11 * S, "e:1", 1), 12 * S)  # the same, by the clock of its edge
    assert places.wait_ns(5, "live", 30, 10 * S) == 30 * S
    places.take(5, "live", Place(9 * S, "f:2", 7), 12 * S)
    assert places.wait_ns(5, "live", 30, 10 * S) == 30 * S
    places.take(5, "live", Place(12 * S, "f:2", 8), 12 * S)
    assert places.wait_ns(5, "live", 30, 12 * S) == 30 * S


def test_places_are_kept_for_the_longest_slow_mode_and_bounded() -> None:
    places = SlowMode(largest=3)
    for number in range(5):
        places.take(number, "live", Place(number, "e:1", number), number)
    assert len(places) == 3
    assert places.wait_ns(4, "live", 600, 4) == 600 * S
    places.take(9, "live", Place(700 * S, "e:1", 9), 700 * S)
    places.take(9, "live", Place(701 * S, "e:1", 10), 701 * S)
    assert len(places) == 1


def test_a_place_that_is_carried_too_late_to_matter_is_not_kept() -> None:
    places = SlowMode()
    places.take(5, "live", Place(0, "e:1", 1), 601 * S)
    assert len(places) == 0

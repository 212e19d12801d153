"""domain/windows.py, domain/last_seen.py, domain/people.py: bounded memories, and names that tell addresses."""

import pytest

from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Rank, Speaker, Target, address_of_name
from moderation.domain.windows import AdmittedNonces

S = 1_000_000_000


def seen(number: int) -> LastSeen:
    return LastSeen(number, "", "live", f"10.0.0.{number}")


def test_old_nonces_cost_no_memory() -> None:
    nonces = AdmittedNonces()
    for second in range(1_000):
        nonces.remember(1, 1, str(second), "hi", second * S, second * S)
    assert len(nonces) <= 111


def test_a_full_memory_of_nonces_forgets_the_oldest() -> None:
    nonces = AdmittedNonces(largest=3)
    for number in range(4):
        nonces.remember(1, 1, str(number), "hi", number, number)
    assert [nonces.knows(1, 1, str(number), "hi", 10) for number in range(4)] == [False, True, True, True]


def test_a_nonce_with_another_text_is_another_message() -> None:
    nonces = AdmittedNonces()
    nonces.remember(1, 1, "n", "hi", 0, 0)
    assert [nonces.knows(1, 1, "n", text, 0) for text in ("hi", "ho", "")] == [True, False, True]
    nonces.remember(1, 1, "carried", "", 0, 0)
    assert nonces.knows(1, 1, "carried", "whatever", 0)
    nonces.remember(1, 1, "carried", "hi", 0, 0)
    nonces.remember(1, 1, "carried", "", 0, 0)
    assert not nonces.knows(1, 1, "carried", "whatever", 0)
    assert nonces.knows(1, 1, "n", "hi", 110 * S - 1)
    assert not nonces.knows(1, 1, "n", "hi", 110 * S)  # the stream still finds it then


def test_a_full_buffer_of_who_was_seen_loses_the_oldest_and_counts_it() -> None:
    buffer = LastSeenBuffer(largest=2)
    for number in (1, 2, 3):
        buffer.put(seen(number), number)
    assert buffer.lost == 1
    assert buffer.take(10) == {seen(2): 2, seen(3): 3}


def test_what_is_on_its_way_to_the_database_can_still_be_found() -> None:
    buffer = LastSeenBuffer()
    buffer.put(seen(1), 1)
    assert buffer.take(10) == {seen(1): 1}
    assert buffer.of(Target(1, ""), "live", since_ms=1) == [seen(1)]
    assert buffer.of(Target(1, ""), "elsewhere", since_ms=1) == []
    buffer.written()
    assert buffer.of(Target(1, ""), None, since_ms=1) == []
    assert len(buffer) == 0


def test_what_waits_for_the_database_for_too_long_is_not_found() -> None:
    buffer = LastSeenBuffer()
    buffer.put(seen(1), 1)
    elsewhere = LastSeen(1, "", "elsewhere", "10.0.0.2")
    buffer.put(elsewhere, 2)
    buffer.take(1)
    assert buffer.of(Target(1, ""), None, since_ms=2) == [elsewhere]
    assert buffer.of(Target(1, ""), None, since_ms=3) == []


def test_what_could_not_be_written_is_put_back_with_its_latest_time() -> None:
    buffer = LastSeenBuffer()
    buffer.put(seen(1), 1)
    buffer.take(10)
    buffer.put(seen(1), 5)
    buffer.put_back()
    assert buffer.take(10) == {seen(1): 5}


@pytest.mark.parametrize(
    ("name", "slug", "address", "is_storable"),
    [
        ("n" * 255, "s" * 128, "a" * 64, True),
        ("n" * 256, "s", "a", False),
        ("n", "s" * 129, "a", False),
        ("n", "s", "a" * 65, False),
        ("n", "s", "", False),
        ("n\0", "s", "a", False),
    ],
)
def test_what_a_database_would_refuse_is_not_stored(name: str, slug: str, address: str, is_storable: bool) -> None:
    assert LastSeen(0, name, slug, address).is_storable == is_storable


def test_an_anonymous_speaker_who_was_seen_is_known_by_the_name() -> None:
    ana = LastSeen.of(Speaker(0, "Anonymous_3f2a", "10.0.0.5", Rank.ANONYMOUS, "e:1"), "live")
    assert ana.is_of(Target(0, "Anonymous_3f2a"))
    assert not ana.is_of(Target(0, "Anonymous_77"))
    assert not ana.is_of(Target(5, ""))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Anonymous_192.168.1.10", "192.168.1.10"),
        ("Anonymous_2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("Anonymous_2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("Anonymous_3f2a91", None),
        ("Anonymous_192.168.1", None),
        ("Anonymous_::/63", None),
        ("Anonymous_", None),
        ("ana", None),
    ],
)
def test_the_name_of_an_anonymous_user_tells_the_address(name: str, address: str | None) -> None:
    assert address_of_name(name) == address

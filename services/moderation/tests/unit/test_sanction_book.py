"""domain/book.py and domain/sanction.py: whom a sanction binds, where, and until when."""

from dataclasses import replace

import pytest

from moderation.domain.book import BANS, MUTES_AND_BANS, SanctionBook
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction import Action, Sanction

NOW = 1_000_000
MUTE = Sanction(1, Action.MUTE, Target(5, ""), frozenset({"10.0.0.5"}), "live", "", 9, Rank.MODERATOR, NOW, None)


def speaker(user_id: int = 5, address: str = "10.0.0.5", rank: Rank = Rank.USER, name: str = "ana") -> Speaker:
    return Speaker(user_id, name, address, rank, "e:1")


def anonymous(address: str = "10.0.0.5", name: str = "") -> Speaker:
    return Speaker(0, name or f"Anonymous_{address}", address, Rank.ANONYMOUS, "e:2")


def book(*sanctions: Sanction) -> SanctionBook:
    subject = SanctionBook()
    subject.apply(sanctions, ())
    return subject


def held(subject: SanctionBook, who: Speaker, slug: str = "live", now: int = NOW) -> int | None:
    return subject.remaining_ms(who, slug, MUTES_AND_BANS, now_ms=now)


def test_a_sanction_of_a_user_binds_the_user_in_that_room_alone() -> None:
    subject = book(MUTE)
    assert held(subject, speaker()) == 0
    assert held(subject, speaker(), "elsewhere") is None
    assert held(subject, speaker(user_id=6)) is None


def test_a_sanction_of_a_user_binds_anonymous_connections_from_their_addresses() -> None:
    subject = book(MUTE)
    assert held(subject, anonymous("10.0.0.5")) == 0
    assert held(subject, anonymous("10.0.0.6")) is None


def test_a_sanction_everywhere_binds_in_every_room() -> None:
    subject = book(replace(MUTE, slug=None))
    assert held(subject, speaker(), "elsewhere") == 0


def test_a_sanction_of_an_address_binds_anonymous_users_only() -> None:
    subject = book(replace(MUTE, target=Target(0, "Anonymous_10.0.0.5")))
    assert held(subject, anonymous()) == 0
    assert held(subject, speaker()) is None


def test_an_anonymous_target_without_a_known_address_is_held_by_name() -> None:
    subject = book(replace(MUTE, target=Target(0, "Anonymous_3f2a"), addresses=frozenset()))
    assert held(subject, anonymous("10.0.0.9", "Anonymous_3f2a")) == 0
    assert held(subject, anonymous("10.0.0.9", "Anonymous_77")) is None
    assert held(subject, speaker(name="Anonymous_3f2a")) is None


@pytest.mark.parametrize(
    ("rank", "is_held"),
    [(Rank.USER, True), (Rank.MODERATOR, False), (Rank.ADMIN, False), (Rank.SUPERUSER, False)],
)
def test_a_sanction_never_applies_to_a_token_of_equal_or_higher_rank(rank: Rank, is_held: bool) -> None:
    assert (held(book(MUTE), speaker(rank=rank)) is not None) == is_held


def test_a_timed_sanction_ends_by_itself() -> None:
    subject = book(replace(MUTE, expires_at_ms=NOW + 500))
    assert held(subject, speaker(), now=NOW) == 500
    assert held(subject, speaker(), now=NOW + 499) == 1
    assert held(subject, speaker(), now=NOW + 500) is None


def test_the_longest_of_several_sanctions_tells_how_long_to_wait() -> None:
    subject = book(replace(MUTE, expires_at_ms=NOW + 500), replace(MUTE, id=2, slug=None, expires_at_ms=NOW + 900))
    assert held(subject, speaker()) == 900
    subject.apply([replace(MUTE, id=3, kind=Action.BAN)], ())
    assert held(subject, speaker()) == 0


def test_the_muted_may_enter_and_the_banned_may_not() -> None:
    subject = book(MUTE)
    assert subject.remaining_ms(speaker(), "live", BANS, now_ms=NOW) is None
    subject.apply([replace(MUTE, id=2, kind=Action.BAN)], ())
    assert subject.remaining_ms(speaker(), "live", BANS, now_ms=NOW) == 0


def test_a_lifted_sanction_binds_nobody_and_leaves_no_trace() -> None:
    subject = book(MUTE)
    subject.apply((), [1])
    assert held(subject, speaker()) is None
    assert held(subject, anonymous()) is None
    assert len(subject) == 0


def test_an_event_that_was_overtaken_does_not_bring_a_lifted_sanction_back() -> None:
    subject = book()
    subject.apply((), [1])
    subject.apply([MUTE], ())
    assert held(subject, speaker()) is None


def test_an_overtaken_event_takes_no_address_away() -> None:
    subject = book(replace(MUTE, addresses=frozenset({"10.0.0.5", "10.0.0.6"})))
    subject.apply([MUTE], ())
    assert held(subject, anonymous("10.0.0.6")) == 0


def test_a_sanction_follows_to_a_new_address() -> None:
    subject = book(MUTE)
    assert [s.id for s in subject.unaware_of(5, "10.0.0.6", "live", now_ms=NOW)] == [1]
    subject.add_address(1, "10.0.0.6")
    assert held(subject, anonymous("10.0.0.6")) == 0
    assert subject.unaware_of(5, "10.0.0.6", "live", now_ms=NOW) == []
    assert subject.unaware_of(5, "10.0.0.7", "elsewhere", now_ms=NOW) == []


def test_reading_the_database_again_forgets_what_is_over() -> None:
    subject = book(MUTE, replace(MUTE, id=2, slug=None))
    subject.start_reading()
    subject.take_in([MUTE])
    subject.finish_reading()
    assert len(subject) == 1
    assert held(subject, speaker(), "elsewhere") is None


def test_what_happens_while_the_database_is_read_is_not_lost() -> None:
    subject = book(MUTE)
    subject.start_reading()
    subject.take_in([MUTE])
    subject.apply([replace(MUTE, id=2, slug="other")], [1])
    subject.take_in([MUTE])
    subject.finish_reading()
    assert held(subject, speaker()) is None
    assert held(subject, speaker(), "other") == 0


def test_an_address_not_stored_yet_survives_reading_the_database_again() -> None:
    subject = book(MUTE)
    subject.add_address(1, "10.0.0.6")
    subject.start_reading()
    subject.take_in([MUTE])
    subject.finish_reading()
    assert held(subject, anonymous("10.0.0.6")) == 0


def test_an_address_that_comes_while_the_database_is_read_is_not_lost() -> None:
    subject = book(MUTE, replace(MUTE, id=2))
    subject.start_reading()
    subject.take_in([MUTE])
    subject.add_address(1, "10.0.0.6")
    subject.add_address(2, "10.0.0.7")
    subject.take_in([replace(MUTE, id=2)])
    subject.finish_reading()
    assert held(subject, anonymous("10.0.0.6")) == 0
    assert held(subject, anonymous("10.0.0.7")) == 0


def test_a_reading_that_failed_changes_nothing() -> None:
    subject = book(MUTE)
    subject.start_reading()
    subject.take_in([replace(MUTE, id=2)])
    subject.abandon_reading()
    subject.take_in([replace(MUTE, id=3)])
    subject.finish_reading()
    assert held(subject, speaker()) == 0
    assert len(subject) == 1

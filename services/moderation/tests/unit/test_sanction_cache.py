"""domain/sanction_cache.py and domain/sanctions.py: whom a sanction binds, where, and until when."""

from dataclasses import replace

import pytest

from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction_cache import BANS, MUTES_AND_BANS, SanctionCache
from moderation.domain.sanctions import Action, Sanction

NOW = 1_000_000
MUTE = Sanction(1, Action.MUTE, Target(5, ""), frozenset({"10.0.0.5"}), "live", "", 9, Rank.MODERATOR, NOW, None)


def speaker(user_id: int = 5, address: str = "10.0.0.5", rank: Rank = Rank.USER, name: str = "ana") -> Speaker:
    return Speaker(user_id, name, address, rank, "e:1")


def anonymous(address: str = "10.0.0.5", name: str = "") -> Speaker:
    return Speaker(0, name or f"Anonymous_{address}", address, Rank.ANONYMOUS, "e:2")


def cached(*sanctions: Sanction) -> SanctionCache:
    subject = SanctionCache()
    subject.apply(sanctions, ())
    return subject


def bound_ms(subject: SanctionCache, who: Speaker, slug: str = "live", now: int = NOW) -> int | None:
    return subject.remaining_ms(who, slug, MUTES_AND_BANS, now_ms=now)


def see(subject: SanctionCache, address: str, *, user_id: int = 5, slug: str = "live") -> None:
    subject.follow(LastSeen(user_id, "", slug, address), now_ms=NOW)


def test_a_sanction_of_a_user_binds_the_user_in_that_room_alone() -> None:
    subject = cached(MUTE)
    assert bound_ms(subject, speaker()) == 0
    assert bound_ms(subject, speaker(), "elsewhere") is None
    assert bound_ms(subject, speaker(user_id=6)) is None


def test_a_sanction_of_a_user_binds_anonymous_connections_from_their_addresses() -> None:
    subject = cached(MUTE)
    assert bound_ms(subject, anonymous("10.0.0.5")) == 0
    assert bound_ms(subject, anonymous("10.0.0.6")) is None


def test_a_sanction_everywhere_binds_in_every_room() -> None:
    subject = cached(replace(MUTE, slug=None))
    assert bound_ms(subject, speaker(), "elsewhere") == 0


def test_a_sanction_of_an_address_binds_anonymous_users_only() -> None:
    subject = cached(replace(MUTE, target=Target(0, "Anonymous_10.0.0.5")))
    assert bound_ms(subject, anonymous()) == 0
    assert bound_ms(subject, speaker()) is None


def test_an_anonymous_target_without_a_known_address_is_bound_by_name() -> None:
    subject = cached(replace(MUTE, target=Target(0, "Anonymous_3f2a"), addresses=frozenset()))
    assert bound_ms(subject, anonymous("10.0.0.9", "Anonymous_3f2a")) == 0
    assert bound_ms(subject, anonymous("10.0.0.9", "Anonymous_77")) is None
    assert bound_ms(subject, speaker(name="Anonymous_3f2a")) is None


@pytest.mark.parametrize(
    ("rank", "is_bound"),
    [(Rank.USER, True), (Rank.MODERATOR, False), (Rank.ADMIN, False), (Rank.SUPERUSER, False)],
)
def test_a_sanction_never_applies_to_a_token_of_equal_or_higher_rank(rank: Rank, is_bound: bool) -> None:
    assert (bound_ms(cached(MUTE), speaker(rank=rank)) is not None) == is_bound


def test_a_timed_sanction_ends_by_itself() -> None:
    subject = cached(replace(MUTE, expires_at_ms=NOW + 500))
    assert bound_ms(subject, speaker(), now=NOW) == 500
    assert bound_ms(subject, speaker(), now=NOW + 499) == 1
    assert bound_ms(subject, speaker(), now=NOW + 500) is None


def test_the_longest_of_several_sanctions_tells_how_long_to_wait() -> None:
    subject = cached(replace(MUTE, expires_at_ms=NOW + 500), replace(MUTE, id=2, slug=None, expires_at_ms=NOW + 900))
    assert bound_ms(subject, speaker()) == 900
    subject.apply([replace(MUTE, id=3, kind=Action.BAN)], ())
    assert bound_ms(subject, speaker()) == 0


def test_the_muted_may_enter_and_the_banned_may_not() -> None:
    subject = cached(MUTE)
    assert subject.remaining_ms(speaker(), "live", BANS, now_ms=NOW) is None
    subject.apply([replace(MUTE, id=2, kind=Action.BAN)], ())
    assert subject.remaining_ms(speaker(), "live", BANS, now_ms=NOW) == 0


def test_a_lifted_sanction_binds_nobody_and_leaves_no_trace() -> None:
    subject = cached(MUTE)
    subject.apply((), [1])
    assert bound_ms(subject, speaker()) is None
    assert bound_ms(subject, anonymous()) is None
    assert len(subject) == 0


def test_an_event_that_was_overtaken_does_not_bring_a_lifted_sanction_back() -> None:
    subject = cached()
    subject.apply((), [1])
    subject.apply([MUTE], ())
    assert bound_ms(subject, speaker()) is None


def test_an_overtaken_event_takes_no_address_away() -> None:
    subject = cached(replace(MUTE, addresses=frozenset({"10.0.0.5", "10.0.0.6"})))
    subject.apply([MUTE], ())
    assert bound_ms(subject, anonymous("10.0.0.6")) == 0


def test_a_sanction_follows_to_a_new_address() -> None:
    subject = cached(MUTE)
    see(subject, "10.0.0.6")
    assert bound_ms(subject, anonymous("10.0.0.6")) == 0
    assert subject.next_unsaved() == (1, "10.0.0.6")
    subject.saved(1, "10.0.0.6")
    see(subject, "10.0.0.6")
    see(subject, "10.0.0.7", slug="elsewhere")
    see(subject, "10.0.0.8", user_id=6)
    assert subject.next_unsaved() is None


def test_reading_the_database_again_forgets_what_is_over() -> None:
    subject = cached(MUTE, replace(MUTE, id=2, slug=None))
    subject.begin_reading()
    subject.add([MUTE])
    subject.finish_reading(up_to=7)
    assert len(subject) == 1
    assert bound_ms(subject, speaker(), "elsewhere") is None


def test_what_happens_while_the_database_is_read_is_not_lost() -> None:
    subject = cached(MUTE)
    subject.begin_reading()
    subject.add([MUTE])
    subject.apply([replace(MUTE, id=2, slug="other")], [1])
    subject.add([MUTE])
    subject.finish_reading(up_to=7)
    assert bound_ms(subject, speaker()) is None
    assert bound_ms(subject, speaker(), "other") == 0


def test_an_address_not_stored_yet_survives_reading_the_database_again() -> None:
    subject = cached(MUTE)
    see(subject, "10.0.0.6")
    subject.begin_reading()
    subject.add([MUTE])
    subject.finish_reading(up_to=7)
    assert bound_ms(subject, anonymous("10.0.0.6")) == 0


def test_an_address_that_comes_while_the_database_is_read_is_not_lost() -> None:
    subject = cached(MUTE, replace(MUTE, id=2, slug="other"))
    subject.begin_reading()
    subject.add([MUTE])
    see(subject, "10.0.0.6")
    see(subject, "10.0.0.7", slug="other")
    subject.add([replace(MUTE, id=2, slug="other")])
    subject.finish_reading(up_to=7)
    assert bound_ms(subject, anonymous("10.0.0.6")) == 0
    assert bound_ms(subject, anonymous("10.0.0.7"), "other") == 0


def test_a_reading_that_failed_changes_nothing() -> None:
    subject = cached(MUTE)
    subject.begin_reading()
    subject.add([replace(MUTE, id=2)])
    subject.abandon_reading()
    subject.add([replace(MUTE, id=3)])
    subject.finish_reading(up_to=7)
    assert bound_ms(subject, speaker()) == 0
    assert len(subject) == 1
    assert subject.read_up_to is None


def test_changes_are_taken_over_with_the_last_action_that_made_them() -> None:
    subject = cached(MUTE)
    subject.read_changes([replace(MUTE, id=2, slug="other")], [1], up_to=9)
    assert bound_ms(subject, speaker()) is None
    assert bound_ms(subject, speaker(), "other") == 0
    assert subject.read_up_to == 9


def test_what_a_database_that_was_put_back_gives_holds_also_under_an_id_that_was_lifted_before() -> None:
    subject = cached(MUTE)
    subject.apply((), [1])
    subject.begin_reading()
    subject.add([MUTE])
    subject.finish_reading(up_to=3)
    assert bound_ms(subject, speaker()) == 0
    assert subject.read_up_to == 3


def test_what_is_over_is_let_go_of_and_what_is_not_stays() -> None:
    subject = cached(replace(MUTE, expires_at_ms=NOW), replace(MUTE, id=2, expires_at_ms=NOW + 1), replace(MUTE, id=3))
    for sanction_id in [*subject.ids(), 99]:
        subject.drop_ended(sanction_id, now_ms=NOW)
    assert sorted(subject.ids()) == [2, 3]


def test_of_many_of_one_target_each_comes_and_goes_alone() -> None:
    many = [replace(MUTE, id=n, slug=f"room-{n}") for n in range(1, 5)]
    subject = cached(*many, *many)
    for n in (2, 1, 4, 3):
        assert bound_ms(subject, speaker(), f"room-{n}") == 0
        subject.apply((), [n])
        assert bound_ms(subject, speaker(), f"room-{n}") is None
    assert len(subject) == 0

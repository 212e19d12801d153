"""Bans and mutes as an edge applies them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.protocol.identity import Identity, Rank, Slug, Speaker, UserId
from ws_edge.protocol.sanctions import Action, Sanction, SanctionCache, SanctionEvent, Scope

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

LIVE = Slug("live")
OTHER = Slug("other")
NOW_S = 1000.0

BAN = Sanction(1, Action.BAN, UserId(7), None, frozenset({"192.0.2.7"}), LIVE, Rank.ADMIN, None)
BAN_ANONYMOUS = Sanction(2, Action.BAN, None, "Anonymous_192.0.2.9", frozenset({"192.0.2.9"}), LIVE, Rank.ADMIN, None)
BAN_EVERYWHERE = replace(BAN, id=3, slug=None)
MUTE = replace(BAN, id=4, action=Action.MUTE)


def _user(user_id: int, rank: Rank = Rank.USER, address: str = "192.0.2.1") -> Speaker:
    return Speaker(Identity(UserId(user_id), "ana", None, (), rank, None), address, "e:1")


def _anonymous(address: str, username: str | None = None) -> Speaker:
    identity = Identity(None, username or f"Anonymous_{address}", None, (), Rank.ANONYMOUS, None)
    return Speaker(identity, address, "e:2")


def _event(*imposed: Sanction, lifted: tuple[int, ...] = ()) -> SanctionEvent:
    return SanctionEvent(9, Action.BAN, UserId(7), None, UserId(1), 0, Scope.ROOM, LIVE, 0, imposed, lifted)


def test_actions_have_the_words_of_the_frame() -> None:
    assert [action.word for action in Action] == ["ban", "mute", "unban", "unmute"]


# --- one sanction ----------------------------------------------------------------------------------------------------


def test_a_sanction_holds_for_its_user_whatever_the_address() -> None:
    assert BAN.holds(_user(7), LIVE, now_s=NOW_S)
    assert BAN.holds(_user(7, address="198.51.100.1"), LIVE, now_s=NOW_S)
    assert not BAN.holds(_user(8), LIVE, now_s=NOW_S)


def test_a_sanction_of_a_user_holds_for_anonymous_connections_from_their_addresses() -> None:
    assert BAN.holds(_anonymous("192.0.2.7"), LIVE, now_s=NOW_S)
    assert not BAN.holds(_anonymous("192.0.2.8"), LIVE, now_s=NOW_S)


def test_a_sanction_of_a_user_does_not_hold_for_other_users_of_the_same_address() -> None:
    assert not BAN.holds(_user(8, address="192.0.2.7"), LIVE, now_s=NOW_S)


def test_a_sanction_of_an_address_holds_for_anonymous_users_only() -> None:
    assert BAN_ANONYMOUS.holds(_anonymous("192.0.2.9"), LIVE, now_s=NOW_S)
    assert not BAN_ANONYMOUS.holds(_user(7, address="192.0.2.9"), LIVE, now_s=NOW_S)


def test_a_sanction_of_an_anonymous_name_holds_where_the_address_is_not_known() -> None:
    ban = replace(BAN_ANONYMOUS, addresses=frozenset())
    assert ban.holds(_anonymous("192.0.2.9"), LIVE, now_s=NOW_S)
    assert not ban.holds(_anonymous("192.0.2.8"), LIVE, now_s=NOW_S)


def test_a_sanction_of_a_user_is_no_sanction_of_an_anonymous_user_who_has_no_name_in_common() -> None:
    ban = replace(BAN, target_username="Anonymous_192.0.2.9")
    assert not ban.holds(_anonymous("192.0.2.9"), LIVE, now_s=NOW_S)


def test_a_sanction_holds_against_its_slug_or_everywhere() -> None:
    assert not BAN.holds(_user(7), OTHER, now_s=NOW_S)
    assert BAN_EVERYWHERE.holds(_user(7), OTHER, now_s=NOW_S)


def test_a_sanction_ends_by_itself_when_its_time_is_up() -> None:
    ban = replace(BAN, expires_at_s=NOW_S)
    assert ban.holds(_user(7), LIVE, now_s=NOW_S - 0.001)
    assert not ban.holds(_user(7), LIVE, now_s=NOW_S)


@pytest.mark.parametrize(
    ("rank", "holds"),
    [
        (Rank.USER, True),
        (Rank.MODERATOR, True),
        (Rank.ADMIN, False),
        (Rank.SUPERUSER, False),
    ],
)
def test_a_sanction_never_applies_to_a_token_of_equal_or_higher_rank(rank: Rank, holds: bool) -> None:
    assert BAN.holds(_user(7, rank), LIVE, now_s=NOW_S) is holds


# --- the cache --------------------------------------------------------------------------------------------------------


def _cache(*sanctions: Sanction, slugs: tuple[Slug, ...] = (LIVE,)) -> SanctionCache:
    cache = SanctionCache()
    cache.replace_everywhere([sanction for sanction in sanctions if sanction.slug is None], read_at_s=4.0)
    cache.replace(list(slugs), [sanction for sanction in sanctions if sanction.slug is not None], read_at_s=5.0)
    return cache


def test_the_cache_finds_a_sanction_by_user_by_address_and_by_name() -> None:
    cache = _cache(BAN, replace(BAN_ANONYMOUS, addresses=frozenset()))
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) == BAN
    assert cache.find(Action.BAN, _anonymous("192.0.2.7"), LIVE, now_s=NOW_S) == BAN
    found = cache.find(Action.BAN, _anonymous("198.51.100.1", "Anonymous_192.0.2.9"), LIVE, now_s=NOW_S)
    assert found is not None
    assert found.id == 2


def test_the_cache_keeps_bans_and_mutes_apart() -> None:
    cache = _cache(MUTE)
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) is None
    assert cache.find(Action.MUTE, _user(7), LIVE, now_s=NOW_S) == MUTE


def test_the_cache_finds_what_holds_though_something_else_has_ended() -> None:
    ended = replace(BAN, id=8, expires_at_s=1.0)
    assert _cache(ended, BAN).find(Action.BAN, _user(7), LIVE, now_s=NOW_S) == BAN


def test_reading_again_replaces_what_was_read_of_these_slugs_alone() -> None:
    cache = _cache(BAN, BAN_EVERYWHERE, replace(BAN, id=5, slug=OTHER), slugs=(LIVE, OTHER))
    cache.replace([LIVE], [MUTE], read_at_s=9.0)
    assert set(cache.by_id) == {3, 4, 5}
    assert (cache.read_at_s, cache.everywhere_read_at_s) == ({LIVE: 9.0, OTHER: 5.0}, 4.0)


def test_reading_again_what_holds_everywhere_replaces_nothing_of_a_room() -> None:
    cache = _cache(BAN, BAN_EVERYWHERE)
    cache.replace_everywhere([replace(BAN_EVERYWHERE, id=6)], read_at_s=9.0)
    assert set(cache.by_id) == {1, 6}
    assert (cache.read_at_s, cache.everywhere_read_at_s) == ({LIVE: 5.0}, 9.0)
    assert SanctionCache().everywhere_read_at_s is None


def test_an_event_imposes_and_lifts() -> None:
    cache = _cache(BAN)
    cache.apply(_event(MUTE, BAN_EVERYWHERE, lifted=(1, 77)))
    assert set(cache.by_id) == {3, 4}
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) == BAN_EVERYWHERE


def test_an_event_may_add_an_address_to_a_known_sanction() -> None:
    cache = _cache(BAN)
    cache.apply(_event(replace(BAN, addresses=frozenset({"192.0.2.50"}))))
    assert cache.find(Action.BAN, _anonymous("192.0.2.50"), LIVE, now_s=NOW_S) is not None
    assert cache.find(Action.BAN, _anonymous("192.0.2.7"), LIVE, now_s=NOW_S) is None


def test_an_event_of_a_room_that_nobody_here_is_in_is_not_kept() -> None:
    cache = _cache()
    cache.apply(_event(replace(BAN, slug=OTHER)))
    assert cache.by_id == {}


def test_a_room_that_was_left_is_forgotten_and_nothing_else() -> None:
    cache = _cache(BAN, BAN_EVERYWHERE, replace(BAN, id=5, slug=OTHER), slugs=(LIVE, OTHER))
    cache.forget(LIVE)
    cache.forget(Slug("never held"))
    assert set(cache.by_id) == {3, 5}
    assert cache.read_at_s == {OTHER: 5.0}


def test_a_sanction_without_a_target_or_address_holds_for_nobody() -> None:
    cache = _cache(replace(BAN, target_user_id=None, addresses=frozenset()))
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) is None
    assert cache.find(Action.BAN, _anonymous("192.0.2.7"), LIVE, now_s=NOW_S) is None


_addresses = ["a1", "a2"]
_sanctions = st.builds(
    lambda id, action, user, addresses, slug, expires: Sanction(
        id, action, user, None if user else "Anonymous_a1", addresses, slug, Rank.MODERATOR, expires
    ),
    st.integers(1, 6),
    st.sampled_from([Action.BAN, Action.MUTE]),
    st.sampled_from([None, UserId(7), UserId(8)]),
    st.frozensets(st.sampled_from(_addresses)),
    st.sampled_from([None, LIVE, OTHER]),
    st.sampled_from([None, 1.0, 2000.0]),
)
_steps = st.lists(
    st.tuples(
        st.sampled_from(["replace", "everywhere", "apply", "forget"]),
        st.lists(_sanctions, max_size=4),
        st.sampled_from([LIVE, OTHER]),
        st.lists(st.integers(1, 6), max_size=3),
    ),
    max_size=12,
)


def test_a_thousand_lifted_sanctions_are_remembered_as_lifted() -> None:
    cache = SanctionCache()
    cache.replace([LIVE], [], read_at_s=0.0)
    cache.apply(_event(lifted=tuple(range(1, 1002))))
    cache.apply(_event(replace(BAN, id=2)))
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) is None
    cache.apply(_event(replace(BAN, id=1)))
    assert cache.find(Action.BAN, _user(7), LIVE, now_s=NOW_S) is not None


@given(_steps)
@PROOF
def test_the_cache_finds_exactly_when_some_sanction_in_it_holds(
    steps: list[tuple[str, list[Sanction], Slug, list[int]]],
) -> None:
    cache = SanctionCache()
    for what, sanctions, slug, lifted in steps:
        if what == "replace":
            cache.replace([slug], [s for s in sanctions if s.slug is not None], read_at_s=0.0)
        elif what == "everywhere":
            cache.replace_everywhere([s for s in sanctions if s.slug is None], read_at_s=0.0)
        elif what == "apply":
            cache.apply(_event(*sanctions, lifted=tuple(lifted)))
        else:
            cache.forget(slug)
        for speaker in (_user(7), _user(8), _anonymous("a1"), _anonymous("a2")):
            for action in (Action.BAN, Action.MUTE):
                holding = [
                    sanction
                    for sanction in cache.by_id.values()
                    if sanction.action is action and sanction.holds(speaker, LIVE, now_s=NOW_S)
                ]
                found = cache.find(action, speaker, LIVE, now_s=NOW_S)
                assert found in holding if holding else found is None


def test_of_several_mutes_the_one_that_ends_last_is_told() -> None:
    brief = replace(MUTE, id=90, slug=LIVE, expires_at_s=NOW_S + 60)
    longer = replace(MUTE, id=91, slug=LIVE, expires_at_s=NOW_S + 600)
    permanent = replace(MUTE, id=92, slug=None, expires_at_s=None)
    ended = replace(MUTE, id=93, slug=LIVE, expires_at_s=NOW_S - 1)
    assert _cache(brief, longer, ended).longest(Action.MUTE, _user(7), LIVE, now_s=NOW_S) == longer
    assert _cache(brief, permanent, longer).longest(Action.MUTE, _user(7), LIVE, now_s=NOW_S) == permanent
    assert _cache(ended).longest(Action.MUTE, _user(7), LIVE, now_s=NOW_S) is None

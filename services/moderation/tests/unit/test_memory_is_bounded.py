"""What domain/ keeps in memory has a size, and what goes is harmless."""

from dataclasses import replace

from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.sanction_cache import MUTES_AND_BANS, SanctionCache
from moderation.domain.sanctions import MOST_ADDRESSES, Action, Sanction, first_addresses
from moderation.domain.windows import AdmittedNonces

S = 1_000_000_000
MUTE = Sanction(1, Action.MUTE, Target(5, ""), frozenset({"10.0.0.5"}), "live", "", 9, Rank.MODERATOR, 0, None)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
BESIDE_ANA = Speaker(0, "Anonymous_10.0.0.5", "10.0.0.5", Rank.ANONYMOUS, "e:2")


def admission(cache: SanctionCache, last_seen: LastSeenBuffer) -> Admission:
    return Admission(Limits(10, 10, 100), cache, last_seen, PolicyCache())


def test_a_nonce_that_comes_too_late_to_matter_is_not_kept() -> None:
    nonces = AdmittedNonces()
    nonces.remember(1, 1, "carried over", "", 0, 121 * S)
    assert len(nonces) == 0
    assert not nonces.knows(1, 1, "carried over", "hi", 121 * S)


def test_every_new_nonce_takes_two_old_ones_along() -> None:
    nonces = AdmittedNonces()
    for number in range(4):
        nonces.remember(1, 1, str(number), "hi", 0, 0)
    nonces.remember(1, 1, "new", "hi", 121 * S, 121 * S)
    assert len(nonces) == 3
    assert nonces.knows(1, 1, "new", "hi", 121 * S)


def test_ten_thousand_lifted_sanctions_are_remembered_as_lifted() -> None:
    cache = SanctionCache()
    cache.apply((), range(1, 10_002))
    cache.apply([replace(MUTE, id=2)], ())
    assert cache.remaining_ms(ANA, "live", MUTES_AND_BANS, now_ms=0) is None
    cache.apply([replace(MUTE, id=1)], ())
    assert cache.remaining_ms(ANA, "live", MUTES_AND_BANS, now_ms=0) == 0


def test_ten_thousand_addresses_wait_to_be_stored_and_the_oldest_goes_first() -> None:
    cache = SanctionCache()
    cache.apply([replace(MUTE, id=sanction_id) for sanction_id in range(1, 41)], ())
    for number in range(MOST_ADDRESSES - 1):  # as many as each takes: 10,200 in all
        cache.follow(LastSeen(5, "", "live", f"10.0.1.{number}"), now_ms=0)
    waiting = []
    while (unsaved := cache.next_unsaved()) is not None:
        waiting.append(unsaved)
        cache.saved(*unsaved)
    assert len(waiting) == 10_000
    assert waiting[0] == (1, "10.0.1.5")


def test_a_sanction_holds_for_so_many_addresses_and_the_first_ones_stay() -> None:
    cache = SanctionCache()
    cache.apply([MUTE], ())
    subject = admission(cache, LastSeenBuffer())
    addresses = [f"2001:db8:0:{number:x}::/64" for number in range(MOST_ADDRESSES + 10)]
    for address in addresses:
        subject.report_seen(Speaker(5, "ana", address, Rank.USER, "e:1"), "live", Now(0, 0))
    for address, is_held in ((addresses[MOST_ADDRESSES - 2], True), (addresses[MOST_ADDRESSES - 1], False)):
        somebody = Speaker(0, "Anonymous_1", address, Rank.ANONYMOUS, "e:2")
        assert (cache.remaining_ms(somebody, "live", MUTES_AND_BANS, now_ms=0) is not None) == is_held
    followed = []
    while (following := cache.next_unsaved()) is not None:
        followed.append(following[1])
        cache.saved(*following)
    assert followed == addresses[: MOST_ADDRESSES - 1]


def test_a_new_sanction_holds_for_what_weighs_most() -> None:
    first = [f"a{number}" for number in range(MOST_ADDRESSES - 1)]
    assert first_addresses(first, first, ["b", "c"]) == {*first, "b"}


def test_a_sanction_that_is_no_more_takes_no_further_address() -> None:
    cache = SanctionCache()
    cache.follow(LastSeen(5, "", "live", "10.0.0.6"), now_ms=0)
    assert len(cache) == 0
    assert cache.next_unsaved() is None


def test_lifting_one_of_two_sanctions_of_an_address_leaves_the_other() -> None:
    cache = SanctionCache()
    cache.apply([MUTE, replace(MUTE, id=2, kind=Action.BAN)], ())
    cache.apply((), [1])
    assert cache.remaining_ms(BESIDE_ANA, "live", MUTES_AND_BANS, now_ms=0) == 0
    cache.apply((), [2])
    assert cache.remaining_ms(BESIDE_ANA, "live", MUTES_AND_BANS, now_ms=0) is None


def test_who_cannot_be_stored_is_not_noted_as_seen() -> None:
    last_seen = LastSeenBuffer()
    nowhere = Speaker(5, "ana", "a" * 65, Rank.USER, "e:1")
    admission(SanctionCache(), last_seen).report_seen(nowhere, "live", Now(0, 0))
    assert len(last_seen) == 0


def test_every_action_has_one_that_undoes_it() -> None:
    assert {action: action.opposite for action in Action} == {
        Action.BAN: Action.UNBAN,
        Action.UNBAN: Action.BAN,
        Action.MUTE: Action.UNMUTE,
        Action.UNMUTE: Action.MUTE,
    }

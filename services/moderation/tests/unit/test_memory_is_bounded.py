"""domain/nonces.py, domain/book.py, domain/admission.py: what is kept in mind has a size, and what goes is harmless."""

from dataclasses import replace

from moderation.domain.admission import Admission, Limits
from moderation.domain.book import MUTES_AND_BANS, SanctionBook
from moderation.domain.nonces import Nonces
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction import ADDRESSES_HELD, Action, Sanction, held_addresses
from moderation.domain.sightings import SightingBuffer

S = 1_000_000_000
MUTE = Sanction(1, Action.MUTE, Target(5, ""), frozenset({"10.0.0.5"}), "live", "", 9, Rank.MODERATOR, 0, None)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
BESIDE_ANA = Speaker(0, "Anonymous_10.0.0.5", "10.0.0.5", Rank.ANONYMOUS, "e:2")


def admission(book: SanctionBook, sightings: SightingBuffer) -> Admission:
    return Admission(Limits(10, 10, 100), book, sightings)


def test_a_nonce_that_comes_too_late_to_matter_is_not_kept() -> None:
    nonces = Nonces()
    nonces.remember(1, 1, "carried over", 0, 121 * S)
    assert len(nonces) == 0
    assert not nonces.knows(1, 1, "carried over", 121 * S)


def test_every_new_nonce_takes_two_old_ones_along() -> None:
    nonces = Nonces()
    for number in range(4):
        nonces.remember(1, 1, str(number), 0, 0)
    nonces.remember(1, 1, "new", 121 * S, 121 * S)
    assert len(nonces) == 3
    assert nonces.knows(1, 1, "new", 121 * S)


def test_ten_thousand_lifted_sanctions_are_remembered_as_lifted() -> None:
    book = SanctionBook()
    book.apply((), range(1, 10_002))
    book.apply([replace(MUTE, id=2)], ())
    assert book.remaining_ms(ANA, "live", MUTES_AND_BANS, now_ms=0) is None
    book.apply([replace(MUTE, id=1)], ())
    assert book.remaining_ms(ANA, "live", MUTES_AND_BANS, now_ms=0) == 0


def test_ten_thousand_addresses_wait_to_be_stored_and_the_oldest_goes_first() -> None:
    subject = admission(SanctionBook(), SightingBuffer())
    for number in range(10_001):
        subject.follow_later(1, f"10.0.{number // 256}.{number % 256}")
    assert subject.next_followed() == (1, "10.0.0.1")


def test_a_sanction_holds_for_so_many_addresses_and_the_first_ones_stay() -> None:
    book = SanctionBook()
    book.apply([MUTE], ())
    subject = admission(book, SightingBuffer())
    addresses = [f"2001:db8:0:{number:x}::/64" for number in range(ADDRESSES_HELD + 10)]
    for address in addresses:
        subject.sight(Speaker(5, "ana", address, Rank.USER, "e:1"), "live", 0)
    for address, is_held in ((addresses[ADDRESSES_HELD - 2], True), (addresses[ADDRESSES_HELD - 1], False)):
        somebody = Speaker(0, "Anonymous_1", address, Rank.ANONYMOUS, "e:2")
        assert (book.remaining_ms(somebody, "live", MUTES_AND_BANS, now_ms=0) is not None) == is_held
    assert book.unaware_of(5, "10.0.0.99", "live", now_ms=0) == []
    followed = []
    while (following := subject.next_followed()) is not None:
        followed.append(following[1])
        subject.followed(*following)
    assert followed == addresses[: ADDRESSES_HELD - 1]


def test_a_new_sanction_holds_for_what_weighs_most() -> None:
    first = [f"a{number}" for number in range(ADDRESSES_HELD - 1)]
    assert held_addresses(first, first, ["b", "c"]) == {*first, "b"}


def test_a_sanction_that_is_no_more_takes_no_further_address() -> None:
    book = SanctionBook()
    book.add_address(1, "10.0.0.6")
    assert len(book) == 0


def test_lifting_one_of_two_sanctions_of_an_address_leaves_the_other() -> None:
    book = SanctionBook()
    book.apply([MUTE, replace(MUTE, id=2, kind=Action.BAN)], ())
    book.apply((), [1])
    assert book.remaining_ms(BESIDE_ANA, "live", MUTES_AND_BANS, now_ms=0) == 0
    book.apply((), [2])
    assert book.remaining_ms(BESIDE_ANA, "live", MUTES_AND_BANS, now_ms=0) is None


def test_who_cannot_be_stored_is_not_noted_as_seen() -> None:
    sightings = SightingBuffer()
    admission(SanctionBook(), sightings).sight(Speaker(5, "ana", "a" * 65, Rank.USER, "e:1"), "live", 0)
    assert len(sightings) == 0


def test_every_action_has_one_that_undoes_it() -> None:
    assert {action: action.opposite for action in Action} == {
        Action.BAN: Action.UNBAN,
        Action.UNBAN: Action.BAN,
        Action.MUTE: Action.UNMUTE,
        Action.UNMUTE: Action.MUTE,
    }

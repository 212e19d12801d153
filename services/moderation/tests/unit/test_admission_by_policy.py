"""domain/admission.py: what a room's policy refuses, in which order, and whom it does not concern."""

import pytest

from moderation.domain.admission import Admission, CarriedAdmission, Limits, MessageCheck, Now, ReleasedAdmission
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Claims, Rank, Speaker, Target
from moderation.domain.policy import Policy, ReadOnly, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.verdicts import ADMITTED, ADMITTED_WITH_PLACE, REPEATED, Decision, Verdict
from moderation.domain.windows import CarryMatcher

S = 1_000_000_000
READ_ONLY = Verdict(Decision.READ_ONLY)


class Subject:
    """An admission and the policies that it goes by, on a clock of seconds."""

    def __init__(self, **policy: object) -> None:
        self.sanctions, self.policies = SanctionCache(), PolicyCache()
        self.admission = Admission(Limits(10, 10, 100), self.sanctions, LastSeenBuffer(), self.policies)
        self._version = 0
        self._number = 0
        self.have(**policy)

    def have(self, **policy: object) -> None:
        self._version += 1
        self.policies.apply(RoomPolicy("live", self._version, Policy(**policy)))  # type: ignore[arg-type]

    def say(
        self, who: Speaker, at_s: float = 0, *, slug: str = "live", nonce: str = "", text: str = "", **asked: bool
    ) -> Verdict:
        self._number += 1
        check = MessageCheck(who, slug, 1, nonce, self._number, text=text, **asked)  # type: ignore[arg-type]
        return self.admission.judge_message(check, now(at_s))

    def release_last(self, who: Speaker, nonce: str = "") -> None:
        self.admission.release(ReleasedAdmission(who, "live", 1, nonce, self._number))


def now(at_s: float) -> Now:
    return Now(int(at_s * S), int(at_s * 1000))


def user(connection: str = "e:1", rank: Rank = Rank.USER) -> Speaker:
    return Speaker(5, "ana", "10.0.0.5", rank, connection)


def anonymous(connection: str = "e:2") -> Speaker:
    return Speaker(0, "Anonymous_10.0.0.6", "10.0.0.6", Rank.ANONYMOUS, connection)


def test_slow_mode_seconds_is_exact_over_all_connections_and_says_how_long_to_wait() -> None:
    subject = Subject(slow_mode_seconds=30)
    assert subject.say(user("e:1")) == ADMITTED_WITH_PLACE
    assert subject.say(user("f:1"), 0.5) == Verdict(Decision.SLOW_MODE, 29_500)
    assert subject.say(user("e:1"), 29.9995) == Verdict(Decision.SLOW_MODE, 1)
    assert subject.say(user("f:1"), 30) == ADMITTED_WITH_PLACE


def test_anonymous_connections_are_slow_each_for_itself() -> None:
    subject = Subject(slow_mode_seconds=30)
    assert subject.say(anonymous("e:1")) == ADMITTED_WITH_PLACE
    assert subject.say(anonymous("e:2")) == ADMITTED_WITH_PLACE
    assert subject.say(anonymous("e:2"), 1).decision is Decision.SLOW_MODE


def test_slow_mode_holds_in_its_room_alone_and_not_for_what_was_said_before_it() -> None:
    subject = Subject()
    assert subject.say(user()) == ADMITTED
    subject.have(slow_mode_seconds=30)
    assert subject.say(user(), 1, slug="other") == ADMITTED
    assert subject.say(user(), 1) == ADMITTED_WITH_PLACE
    subject.have()
    assert subject.say(user(), 2) == ADMITTED


def test_a_refused_message_takes_no_place_and_counts_for_no_limit() -> None:
    subject = Subject(slow_mode_seconds=30)
    subject.say(user())
    for _ in range(20):
        assert subject.say(user(), 1).decision is Decision.SLOW_MODE
    subject.have()
    assert [subject.say(user(), 2) for _ in range(9)] == [ADMITTED] * 9
    assert subject.say(user(), 2).decision is Decision.RATE_LIMITED
    subject.have(slow_mode_seconds=1)
    assert subject.say(user(), 9).decision is Decision.RATE_LIMITED
    assert subject.say(user(), 10) == ADMITTED_WITH_PLACE


def test_a_repeat_is_recognised_before_the_policy() -> None:
    subject = Subject(slow_mode_seconds=30)
    subject.say(user(), nonce="n")
    assert subject.say(user(), 1, nonce="n") == REPEATED
    subject.have(read_only=ReadOnly.EVERYONE)
    assert subject.say(user(), 2, nonce="n") == REPEATED


@pytest.mark.parametrize("read_only", [ReadOnly.ANONYMOUS, ReadOnly.EVERYONE])
def test_read_only_refuses_and_says_nothing_of_waiting(read_only: ReadOnly) -> None:
    subject = Subject(read_only=read_only)
    assert subject.say(anonymous()) == READ_ONLY
    assert subject.say(user()) == (READ_ONLY if read_only is ReadOnly.EVERYONE else ADMITTED)


def test_text_and_claims_are_judged_by_the_policy() -> None:
    subject = Subject(max_length=5, members_only=True)
    check = MessageCheck(user(), "live", 1, "", text="hello", claims=Claims(member=True))
    assert subject.admission.judge_message(check, now(0)) == ADMITTED
    assert subject.admission.judge_message(check._replace(text="hello!"), now(0)) == Verdict(Decision.TOO_LONG)
    assert subject.admission.judge_message(check._replace(claims=Claims()), now(0)) == Verdict(Decision.MEMBERS_ONLY)


def test_a_sanction_is_told_before_the_policy() -> None:
    subject = Subject(read_only=ReadOnly.EVERYONE)
    mute = Sanction(1, Action.MUTE, Target(5, ""), frozenset(), "live", "", 9, Rank.ADMIN, 0, None)
    subject.sanctions.apply((mute,), ())
    assert subject.say(user()).decision is Decision.SANCTIONED


@pytest.mark.parametrize("rank", [Rank.MODERATOR, Rank.ADMIN, Rank.SUPERUSER])
def test_moderators_and_above_are_exempt_from_all_of_it(rank: Rank) -> None:
    subject = Subject(slow_mode_seconds=600, read_only=ReadOnly.EVERYONE)
    assert [subject.say(user(rank=rank)) for _ in range(3)] == [ADMITTED] * 3


def test_a_check_without_policy_is_judged_by_sanctions_and_limits_alone() -> None:
    subject = Subject(slow_mode_seconds=600, read_only=ReadOnly.EVERYONE)
    assert [subject.say(user(), without_policy=True) for _ in range(10)] == [ADMITTED] * 10
    assert subject.say(user(), without_policy=True).decision is Decision.RATE_LIMITED


def test_a_message_that_could_not_be_stored_gives_its_place_back_and_its_nonce_is_new_again() -> None:
    subject = Subject(slow_mode_seconds=30)
    subject.say(user(), nonce="n")
    subject.release_last(user(), "n")
    assert subject.say(user(), 1, nonce="n") == ADMITTED_WITH_PLACE
    subject.release_last(user())  # its nonce is not named, so it stays known
    assert subject.say(user(), 2, nonce="n") == REPEATED
    assert subject.say(user(), 2) == ADMITTED_WITH_PLACE


def test_a_message_that_could_not_be_stored_counts_for_no_limit() -> None:
    subject = Subject()
    for second in range(10):
        assert subject.say(user(), second) == ADMITTED
    subject.release_last(user())
    assert subject.say(user(), 9) == ADMITTED
    assert subject.say(user(), 9.999) == Verdict(Decision.RATE_LIMITED, 1)
    assert subject.say(user(), 10) == ADMITTED


def test_nor_does_it_for_the_limit_of_an_address() -> None:
    subject = Subject()
    for number in range(100):
        assert subject.say(anonymous(f"e:{number}")) == ADMITTED
    assert subject.say(anonymous("e:x"), 1).decision is Decision.RATE_LIMITED
    subject.admission.release(ReleasedAdmission(anonymous("e:7"), "", 1, "", 8))
    assert subject.say(anonymous("e:x"), 1) == ADMITTED
    assert subject.say(anonymous("e:x"), 1).decision is Decision.RATE_LIMITED


def test_what_was_carried_is_released_by_its_number_and_what_has_none_is_not() -> None:
    subject, matcher = Subject(), CarryMatcher()
    for number in range(10):
        carried = CarriedAdmission(user("f:3"), 1, "", 1_000, counts=True, number=number)
        subject.admission.carry(carried, now(100), matcher)
    for number in (0, 99):
        subject.admission.release(ReleasedAdmission(user("f:3"), "", 1, "", number))
        assert subject.say(user(), 100).decision is Decision.RATE_LIMITED
    subject.admission.release(ReleasedAdmission(user("e:1"), "", 1, "", 4))
    assert subject.say(user(), 100).decision is Decision.RATE_LIMITED
    subject.admission.release(ReleasedAdmission(user("f:3"), "", 1, "", 4))
    assert subject.say(user(), 100) == ADMITTED


def test_slow_mode_is_kept_when_a_replica_is_replaced() -> None:
    subject = Subject(slow_mode_seconds=600)
    carried = CarriedAdmission(user("f:3"), 1, "", 100_000, counts=False, slug="live", number=4)
    subject.admission.carry(carried, now(700), CarryMatcher())
    assert subject.say(user(), 700) == Verdict(Decision.SLOW_MODE, 500_000)
    assert subject.say(user(), 700, slug="other") == ADMITTED
    subject.admission.release(ReleasedAdmission(user("f:3"), "live", 1, "", 4))
    assert subject.say(user(), 700) == ADMITTED_WITH_PLACE


def other_user() -> Speaker:
    return Speaker(6, "ben", "10.0.0.7", Rank.USER, "f:1")


def test_unique_nobody_says_in_2_minutes_what_was_said() -> None:
    subject = Subject(unique=True)
    assert subject.say(user(), 0, text="Hello there") == ADMITTED
    assert subject.say(user(), 1, text="hello  THERE") == Verdict(Decision.DUPLICATE, 119_000)
    assert subject.say(other_user(), 2, text="héllo there") == Verdict(Decision.DUPLICATE, 118_000)
    assert subject.say(other_user(), 2, text="hello where") == ADMITTED
    assert subject.say(user(rank=Rank.MODERATOR), 3, text="hello there") == ADMITTED
    assert subject.say(other_user(), 119.9995, text="hello there") == Verdict(Decision.DUPLICATE, 1)
    assert subject.say(other_user(), 120, text="hello there") == ADMITTED
    assert subject.say(user(), 121, text="hello there").decision is Decision.DUPLICATE


def test_unique_holds_in_its_room_alone_and_not_for_what_was_said_before_it() -> None:
    subject = Subject()
    assert subject.say(user(), text="hello") == ADMITTED
    subject.have(unique=True)
    assert subject.say(user(), 1, text="hello") == ADMITTED
    assert subject.say(other_user(), 1, slug="other", text="hello") == ADMITTED
    subject.have()
    assert subject.say(other_user(), 1, text="hello") == ADMITTED


def test_what_is_refused_or_could_not_be_stored_was_not_said() -> None:
    subject = Subject(unique=True, slow_mode_seconds=30)
    assert subject.say(user(), text="hello") == ADMITTED_WITH_PLACE
    subject.release_last(user())
    assert subject.say(user(), 1, text="hello") == ADMITTED_WITH_PLACE
    assert subject.say(user(), 2, text="again").decision is Decision.SLOW_MODE
    assert subject.say(other_user(), 2, text="hello").decision is Decision.DUPLICATE
    assert subject.say(other_user(), 2, text="again") == ADMITTED_WITH_PLACE


def test_a_repeated_nonce_is_no_duplicate_and_a_text_that_is_not_told_is_one() -> None:
    subject = Subject(unique=True)
    assert subject.say(user(), nonce="n", text="hello") == ADMITTED
    assert subject.say(user(), 1, nonce="n", text="hello") == REPEATED
    assert subject.say(user(), 1) == Verdict(Decision.DUPLICATE)


def test_where_the_home_of_the_room_is_elsewhere_the_text_stays_open_and_everything_else_is_judged() -> None:
    subject = Subject(unique=True)
    assert subject.say(user(), text="hello", text_elsewhere=True) == Verdict(Decision.ADMITTED, text_open=True)
    assert subject.say(user(), text="hello", text_elsewhere=True) == Verdict(Decision.ADMITTED, text_open=True)
    subject.have(unique=True, slow_mode_seconds=9)
    open_with_place = Verdict(Decision.ADMITTED, holds_place=True, text_open=True)
    assert subject.say(other_user(), text="hello", text_elsewhere=True) == open_with_place
    assert subject.say(other_user(), text="you", text_elsewhere=True).decision is Decision.SLOW_MODE
    subject.have(read_only=ReadOnly.EVERYONE, unique=True)
    assert subject.say(user(), text="hello", text_elsewhere=True) == READ_ONLY
    subject.have()
    assert subject.say(user(), text="hello", text_elsewhere=True) == ADMITTED


def test_a_repetition_stays_open_too_where_the_home_of_the_room_is_elsewhere_and_that_knows_the_same_message() -> None:
    author, home = Subject(unique=True), Subject(unique=True)
    assert author.say(user(), text="hello", nonce="n", text_elsewhere=True).text_open
    repeated = author.say(user(), text="hello", nonce="n", text_elsewhere=True)
    assert repeated == Verdict(Decision.REPEATED, text_open=True)
    assert author.say(user(rank=Rank.MODERATOR), text="hello", nonce="n", text_elsewhere=True) == REPEATED
    assert author.say(user(), text="hello", nonce="n") == REPEATED
    author.have()
    assert author.say(user(), text="hello", nonce="n", text_elsewhere=True) == REPEATED
    assert home.say(user(), text="hello", nonce="n", text_alone=True) == ADMITTED
    assert home.say(user("f:9"), text="hello", nonce="n", text_alone=True) == REPEATED
    assert home.say(other_user(), text="hello", nonce="n", text_alone=True).decision is Decision.DUPLICATE


def test_the_home_of_the_room_is_asked_of_the_text_alone_and_counts_nothing() -> None:
    subject = Subject(unique=True, read_only=ReadOnly.EVERYONE, slow_mode_seconds=9)
    for number in range(20):
        assert subject.say(user(), text=f"hello {number}", text_alone=True) == ADMITTED
    assert subject.say(other_user(), 1, text="HELLO 3", text_alone=True) == Verdict(Decision.DUPLICATE, 119_000)
    assert subject.say(user(rank=Rank.MODERATOR), 1, text="hello 3", text_alone=True) == ADMITTED
    assert subject.say(other_user(), 1, text="new", text_alone=True) == ADMITTED
    subject.release_last(other_user())
    assert subject.say(user(), 1, text="new", text_alone=True) == ADMITTED
    subject.have()
    assert subject.say(user(), 1, text="new", text_alone=True) == ADMITTED

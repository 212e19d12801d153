"""domain/admission.py: sanction, then repeat, then limit; users over everything, anonymous people by connection
and address."""

from moderation.domain.admission import Admission, ArrivalCheck, CarriedAdmission, Limits, MessageCheck, Now
from moderation.domain.kept_rules import RulesState
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.policy import Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rule_book import RuleBook
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.verdicts import ADMITTED, REPEATED, Decision, Verdict
from moderation.domain.windows import CarryMatcher

S = 1_000_000_000
BAN = Sanction(1, Action.BAN, Target(5, ""), frozenset(), "live", "", 9, Rank.ADMIN, 0, 60_000)


class Subject:
    """An admission with its cache and who was last seen, on a clock of seconds."""

    def __init__(self) -> None:
        self.cache = SanctionCache()
        self.last_seen = LastSeenBuffer()
        self.policies = PolicyCache()
        self.rules = RuleBook()
        self.admission = Admission(Limits(10, 10, 100), self.cache, self.last_seen, self.policies, rules=self.rules)
        self._matcher = CarryMatcher()

    def say(self, who: Speaker, at_s: float = 0, *, slug: str = "live", life: int = 1, nonce: str = "") -> Verdict:
        return self.admission.judge_message(MessageCheck(who, slug, life, nonce), now(at_s))

    def arrive(self, who: Speaker, at_s: float = 0, *, is_final: bool = True) -> Verdict:
        return self.admission.judge_arrival(ArrivalCheck(who, "live", is_final), now(at_s))

    def carry(self, who: Speaker, nonce: str, *, age_ms: int, counts: bool = True) -> None:
        self.admission.carry(CarriedAdmission(who, 1, nonce, age_ms, counts), now(100), self._matcher)


def now(at_s: float) -> Now:
    return Now(int(at_s * S), int(at_s * 1000))


def user(user_id: int = 5, connection: str = "e:1", address: str = "10.0.0.5") -> Speaker:
    return Speaker(user_id, "ana", address, Rank.USER, connection)


def anonymous(connection: str, address: str = "10.0.0.5") -> Speaker:
    return Speaker(0, f"Anonymous_{address}", address, Rank.ANONYMOUS, connection)


def test_ten_messages_of_a_user_count_over_all_connections_rooms_and_edges() -> None:
    subject = Subject()
    said = [subject.say(user(connection=f"e{n}:{n}"), slug=f"room-{n}", life=n) for n in range(10)]
    assert said == [ADMITTED] * 10
    assert subject.say(user(), 2.5) == Verdict(Decision.RATE_LIMITED, 7_500)
    assert subject.say(user(), 10) == ADMITTED


def test_retry_after_is_rounded_up_to_a_whole_millisecond() -> None:
    subject = Subject()
    for _ in range(10):
        subject.say(user())
    assert subject.say(user(), 9.9995).retry_after_ms == 1


def test_anonymous_people_have_ten_messages_a_connection() -> None:
    subject = Subject()
    assert [subject.say(anonymous("e:1")).decision for _ in range(11)] == [Decision.ADMITTED] * 10 + [
        Decision.RATE_LIMITED
    ]
    assert subject.say(anonymous("e:2")) == ADMITTED


def test_all_anonymous_connections_of_an_address_have_a_hundred_messages_together() -> None:
    subject = Subject()
    for n in range(10):
        assert all(subject.say(anonymous(f"e:{n}")) == ADMITTED for _ in range(10))
    assert subject.say(anonymous("e:99"), 4) == Verdict(Decision.RATE_LIMITED, 6_000)
    assert subject.say(anonymous("e:99", "10.0.0.6"), 4) == ADMITTED
    assert subject.say(user(address="10.0.0.5"), 4) == ADMITTED


def test_a_message_refused_for_its_address_does_not_count_for_its_connection() -> None:
    subject = Subject()
    for n in range(10):
        for _ in range(10):
            subject.say(anonymous(f"e:{n}"))
    assert all(subject.say(anonymous("e:99")).decision is Decision.RATE_LIMITED for _ in range(20))
    assert all(subject.say(anonymous("e:99"), 10) == ADMITTED for _ in range(10))


def test_a_repeated_nonce_is_recognised_before_the_limit_and_costs_nothing() -> None:
    subject = Subject()
    for n in range(10):
        assert subject.say(user(), nonce=f"n{n}") == ADMITTED
    assert all(subject.say(user(connection="f:7"), 1, nonce="n3") == REPEATED for _ in range(20))
    assert subject.say(user(), 1, nonce="n10").decision is Decision.RATE_LIMITED


def test_a_refused_message_may_be_sent_again_with_its_nonce() -> None:
    subject = Subject()
    for _ in range(10):
        subject.say(user())
    assert subject.say(user(), 1, nonce="again").decision is Decision.RATE_LIMITED
    assert subject.say(user(), 10, nonce="again") == ADMITTED


def test_a_nonce_is_known_for_110_seconds_of_the_same_life_and_speaker() -> None:
    subject = Subject()
    subject.say(user(), nonce="n")
    assert subject.say(user(), 1, nonce="n", life=2) == ADMITTED
    assert subject.say(user(user_id=6), 1, nonce="n") == ADMITTED
    assert subject.say(user(), 109.9, nonce="n") == REPEATED
    assert subject.say(user(), 120, nonce="n") == ADMITTED


def test_a_nonce_of_an_anonymous_connection_is_its_own() -> None:
    subject = Subject()
    subject.say(anonymous("e:1"), nonce="n")
    assert subject.say(anonymous("e:2"), nonce="n") == ADMITTED
    assert subject.say(anonymous("e:1"), nonce="n") == REPEATED


def test_a_sanctioned_speaker_is_refused_even_with_a_known_nonce_and_it_does_not_count() -> None:
    subject = Subject()
    subject.say(user(), nonce="n")
    subject.cache.apply([BAN], ())
    assert subject.say(user(), 20, nonce="n") == Verdict(Decision.SANCTIONED, 40_000)
    assert all(subject.say(user(), 60) == ADMITTED for _ in range(10))


def test_the_banned_do_not_get_in_until_the_ban_ends() -> None:
    subject = Subject()
    subject.cache.apply([BAN], ())
    assert subject.arrive(user(), 59.5) == Verdict(Decision.SANCTIONED, 500)
    assert subject.arrive(user(), 60) == ADMITTED


def test_only_a_final_check_says_that_somebody_was_seen() -> None:
    subject = Subject()
    subject.arrive(user(), is_final=False)
    assert len(subject.last_seen) == 0
    subject.arrive(user())
    assert subject.last_seen.of(Target(5, ""), "live", since_ms=0) == [LastSeen(5, "", "live", "10.0.0.5")]


def test_a_sanctioned_user_who_turns_up_at_a_new_address_takes_the_sanction_there() -> None:
    subject = Subject()
    subject.cache.apply([BAN], ())
    subject.arrive(user(address="10.0.0.77"), is_final=False)
    assert subject.arrive(anonymous("e:9", "10.0.0.77")).decision is Decision.SANCTIONED
    assert subject.cache.next_unsaved() == (1, "10.0.0.77")
    subject.cache.saved(1, "10.0.0.77")
    assert subject.cache.next_unsaved() is None


def test_carried_admissions_count_and_their_nonces_are_known() -> None:
    subject = Subject()
    for n in range(10):
        subject.carry(user(), f"n{n}", age_ms=4_000)
    subject.carry(user(), "old", age_ms=60_000, counts=False)
    assert subject.say(user(), 100) == Verdict(Decision.RATE_LIMITED, 6_000)
    assert subject.say(user(), 100, nonce="n0") == REPEATED
    assert subject.say(user(), 149, nonce="old") == REPEATED
    assert subject.say(user(), 150, nonce="old") == ADMITTED


def test_carried_admissions_of_anonymous_people_count_for_their_address_too() -> None:
    subject = Subject()
    for n in range(100):
        subject.carry(anonymous(f"e:{n}"), "", age_ms=1_000)
    assert subject.say(anonymous("e:200"), 100) == Verdict(Decision.RATE_LIMITED, 9_000)


def test_a_carried_admission_older_than_the_window_does_not_count() -> None:
    subject = Subject()
    for _ in range(10):
        subject.carry(user(), "", age_ms=10_000)
    assert subject.say(user(), 100) == ADMITTED


def test_a_message_is_plain_where_neither_policy_nor_rules_ask_for_anything() -> None:
    subject = Subject()
    subject.policies.apply(RoomPolicy("slow", 1, Policy(slow_mode_seconds=5)))
    subject.rules.apply(RulesState("ruled", 1, True, True))
    message = MessageCheck(user(), "live", 1, "")
    assert subject.admission.is_plain(message, now(0))
    for other in (
        message._replace(slug="slow"),
        message._replace(slug="ruled"),
        message._replace(without_policy=True),
        message._replace(text_alone=True),
    ):
        assert not subject.admission.is_plain(other, now(0))


def test_what_an_edge_admitted_by_itself_counts_like_any_other_with_its_nonce() -> None:
    subject = Subject()
    for number in range(9):
        subject.admission.count(MessageCheck(user(), "live", 1, f"n{number}", text="hi"), now(0))
    assert subject.say(user(), nonce="n3") == REPEATED
    assert subject.say(user()) == ADMITTED
    assert subject.say(user(), 1) == Verdict(Decision.RATE_LIMITED, 9_000)


def test_what_anonymous_connections_of_an_address_were_admitted_with_counts_for_all_of_them() -> None:
    subject = Subject()
    for number in range(100):
        subject.admission.count(MessageCheck(anonymous(f"e:{number}"), "live", 1, ""), now(0))
    assert subject.say(anonymous("e:200"), 1) == Verdict(Decision.RATE_LIMITED, 9_000)

"""domain/admission.py: what rules refuse, whom they do not concern, and what they cost."""

import pytest

from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.policy import Links, Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rule_book import CompiledRules, RuleBook
from moderation.domain.rule_hits import RuleHit, RuleMute
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.verdicts import ADMITTED, ADMITTED_WITH_PLACE, REPEATED, WARNING_PENDING, Decision, Verdict
from moderation.domain.warnings import RoomWarning, WarningState, WarningStep

S = 1_000_000_000
BLOCKED = Verdict(Decision.BLOCKED)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")


class Subject:
    """An admission and the rules that it goes by, on a clock of seconds."""

    def __init__(self, *rules: KeptRule, refuses_unjudged: bool = False) -> None:
        self.book, self.policies = RuleBook(refuses_unjudged=refuses_unjudged), PolicyCache()
        limits = Limits(10, 10, 12)
        self.admission = Admission(limits, SanctionCache(), LastSeenBuffer(), self.policies, rules=self.book)
        for slug in {each.slug for each in rules}:
            of_slug = [each for each in rules if each.slug == slug]
            self.book.apply(RulesState(slug, 1, judges=True, acts=True))
            self.book.put(slug, CompiledRules(1, of_slug))

    def say(
        self, text: str, who: Speaker = ANA, at_s: float = 0, *, nonce: str = "", without_policy: bool = False
    ) -> Verdict:
        check = MessageCheck(who, "live", 1, nonce, 1, without_policy, text)
        return self.admission.judge_message(check, Now(int(at_s * S), int(at_s * 1000)))

    @property
    def hits(self) -> list[RuleHit]:
        batch = self.admission.rules.hits.take(100)
        return [] if batch is None else batch.sample


def words(rule_id: int = 7, action: RuleAction = RuleAction.REFUSE, slug: str = "live", **more: object) -> KeptRule:
    rule = Rule("words", RuleKind.TERMS, action, patterns=("blarg",), **more)  # type: ignore[arg-type]
    return KeptRule(rule_id, slug, 1, rule)


def speaker(rank: Rank) -> Speaker:
    return Speaker(6, "x", "10.0.0.6", rank, "e:2")


def guest(connection: str) -> Speaker:
    return Speaker(0, "Anonymous_10.0.0.7", "10.0.0.7", Rank.ANONYMOUS, connection)


def test_a_message_against_a_rule_is_refused_in_the_words_of_the_rule_and_noted() -> None:
    subject = Subject(words(told="Mind your words"))
    assert subject.say("hello") == ADMITTED
    assert subject.say("such a BLARG", at_s=2) == Verdict(Decision.BLOCKED, told="Mind your words")
    assert subject.hits == [RuleHit(7, "live", 2_000, 5, "ana", "such a BLARG", "blarg", RuleAction.REFUSE, acted=True)]
    assert not subject.admission.rules.mutes


def test_a_rule_of_another_room_concerns_nobody_here() -> None:
    subject = Subject(words(slug="other"))
    assert subject.say("blarg") == ADMITTED
    assert subject.hits == []


def test_a_flag_and_a_dry_run_let_it_go_on_and_are_noted() -> None:
    subject = Subject(
        words(7, RuleAction.FLAG), words(8, RuleAction.MUTE, mute_minutes=5, mode=RuleMode.DRY_RUN, slug=EVERYWHERE)
    )
    assert subject.say("blarg") == ADMITTED
    assert [(hit.rule_id, hit.acted) for hit in subject.hits] == [(8, False), (7, True)]
    assert not subject.admission.rules.mutes


@pytest.mark.parametrize(("who", "target"), [(ANA, Target(5, "")), (guest("e:9"), Target(0, "Anonymous_10.0.0.7"))])
def test_a_mute_by_rule_waits_to_be_imposed_and_the_message_is_refused(who: Speaker, target: Target) -> None:
    subject = Subject(words(7, RuleAction.MUTE, mute_minutes=5), words(8, slug=EVERYWHERE))
    assert subject.say("blarg", who, 3) == BLOCKED
    assert subject.admission.rules.mutes.next() == RuleMute(target, "live", 5, 7, "words", "blarg", 3_000)
    assert [(hit.rule_id, hit.acted) for hit in subject.hits] == [(8, False), (7, True)]


def test_moderators_and_above_vips_and_those_whom_a_rule_exempts_are_not_judged() -> None:
    subject = Subject(words(exempt_from=Rank.USER))
    assert [subject.say("blarg", speaker(rank)) for rank in list(Rank)[1:]] == [ADMITTED] * 5
    assert subject.say("blarg", guest("e:9")) == BLOCKED
    for_all = Subject(words())
    assert for_all.say("blarg", speaker(Rank.USER)) == BLOCKED
    assert for_all.say("blarg", speaker(Rank.MODERATOR)) == ADMITTED
    assert for_all.say("blarg", speaker(Rank.OWNER)) == ADMITTED
    assert for_all.say("blarg", speaker(Rank.USER)._replace(vip=True)) == ADMITTED


def test_a_check_of_the_same_message_under_the_name_of_before_is_not_judged() -> None:
    assert Subject(words()).say("blarg", without_policy=True) == ADMITTED


def test_what_a_rule_refuses_takes_no_place_no_nonce_and_counts_for_no_limit() -> None:
    subject = Subject(words())
    subject.policies.apply(RoomPolicy("live", 1, Policy(slow_mode_seconds=30)))
    assert subject.say("blarg", nonce="n") == BLOCKED
    assert subject.say("blarg", nonce="n") == BLOCKED
    assert subject.say("hello", nonce="n") == ADMITTED_WITH_PLACE
    assert subject.say("hello", nonce="n") == REPEATED
    subject.policies.apply(RoomPolicy("live", 2, Policy()))
    assert [subject.say("hello", at_s=1).decision for _ in range(10)] == [Decision.ADMITTED] * 9 + [
        Decision.RATE_LIMITED
    ]


def test_a_nonce_that_is_repeated_with_another_text_is_judged_as_another_message() -> None:
    subject = Subject(words())
    assert subject.say("hello", nonce="n") == ADMITTED
    assert subject.say("hello", nonce="n") == REPEATED
    assert subject.say("blarg", nonce="n", at_s=109) == BLOCKED
    assert subject.say("hello", nonce="n", at_s=109) == REPEATED
    assert subject.say("", nonce="n", at_s=109) == REPEATED  # from an edge of before, which does not say


def test_what_a_rule_refuses_was_not_said_in_a_room_where_texts_are_unique() -> None:
    subject = Subject(words(exempt_from=Rank.USER))
    subject.policies.apply(RoomPolicy("live", 1, Policy(unique=True)))
    assert subject.say("blarg", guest("e:9")) == BLOCKED
    assert subject.say("blarg") == ADMITTED
    assert subject.say("blarg", guest("e:9")) == Verdict(Decision.DUPLICATE, 120_000)


def test_a_warning_then_the_policy_then_the_limits_come_before_rules() -> None:
    subject = Subject(words())
    subject.policies.apply(RoomPolicy("live", 1, Policy(links=Links.REFUSE)))
    assert subject.say("blarg evil.com").decision is Decision.LINKS
    warning = RoomWarning(1, "live", Target(5, ""), "No", 9, Rank.MODERATOR, 1_000, WarningState.ISSUED, 1)
    subject.admission.warnings.apply([warning])
    assert subject.say("blarg evil.com") == WARNING_PENDING
    subject.admission.warnings.apply([warning.after(WarningStep.ACKNOWLEDGE, 2)])
    assert [subject.say("hello").decision for _ in range(10)] == [Decision.ADMITTED] * 10
    assert subject.say("blarg").decision is Decision.RATE_LIMITED
    assert subject.hits == []


def test_who_had_as_many_refused_as_they_may_say_in_a_window_waits() -> None:
    subject = Subject(words())
    assert [subject.say("blarg", at_s=n / 10) for n in range(10)] == [BLOCKED] * 10
    assert subject.say("hello", at_s=1) == Verdict(Decision.RATE_LIMITED, 9_000)
    assert subject.say("hello", at_s=10) == ADMITTED
    assert len(subject.hits) == 10
    refused = [subject.say("blarg", guest(f"e:{n}"), 20).decision for n in range(13)]
    assert refused == [Decision.BLOCKED] * 12 + [Decision.RATE_LIMITED]


def test_what_no_rule_could_see_goes_on_or_is_left_to_the_edge() -> None:
    for refuses, verdict in ((False, ADMITTED), (True, Verdict(Decision.UNJUDGED))):
        subject = Subject(words(), refuses_unjudged=refuses)
        assert subject.say("") == verdict
        subject.book.apply(RulesState(EVERYWHERE, 2, judges=True, acts=True))
        assert subject.say("hello", at_s=1) == verdict
        assert subject.say("blarg", at_s=2) == BLOCKED
        assert subject.book.unjudged == 2


def test_a_dry_run_that_could_not_see_a_message_refuses_nothing() -> None:
    subject = Subject(words(), refuses_unjudged=True)
    subject.book.apply(RulesState(EVERYWHERE, 2, judges=True, acts=False))
    assert subject.say("hello") == ADMITTED
    assert subject.say("blarg") == BLOCKED
    assert subject.book.unjudged == 1


class Slow(Subject):
    """Whose processor takes `ms` each time that somebody looks at its clock."""

    def __init__(self, ms: int, *, mode: RuleMode = RuleMode.ON) -> None:
        super().__init__(words(mode=mode))
        self.used_ms, self.ms = 0, ms
        self.admission = Admission(
            Limits(10, 10, 12),
            SanctionCache(),
            LastSeenBuffer(),
            self.policies,
            rules=self.book,
            cpu_ns=self.cpu_ns,
        )

    def cpu_ns(self) -> int:
        self.used_ms += self.ms
        return self.used_ms * 1_000_000


def limited(ms: int) -> Verdict:
    return Verdict(Decision.RATE_LIMITED, ms)


def test_who_sends_texts_that_take_long_waits_as_for_messages_that_are_refused() -> None:
    subject = Slow(15)
    said = [subject.say("hello", at_s=n / 10) for n in range(4)]  # each counts three times
    assert said == [ADMITTED] * 4
    assert subject.say("hello", at_s=1) == limited(9_000)
    assert subject.say("hello", speaker(Rank.USER), at_s=1) == ADMITTED
    guests = [subject.say("hello", guest(f"e:{n}"), at_s=2 + n / 10) for n in range(5)]
    assert guests == [ADMITTED] * 4 + [limited(9_600)]


def test_a_text_that_takes_too_long_is_refused_and_never_let_through_unseen() -> None:
    subject = Slow(60)
    assert subject.say("a blarg") == limited(10_000)
    assert (subject.book.cut, subject.book.unjudged) == (1, 0)
    assert subject.say("hello", speaker(Rank.USER), at_s=1) == ADMITTED  # which needs no other look


def test_where_slow_texts_have_taken_their_time_the_next_one_is_refused_for_a_second_and_others_are_not() -> None:
    subject = Slow(40)
    for number in range(5):
        subject.say("hello", Speaker(100 + number, "x", "10.0.0.8", Rank.USER, f"e:{number}"))
    assert subject.say("blarg") == limited(10_000)
    assert subject.say("hello", speaker(Rank.USER)) == ADMITTED
    later = Slow(0)
    later.admission.rules._left_ns = 0  # as those have left it
    assert later.say("blarg") == limited(1_000)
    assert later.say("hello") == ADMITTED
    assert later.say("blarg", at_s=1) == BLOCKED


def test_what_is_asked_at_once_takes_no_longer_than_edges_wait() -> None:
    subject = Slow(150)
    people = [Speaker(100 + number, "x", "10.0.0.8", Rank.USER, f"e:{number}") for number in range(5)]
    assert [subject.say("hello", who) for who in people] == [ADMITTED] * 3 + [limited(1_000)] * 2
    assert subject.say("hello", people[4], at_s=1) == ADMITTED
    dry = Slow(150, mode=RuleMode.DRY_RUN)
    dry.book.apply(RulesState("live", 2, judges=True, acts=False))
    assert [dry.say("hello", who) for who in people] == [ADMITTED] * 5
    assert (dry.book.cut, dry.book.unjudged) == (0, 2)

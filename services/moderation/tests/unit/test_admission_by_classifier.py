"""domain/admission.py and rule_judge.py: messages that wait for classifiers, and what they come to."""

from dataclasses import replace

import pytest

from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.classifiers import Secrets
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.policy import Links, Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rule_book import CompiledRules, Match, RuleBook
from moderation.domain.rules import Hit, Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.verdicts import ADMITTED, ADMITTED_WITH_PLACE, HELD, REPEATED, Decision, Verdict

S = 1_000_000_000
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
GUEST = Speaker(0, "Anonymous_10.0.0.7", "10.0.0.7", Rank.ANONYMOUS, "e:2")
URL = "https://classify.example.com/"


def asks(rule_id: int = 7, action: RuleAction = RuleAction.REFUSE, slug: str = "live", **more: object) -> KeptRule:
    rule = Rule(f"asks {rule_id}", RuleKind.CLASSIFIER, action, url=URL, **more)  # type: ignore[arg-type]
    return KeptRule(rule_id, slug, 1, rule, secrets=Secrets("whsec_"))


def words(rule_id: int = 9, action: RuleAction = RuleAction.REFUSE, **more: object) -> KeptRule:
    rule = Rule("words", RuleKind.TERMS, action, patterns=("blarg",), **more)  # type: ignore[arg-type]
    return KeptRule(rule_id, "live", 1, rule)


class Subject:
    """An admission and the rules that it goes by, on a clock of seconds."""

    def __init__(self, *rules: KeptRule, policy: Policy | None = None) -> None:
        self.book, self.policies, self.cache = RuleBook(), PolicyCache(), SanctionCache()
        self.admission = Admission(Limits(3, 10, 12), self.cache, LastSeenBuffer(), self.policies, rules=self.book)
        self.judge = self.admission.rules
        self._number = 0
        if policy is not None:
            self.policies.apply(RoomPolicy("live", 1, policy))
        for slug in {each.slug for each in rules}:
            of_slug = [each for each in rules if each.slug == slug]
            self.book.apply(RulesState(slug, 1, judges=True, acts=True))
            self.book.put(slug, CompiledRules(1, of_slug))

    def say(self, text: str = "hello", who: Speaker = ANA, at_s: float = 0, nonce: str = "") -> Verdict:
        self._number += 1
        check = MessageCheck(who, "live", 1, nonce, self._number, text=text)
        return self.admission.judge_message(check, now(at_s))

    def wait(self, text: str = "hello", who: Speaker = ANA, at_s: float = 0, nonce: str = "") -> int:
        verdict = self.say(text, who, at_s, nonce)
        assert verdict.decision is Decision.WAITING
        return verdict.waits_as

    def conclude(self, number: int, *answers: Match, at_s: float = 0) -> Verdict:
        return self.admission.conclude(number, answers, now(at_s))

    @property
    def hits(self) -> list[tuple[int, str, bool]]:
        batch = self.judge.hits.take(100)
        return [] if batch is None else [(hit.rule_id, hit.action.name, hit.acted) for hit in batch.sample]


def now(at_s: float) -> Now:
    return Now(int(at_s * S), int(at_s * 1000))


def against(kept: KeptRule, action: RuleAction | None = None) -> Match:
    rule = replace(kept.rule, action=action or kept.rule.action)
    return Match(replace(kept, rule=rule), Hit(rule, "spam"))


def test_a_message_waits_counts_meanwhile_and_is_admitted_where_nothing_is_against_it() -> None:
    subject = Subject(asks())
    number = subject.wait(nonce="n")
    assert subject.admission.waiting[number].asked.waits_for == [asks()]
    others = [subject.wait(), subject.wait()]
    assert subject.say().decision is Decision.RATE_LIMITED
    assert subject.conclude(number) == ADMITTED
    assert [subject.conclude(each) for each in others] == [ADMITTED] * 2
    assert subject.say(nonce="n") == REPEATED
    assert not subject.admission.waiting
    assert subject.hits == []


def test_what_is_repeated_while_it_waits_is_the_same_message_and_with_another_text_another() -> None:
    subject = Subject(asks())
    number = subject.wait(nonce="n")
    assert subject.wait(nonce="n") == number
    assert subject.wait("bye", nonce="n") != number


def test_what_is_refused_gives_everything_back() -> None:
    subject = Subject(asks(told="No"), policy=Policy(slow_mode_seconds=30))
    refused = Verdict(Decision.BLOCKED, told="No")
    assert subject.conclude(subject.wait(nonce="n"), against(asks(told="No"))) == refused
    assert subject.hits == [(7, "REFUSE", True)]
    assert len(subject.judge.flags) == 1
    assert subject.conclude(subject.wait(nonce="n")) == ADMITTED_WITH_PLACE
    assert subject.say("again").decision is Decision.SLOW_MODE


def test_a_mute_waits_to_be_imposed() -> None:
    rule = asks(action=RuleAction.MUTE, mute_minutes=5)
    subject = Subject(rule)
    assert subject.conclude(subject.wait(who=GUEST), against(rule)).decision is Decision.BLOCKED
    mute = subject.judge.mutes.next()
    assert mute is not None
    assert (mute.target, mute.minutes) == (Target(0, "Anonymous_10.0.0.7"), 5)


def test_what_is_held_keeps_its_place_and_is_held_still_where_it_is_repeated() -> None:
    subject = Subject(asks(), policy=Policy(slow_mode_seconds=30))
    held = subject.conclude(subject.wait(nonce="n"), against(asks(), RuleAction.HOLD))
    assert held == Verdict(Decision.HELD, holds_place=True, rule_id=7, rule_name="asks 7")
    assert subject.say(nonce="n") == HELD
    assert subject.say("more").decision is Decision.SLOW_MODE
    without_nonce = Subject(asks())
    assert without_nonce.conclude(without_nonce.wait(), against(asks(), RuleAction.HOLD)).decision is Decision.HELD


def test_who_had_as_many_held_or_refused_as_they_may_say_has_what_would_be_held_refused() -> None:
    subject = Subject(asks())
    waiting = subject.wait(nonce="n")
    for _ in range(3):
        subject.judge.count(ANA, 0)
    limited = subject.conclude(waiting, against(asks(), RuleAction.HOLD))
    assert limited == Verdict(Decision.RATE_LIMITED, 10_000)
    assert [subject.conclude(subject.wait(at_s=11)) for _ in range(3)] == [ADMITTED] * 3


def test_links_that_the_policy_holds_are_held_where_no_classifier_refuses_them() -> None:
    subject = Subject(asks(), policy=Policy(links=Links.HOLD))
    assert subject.conclude(subject.wait("evil.com")) == HELD
    refused = subject.conclude(subject.wait("evil.com"), against(asks()))
    assert refused.decision is Decision.BLOCKED


def test_a_mute_that_came_meanwhile_holds() -> None:
    subject = Subject(asks())
    number = subject.wait(nonce="n")
    mute = Sanction(
        id=1,
        kind=Action.MUTE,
        target=Target(5, ""),
        addresses=frozenset(),
        slug="live",
        reason="",
        moderator_user_id=9,
        moderator_rank=Rank.MODERATOR,
        created_at_ms=0,
        expires_at_ms=60_000,
    )
    subject.cache.apply([mute], [])
    assert subject.conclude(number, at_s=1) == Verdict(Decision.SANCTIONED, 59_000)
    assert subject.hits == []


def test_where_another_rule_refuses_nobody_is_asked() -> None:
    subject = Subject(asks(), asks(8, RuleAction.FLAG), words())
    assert subject.say("blarg").decision is Decision.BLOCKED
    assert not subject.judge.behind


def test_the_strictest_of_all_counts() -> None:
    subject = Subject(asks(), words(action=RuleAction.HOLD))
    held = subject.conclude(subject.wait("blarg"))
    assert (held.decision, held.rule_id) == (Decision.HELD, 9)
    refused = subject.conclude(subject.wait("blarg"), against(asks()))
    assert refused.decision is Decision.BLOCKED
    assert subject.hits == [(9, "HOLD", True), (9, "HOLD", False), (7, "REFUSE", True)]


def test_whom_a_rule_exempts_nobody_is_asked_about() -> None:
    subject = Subject(asks(exempt_from=Rank.USER))
    assert subject.say() == ADMITTED
    assert subject.say(who=ANA._replace(rank=Rank.MODERATOR)) == ADMITTED
    assert subject.say(who=GUEST).decision is Decision.WAITING


def test_those_that_flag_or_run_dry_are_asked_behind_the_verdict() -> None:
    flag, dry = asks(7, RuleAction.FLAG), asks(8, mode=RuleMode.DRY_RUN, slug=EVERYWHERE)
    subject = Subject(flag, dry)
    assert subject.say() == ADMITTED
    behind = subject.judge.behind.popleft()
    assert [kept.id for kept in behind.asked.behind] == [8, 7]
    subject.judge.conclude_behind(behind, [against(dry), against(flag)])
    assert subject.hits == [(8, "REFUSE", False), (7, "FLAG", True)]
    assert len(subject.judge.flags) == 1
    subject.judge.conclude_behind(behind, [])
    assert subject.hits == []


def test_what_another_rule_has_decided_a_flag_does_not() -> None:
    flag = asks(7, RuleAction.FLAG)
    subject = Subject(flag, words(action=RuleAction.HOLD))
    assert subject.say("blarg").decision is Decision.HELD
    behind = subject.judge.behind.popleft()
    subject.judge.conclude_behind(behind, [against(flag)])
    assert subject.hits == [(9, "HOLD", True), (7, "FLAG", False)]


def test_where_some_are_waited_for_the_others_are_asked_behind_what_they_say() -> None:
    subject = Subject(asks(), asks(8, RuleAction.FLAG))
    number = subject.wait()
    assert not subject.judge.behind
    assert subject.conclude(number) == ADMITTED
    assert len(subject.judge.behind) == 1
    subject.judge.behind.clear()
    subject.conclude(subject.wait(), against(asks()))
    assert not subject.judge.behind


@pytest.mark.parametrize(("stored", "asked"), [("other", ["https://new.example.com/"]), ("off", []), ("gone", [])])
def test_of_rules_that_were_changed_those_that_are_stored_are_asked(stored: str, asked: list[str]) -> None:
    subject = Subject(asks())
    subject.book.apply(RulesState("live", 2, judges=True, acts=True))
    changed = {
        "other": [replace(asks(), rule=replace(asks().rule, url="https://new.example.com/"))],
        "off": [replace(asks(), rule=replace(asks().rule, mode=RuleMode.OFF))],
        "gone": [],
    }
    subject.book.hold_to("live", 2, changed[stored])
    found = subject.book.find("live", "hello", Rank.USER)
    assert [kept.rule.url for kept in found.classifiers] == asked

"""How many rules there may be, and what of them can be saved."""

from dataclasses import replace

import pytest

from moderation.domain.kept_rules import (
    EVERYWHERE,
    MOST_BYTES,
    RulesState,
    SaveRule,
    count_problem,
    saving_problem,
    scope_of,
    size_bytes,
    state_of,
)
from moderation.domain.people import Moderator, Rank
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanctions import Scope

WORDS = Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("blarg",))


def test_a_room_and_everywhere_each_have_at_most_20_rules_and_100_kib() -> None:
    assert count_problem([WORDS] * 20) is None
    assert count_problem([WORDS] * 21) == "There are at most 20 rules in a room, and as many for everywhere"
    full = replace(WORDS, name="é", patterns=("x" * (MOST_BYTES - 2),))
    assert size_bytes(full) == MOST_BYTES
    assert count_problem([full]) is None
    too_much = "The rules of a room, and those for everywhere, have at most 100 KiB together"
    assert count_problem([full, replace(WORDS, name="", patterns=(), told="y")]) == too_much
    assert size_bytes(replace(WORDS, allow=("example.com",), told="no")) == len("wordsblargexample.comno")


def test_the_expressions_of_a_slug_are_bounded_together() -> None:
    large = replace(WORDS, kind=RuleKind.REGEX, patterns=tuple(f"a.{{0,{n}}}b" for n in range(70, 74)))
    assert count_problem([large] * 2) is None
    too_large = "The expressions of a room, and those for everywhere, are too large together"
    assert count_problem([large] * 6) == too_large
    assert count_problem([WORDS, *[replace(large, kind=RuleKind.TERMS)] * 6]) is None


def test_a_rule_may_hold_and_exempts_users_or_moderators() -> None:
    assert saving_problem(WORDS) is None
    assert saving_problem(replace(WORDS, action=RuleAction.HOLD)) is None
    for rank in Rank:
        problem = None if rank in (Rank.USER, Rank.MODERATOR) else "A rule exempts from USER or MODERATOR on"
        assert saving_problem(replace(WORDS, exempt_from=rank)) == problem
    assert saving_problem(replace(WORDS, patterns=("fine", "a*b"))) == "a*b: * stands at an end alone"


def test_a_secret_is_of_a_classifier_alone() -> None:
    secret = "whsec_" + "a" * 32
    asks = Rule("asks", RuleKind.CLASSIFIER, RuleAction.REFUSE, url="https://classify.example.com/")
    assert saving_problem(asks, secret) is None
    assert saving_problem(asks) is None
    assert saving_problem(asks, "guess") == "A secret is whsec_ and base64 of 24 to 64 bytes"
    assert saving_problem(WORDS, secret) == "TERMS takes no secret"
    assert secret not in repr(SaveRule(Moderator(1, Rank.ADMIN), "live", asks, secret=secret))
    assert size_bytes(asks) == len("askshttps://classify.example.com/")


@pytest.mark.parametrize(
    ("modes", "judges", "acts"),
    [
        ([], False, False),
        ([RuleMode.OFF], False, False),
        ([RuleMode.OFF, RuleMode.DRY_RUN], True, False),
        ([RuleMode.DRY_RUN, RuleMode.ON], True, True),
    ],
)
def test_replicas_are_told_whether_rules_are_looked_at_and_act(modes: list[RuleMode], judges: bool, acts: bool) -> None:
    assert state_of("live", 7, [replace(WORDS, mode=mode) for mode in modes]) == RulesState("live", 7, judges, acts)


def test_rules_without_a_slug_hold_everywhere() -> None:
    assert scope_of(EVERYWHERE) is Scope.EVERYWHERE
    assert scope_of("live") is Scope.ROOM

"""Rules, and what several of them make of a text."""

from dataclasses import replace

import pytest

from moderation.domain.people import Rank
from moderation.domain.rules import NO_HITS, Rule, RuleAction, RuleKind, RuleMode, RuleSet, rule_problem
from moderation.domain.text_forms import TextForms

BLARG = Rule("blarg", RuleKind.TERMS, RuleAction.REFUSE, patterns=("other", "blarg"))
NITRO = Rule("nitro", RuleKind.REGEX, RuleAction.HOLD, patterns=("nothing", r"free\W*nitro"))
LINKS = Rule("links", RuleKind.LINKS, RuleAction.FLAG, allow=("example.com",))
CAPS = Rule("caps", RuleKind.CAPS, RuleAction.FLAG, threshold=70)
ZALGO = Rule("zalgo", RuleKind.ZALGO, RuleAction.MUTE, threshold=3, mute_minutes=5)


def hits(rules: list[Rule], text: str, rank: Rank = Rank.USER) -> list[tuple[str, str]]:
    return [(hit.rule.name, hit.pattern) for hit in RuleSet(rules).judge(text, rank).hits]


def test_a_hit_names_its_rule_and_the_pattern_or_host() -> None:
    text = "BLARG free nitro on evil.com and www.example.com"
    assert hits([CAPS, BLARG, NITRO, LINKS], text) == [
        ("blarg", "blarg"),
        ("nitro", r"free\W*nitro"),
        ("links", "evil.com"),
    ]


def test_a_link_to_an_allowed_domain_passes() -> None:
    assert hits([LINKS], "see www.example.com") == []


def test_the_first_pattern_of_several_is_named() -> None:
    assert hits([NITRO, BLARG], "blarg other") == [("blarg", "other")]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (CAPS, "WHY DOES NOBODY ANSWER"),
        (ZALGO, "z\u0335\u0336\u0337"),
        (replace(CAPS, kind=RuleKind.REPEATS, threshold=5), "nooooo"),
        (replace(CAPS, kind=RuleKind.LONG_WORDS, threshold=30), "x" * 30),
    ],
)
def test_a_threshold_that_is_reached_hits(rule: Rule, text: str) -> None:
    assert hits([rule], text) == [(rule.name, "")]
    assert hits([replace(rule, threshold=100)], text) == [(rule.name, "")] * (rule is CAPS)


def test_the_strictest_of_several_hits_counts_and_of_mutes_the_longest() -> None:
    mute, longer = (
        replace(BLARG, name=f"mute {minutes}", action=RuleAction.MUTE, mute_minutes=minutes) for minutes in (5, 60)
    )
    for rules, decisive in (
        ([BLARG, NITRO, LINKS], BLARG),
        ([NITRO, LINKS], NITRO),
        ([BLARG, longer, mute], longer),
    ):
        hit = RuleSet(rules).judge("blarg free nitro evil.com", Rank.USER).decisive
        assert hit is not None
        assert hit.rule is decisive


def test_a_dry_run_is_listed_and_does_not_act() -> None:
    judgement = RuleSet([replace(BLARG, mode=RuleMode.DRY_RUN)]).judge("blarg", Rank.USER)
    assert [hit.acts for hit in judgement.hits] == [False]
    assert judgement.decisive is None


def test_a_rule_that_is_off_is_not_looked_at() -> None:
    assert hits([replace(BLARG, mode=RuleMode.OFF)], "blarg") == []


def test_moderators_and_whom_a_rule_exempts_are_not_judged() -> None:
    assert hits([BLARG], "blarg", Rank.MODERATOR) == []
    assert hits([replace(BLARG, exempt_from=Rank.USER)], "blarg", Rank.USER) == []
    assert hits([replace(BLARG, exempt_from=Rank.USER)], "blarg", Rank.ANONYMOUS) == [("blarg", "blarg")]


def test_rules_for_everywhere_hold_beside_those_of_a_slug() -> None:
    everywhere = RuleSet([BLARG])
    of_slug = RuleSet([LINKS], everywhere)
    judgement = of_slug.judge("blarg evil.com", Rank.USER)
    assert [hit.rule for hit in judgement.hits] == [BLARG, LINKS]
    assert RuleSet([], everywhere).judge("blarg", Rank.USER).decisive is not None


def test_no_rules_say_nothing() -> None:
    assert RuleSet([], RuleSet([])).judge("blarg", Rank.USER) is NO_HITS
    assert RuleSet([BLARG]).judge("fine", Rank.USER) is NO_HITS


@pytest.mark.parametrize("rule", [BLARG, NITRO, LINKS, CAPS, ZALGO])
def test_a_rule_that_can_be_used_has_no_problem(rule: Rule) -> None:
    assert rule_problem(rule) is None


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (replace(BLARG, name=" "), "A name has 1 to 100 characters"),
        (replace(BLARG, told="x" * 501), "What is told has at most 500 characters"),
        (replace(BLARG, patterns=()), "There must be 1 to 1,000 terms"),
        (replace(BLARG, patterns=("x",) * 1_001), "There must be 1 to 1,000 terms"),
        (replace(BLARG, patterns=("fine", "*")), "*: there is no letter or digit in it"),
        (replace(BLARG, threshold=1), "TERMS takes no threshold"),
        (replace(BLARG, allow=("example.com",)), "TERMS takes no domains to allow"),
        (replace(BLARG, mute_minutes=1), "REFUSE takes no minutes"),
        (replace(ZALGO, mute_minutes=0), "A mute takes 1 to 40320 minutes"),
        (replace(NITRO, patterns=("(",)), "(: missing ): (?i)("),
        (replace(LINKS, patterns=("x",)), "LINKS takes no patterns"),
        (replace(LINKS, allow=("co.uk",)), "co.uk: this is no domain that somebody owns"),
        (replace(LINKS, allow=("example.com",) * 1_001), "At most 1,000 domains are allowed"),
        (replace(CAPS, threshold=0), "The threshold of CAPS is 1 to 100"),
        (replace(CAPS, threshold=101), "The threshold of CAPS is 1 to 100"),
    ],
)
def test_a_rule_that_cannot_be_used_says_why(rule: Rule, problem: str) -> None:
    assert rule_problem(rule) == problem


def test_large_expressions_wait_for_time_and_small_ones_do_not() -> None:
    small = Rule("small", RuleKind.REGEX, RuleAction.REFUSE, patterns=("bl.rg",))
    large = Rule("large", RuleKind.REGEX, RuleAction.REFUSE, patterns=tuple(f"a.{{0,{n}}}b" for n in range(60, 70)))
    for rule, is_cut in ((small, False), (large, True)):
        forms = TextForms("a blarg b", lambda: True)
        hits = RuleSet([rule]).judge(forms, Rank.USER).hits
        assert (len(hits), forms.is_cut) == (not is_cut, is_cut)
        assert len(RuleSet([rule]).judge("a blarg b", Rank.USER).hits) == 1


def test_all_rules_share_the_forms_of_a_text() -> None:
    rules = [
        Rule("links", RuleKind.LINKS, RuleAction.REFUSE),
        Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("fück",)),
    ]
    forms = TextForms("FÜCK evil.com evil.com")
    for _ in range(2):
        hits = RuleSet(rules).judge(forms, Rank.USER).hits
        assert [hit.pattern for hit in hits] == ["evil.com", "fück"]
    assert forms.hosts == ["evil.com"]

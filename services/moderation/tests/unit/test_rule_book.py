"""What a replica knows of the rules of all slugs, and what it keeps compiled."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from moderation.domain import rule_book
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.people import Rank
from moderation.domain.rule_book import CompiledRules, Found, Match, RuleBook, decisive
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.text_forms import TextForms

NOTHING = Found([], is_all=True, is_unseen=False, is_cut=False)
S = 1_000_000_000


def kept(
    rule_id: int, *patterns: str, action: RuleAction = RuleAction.REFUSE, slug: str = "live", **more: object
) -> KeptRule:
    rule = Rule(f"rule {rule_id}", RuleKind.TERMS, action, patterns=patterns, **more)  # type: ignore[arg-type]
    return KeptRule(rule_id, slug, 1, rule)


def known(book: RuleBook, version: int, *rules: KeptRule, slug: str = "live") -> None:
    """Hear of the rules of a slug, and compile them."""
    book.apply(RulesState(slug, version, judges=bool(rules), acts=bool(rules)))
    book.put(slug, CompiledRules(version, rules))


def ids(book: RuleBook, text: str, slug: str = "live", rank: Rank = Rank.USER) -> list[int]:
    return [match.kept.id for match in book.find(slug, text, rank).matches]


def test_the_rules_for_everywhere_come_before_those_of_the_room() -> None:
    book = RuleBook()
    assert book.find("live", "blarg", Rank.USER) == NOTHING
    known(book, 1, kept(7, "blarg"))
    known(book, 2, kept(8, "blarg", slug=EVERYWHERE), slug=EVERYWHERE)
    assert ids(book, "blarg") == [8, 7]
    assert ids(book, "blarg", "other") == [8]
    assert book.find("live", "nothing", Rank.USER) == NOTHING
    assert (len(book), book.compiled) == (2, 2)


def test_rules_that_are_not_compiled_yet_and_texts_that_are_not_known_are_told() -> None:
    book = RuleBook()
    known(book, 1, kept(8, "blarg", slug=EVERYWHERE), slug=EVERYWHERE)
    book.apply(RulesState("live", 2, judges=True, acts=True))
    found = book.find("live", "blarg", Rank.USER)
    assert ([match.kept.id for match in found.matches], found.is_all, found.is_unseen) == ([8], False, True)
    assert book.find("other", "", Rank.USER) == NOTHING._replace(is_all=False, is_unseen=True)
    book.apply(RulesState("dry", 3, judges=True, acts=False))
    assert book.find("dry", "hello", Rank.USER) == NOTHING._replace(is_all=False)  # a dry run has not seen it
    assert book.missing(["live", "other"]) == ["live"]
    assert (book.needs("live"), book.needs("other"), book.needs(EVERYWHERE)) == (True, False, False)


def test_the_highest_version_holds_whichever_way_it_came_first() -> None:
    book = RuleBook()
    known(book, 5, kept(7, "blarg"))
    book.apply(RulesState("live", 4, judges=False, acts=False))
    assert ids(book, "blarg") == [7]
    assert book.acts_in("live")
    assert not book.acts_in("other")
    book.read([RulesState("live", 6, judges=False, acts=False), RulesState("other", 8, judges=True, acts=False)])
    assert ids(book, "blarg") == []
    assert book.read_up_to == 8
    assert not book.acts_in("other")
    assert (book.version_of("live"), book.version_of("never"), book.compiled) == (6, 0, 0)


def test_changed_rules_judge_until_the_new_ones_are_compiled() -> None:
    book = RuleBook()
    known(book, 1, kept(7, "blarg"))
    assert book.outdated() == []
    book.apply(RulesState("live", 2, judges=True, acts=True))
    assert book.outdated() == ["live"]
    assert ids(book, "blarg") == [7]
    book.apply(RulesState("live", 3, judges=True, acts=True))
    book.put("live", CompiledRules(2, [kept(7, "zonk")]))
    assert (ids(book, "blarg"), ids(book, "zonk"), book.needs("live")) == ([], [7], True)
    assert book.at_version("live", 2) is not None
    assert book.at_version("live", 3) is None
    book.put("live", CompiledRules(3, [kept(7, "zonk")]))
    assert not book.needs("live")


def test_what_was_compiled_for_a_slug_without_rules_is_not_kept() -> None:
    book = RuleBook()
    book.put("live", CompiledRules(1, [kept(7, "blarg")]))
    assert (book.compiled, ids(book, "blarg")) == (0, [])


def test_what_was_not_asked_for_longest_gives_way_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 2)
    book = RuleBook()
    for number, slug in enumerate(("a", "b"), start=1):
        known(book, number, kept(number, "blarg", slug=slug), slug=slug)
    assert ids(book, "blarg", "a") == [1]
    known(book, 3, kept(3, "blarg", slug="c"), slug="c")
    assert (book.missing(["a", "b", "c"]), book.compiled) == (["b"], 2)
    monkeypatch.setattr(rule_book, "MOST_COMPILED_BYTES", 1)
    known(book, 4, kept(4, "blarg", slug="d"), slug="d")
    assert (ids(book, "blarg", "d"), book.compiled) == ([4], 1)


def test_what_gave_way_is_known_for_a_minute_and_who_comes_makes_nobody_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 1)
    monkeypatch.setattr(rule_book, "_REMEMBERED", 2)
    book = RuleBook()
    assert book.may_come("a", 0)
    known(book, 1, kept(1, "blarg", slug="a"), slug="a")
    assert (book.may_come("a", 0), book.may_come("b", 0)) == (True, False)
    book.apply(RulesState("b", 2, judges=True, acts=True))
    book.put("b", CompiledRules(2, [kept(2, "blarg", slug="b")]), 5 * S)
    assert (book.was_dropped_lately("a", 65 * S - 1), book.was_dropped_lately("a", 65 * S)) == (True, False)
    assert (book.was_dropped_lately("b", 5 * S), book.dropped) == (False, 1)
    for number, slug in enumerate(("c", "d"), start=3):
        book.apply(RulesState(slug, number, judges=True, acts=True))
        book.put(slug, CompiledRules(number, [kept(number, "blarg", slug=slug)]), 6 * S)
    assert [book.was_dropped_lately(slug, 7 * S) for slug in "abcd"] == [False, True, True, False]
    book.was_too_large("e", 7 * S)
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 9)
    assert (book.may_come("e", 67 * S - 1), book.may_come("e", 67 * S)) == (False, True)


def test_there_is_room_for_what_fits_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    book = RuleBook()
    known(book, 1, kept(1, "blarg", slug="a"), slug="a")
    cost = CompiledRules(1, [kept(1, "blarg")]).cost_bytes
    monkeypatch.setattr(rule_book, "MOST_COMPILED_BYTES", 2 * cost)
    assert (book.has_room("b", cost), book.has_room("b", cost + 1), book.has_room("a", 2 * cost)) == (True, False, True)


def stored(book: RuleBook, text: str, *rules: KeptRule, rank: Rank = Rank.USER) -> tuple[list[int], bool]:
    """What acts of rules that were compiled, where these are stored now."""
    assert book.unread() == ["live"]
    book.hold_to("live", 2, rules)
    assert book.unread() == []
    found = book.find("live", text, rank)
    return [match.kept.id for match in found.matches], found.is_all


@pytest.mark.parametrize(
    ("now", "acts", "is_all"),
    [
        (kept(7, "blarg", "zonk"), [7], True),
        (None, [], True),
        (kept(7, "blarg", mode=RuleMode.OFF), [], True),
        (kept(7, "blarg", exempt_from=Rank.USER), [], True),
        (kept(7, "zonk"), [], False),
        (KeptRule(7, "live", 2, Rule("caps", RuleKind.CAPS, RuleAction.FLAG, threshold=9)), [], False),
    ],
    ids=["as it was", "deleted", "off", "exempts", "another pattern", "another kind"],
)
def test_what_was_deleted_or_switched_off_acts_no_longer_while_the_rest_is_compiled(
    now: KeptRule | None, acts: list[int], is_all: bool
) -> None:
    book = RuleBook()
    known(book, 1, kept(7, "blarg"), kept(8, "other"))
    book.apply(RulesState("live", 2, judges=True, acts=True))
    assert stored(book, "blarg", *([now] if now else []), kept(8, "other")) == (acts, is_all)


def test_a_rule_that_became_a_dry_run_acts_no_longer_and_what_has_no_pattern_stays() -> None:
    caps = Rule("caps", RuleKind.CAPS, RuleAction.REFUSE, threshold=50)
    book = RuleBook()
    known(book, 1, KeptRule(7, "live", 1, caps))
    book.apply(RulesState("live", 2, judges=True, acts=True))
    dry = KeptRule(7, "live", 2, replace(caps, mode=RuleMode.DRY_RUN))
    assert stored(book, "ALL CAPITALS HERE", dry) == ([7], True)
    assert decisive(book.find("live", "ALL CAPITALS HERE", Rank.USER).matches) is None
    book.apply(RulesState("live", 4, judges=True, acts=True))
    book.hold_to("live", 4, [])
    book.put("live", CompiledRules(3, [dry]))
    assert book.find("live", "ALL CAPITALS HERE", Rank.USER).matches == []  # what is newer holds on
    book.put("live", CompiledRules(4, [dry]))
    assert ids(book, "ALL CAPITALS HERE") == [7]
    book.hold_to("live", 4, [])  # of what is not outdated nothing is kept
    assert ids(book, "ALL CAPITALS HERE") == [7]


def test_rules_for_everywhere_give_way_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 2)
    book = RuleBook()
    for number, slug in enumerate(("", "a", "b"), start=1):
        known(book, number, kept(number, "blarg", slug=slug), slug=slug)
    assert (book.missing(["", "a", "b"]), book.compiled) == (["a"], 2)


def test_many_terms_are_several_automata_whose_hits_come_in_the_order_of_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("moderation.domain.terms._BYTES_A_SEARCH", 40)
    caps = KeptRule(4, "live", 1, Rule("caps", RuleKind.CAPS, RuleAction.FLAG, threshold=50))
    compiled = CompiledRules(1, [kept(1, "blarg", "aaron"), kept(2, "zonk", "berta"), kept(3, "quux"), caps])
    assert [match.kept.id for match in compiled.matches("QUUX ZONK BLARG", Rank.USER)] == [1, 2, 3, 4]


def test_rules_cost_what_their_patterns_and_programs_take() -> None:
    def cost(kind: RuleKind, *patterns: str, mode: RuleMode = RuleMode.ON) -> int:
        rule = Rule("rule", kind, RuleAction.FLAG, mode, patterns)
        return CompiledRules(1, [KeptRule(1, "live", 1, rule)]).cost_bytes

    words = cost(RuleKind.TERMS, *(f"word{number}" for number in range(1_000)))
    phrases = cost(
        RuleKind.TERMS, *(f"a phrase of quite some words, the {number}th of them" for number in range(1_000))
    )
    assert 3 << 20 < words < phrases < 30 << 20
    assert cost(RuleKind.REGEX, "free nitro") < 1 << 20 < cost(RuleKind.REGEX, r"\w{1,90}x")
    assert cost(RuleKind.TERMS, *map(str, range(1_000)), mode=RuleMode.OFF) == cost(RuleKind.REPEATS) == 16 << 10


def test_a_rule_that_a_library_refuses_is_left_out_alone_and_told() -> None:
    broken = KeptRule(2, "live", 1, Rule("broken", RuleKind.REGEX, RuleAction.REFUSE, patterns=("(",)))
    compiled = CompiledRules(1, [broken, kept(1, "blarg"), kept(3, "zonk")])
    assert [match.kept.id for match in compiled.matches("blarg ( zonk", Rank.USER)] == [1, 3]
    assert [rule_id for rule_id, _ in compiled.left_out] == [2]


def test_a_text_that_judging_fails_at_takes_nothing_with_it_and_the_failure_is_told_once() -> None:
    class Failing(CompiledRules):
        def matches(self, text: str | TextForms, rank: int) -> Iterator[Match]:
            raise ValueError("blarg")

    book = RuleBook()
    known(book, 1, kept(8, "blarg", slug=EVERYWHERE), slug=EVERYWHERE)
    book.apply(RulesState("live", 2, judges=True, acts=True))
    book.put("live", Failing(2, []))
    found = book.find("live", "blarg", Rank.USER)
    assert ([match.kept.id for match in found.matches], found.is_all) == ([8], False)
    assert str(book.take_failure()) == "blarg"
    assert book.take_failure() is None


def test_the_strictest_of_several_hits_decides_of_several_mutes_the_longest_and_dry_runs_never() -> None:
    flag, refuse = kept(1, "a", action=RuleAction.FLAG), kept(2, "a")
    short, long = (kept(n, "a", action=RuleAction.MUTE, mute_minutes=m) for n, m in ((3, 5), (4, 9)))
    dry = kept(5, "a", action=RuleAction.MUTE, mute_minutes=99, mode=RuleMode.DRY_RUN)

    def decides(*rules: KeptRule) -> int | None:
        deciding = decisive(list(CompiledRules(1, rules).matches("a", Rank.USER)))
        return None if deciding is None else deciding.kept.id

    assert decides(flag, refuse, dry) == 2
    assert decides(short, refuse, long, dry) == 4
    assert decides(dry) is None
    assert decides() is None

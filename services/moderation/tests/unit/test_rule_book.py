"""What a replica knows of the rules of all slugs, and what it keeps compiled."""

from collections.abc import Iterator

import pytest

from moderation.domain import rule_book
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.people import Rank
from moderation.domain.rule_book import CompiledRules, Match, RuleBook, decisive
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleMode


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
    assert book.find("live", "blarg", Rank.USER) == ([], True)
    known(book, 1, kept(7, "blarg"))
    known(book, 2, kept(8, "blarg", slug=EVERYWHERE), slug=EVERYWHERE)
    assert ids(book, "blarg") == [8, 7]
    assert ids(book, "blarg", "other") == [8]
    assert book.find("live", "nothing", Rank.USER) == ([], True)
    assert (len(book), book.compiled) == (2, 2)


def test_rules_that_are_not_compiled_yet_and_texts_that_are_not_known_are_told() -> None:
    book = RuleBook()
    known(book, 1, kept(8, "blarg", slug=EVERYWHERE), slug=EVERYWHERE)
    book.apply(RulesState("live", 2, judges=True, acts=True))
    found = book.find("live", "blarg", Rank.USER)
    assert ([match.kept.id for match in found.matches], found.is_all) == ([8], False)
    assert book.find("other", "", Rank.USER) == ([], False)
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


def test_rules_for_everywhere_give_way_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 2)
    book = RuleBook()
    for number, slug in enumerate(("", "a", "b"), start=1):
        known(book, number, kept(number, "blarg", slug=slug), slug=slug)
    assert (book.missing(["", "a", "b"]), book.compiled) == (["a"], 2)


def test_many_terms_are_several_sets_whose_hits_come_in_the_order_of_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_book, "TERMS_A_SET", 3)
    caps = KeptRule(4, "live", 1, Rule("caps", RuleKind.CAPS, RuleAction.FLAG, threshold=50))
    compiled = CompiledRules(1, [kept(1, "blarg", "aaron"), kept(2, "zonk", "berta"), kept(3, "quux"), caps])
    assert [match.kept.id for match in compiled.matches("QUUX ZONK BLARG", Rank.USER)] == [1, 2, 3, 4]
    assert CompiledRules(1, [kept(1, *map(str, range(1_000)))]).cost_bytes > 3_000_000


def test_a_rule_that_this_version_refuses_is_left_out_and_the_others_hold() -> None:
    broken = KeptRule(2, "live", 1, Rule("broken", RuleKind.REGEX, RuleAction.REFUSE, patterns=("(",)))
    compiled = CompiledRules(1, [broken, kept(1, "blarg")])
    assert [match.kept.id for match in compiled.matches("blarg (", Rank.USER)] == [1]


def test_a_text_that_judging_fails_at_takes_nothing_with_it_and_the_failure_is_told_once() -> None:
    class Failing(CompiledRules):
        def matches(self, text: str, rank: int) -> Iterator[Match]:
            raise ValueError(text)

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

"""The rules of slugs and what they hit in the database, on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from moderation.adapters.store import rules
from moderation.adapters.store.rules import values_of
from moderation.adapters.store.tables import AuditRow, RuleHitRow, RuleRow
from moderation.domain.audit import AuditQuery, Verification
from moderation.domain.classifiers import NO_SECRETS, Secrets
from moderation.domain.commands import RULE_AUTHOR, Receipt, SanctionOrder, Undone
from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.kept_rules import EVERYWHERE, DeleteRule, KeptRule, RuleOrder, RulesState, SaveRule
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.rights import Change
from moderation.domain.rule_hits import SAMPLE, HitBatch, HitCount, RuleHit, RuleMute
from moderation.domain.rules import OnFailure, Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.errors import CannotUndo, NotPermitted, RuleNotFound, RuleRefused
from moderation.ports import SanctionQuery, Store

pytestmark = pytest.mark.integration
BOSS = Moderator(9, Rank.ADMIN)
WORDS = Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("blarg", "zonk*"), told="No")
LINKS = Rule("links", RuleKind.LINKS, RuleAction.MUTE, RuleMode.DRY_RUN, allow=("example.com",), mute_minutes=5)


def save(rule: Rule = WORDS, slug: str = "live", *, rule_id: int = 0, nonce: str = "") -> RuleOrder:
    origin = Origin("e" * 32, 1, nonce) if nonce else NO_ORIGIN
    return RuleOrder(SaveRule(BOSS, slug, rule, rule_id, "raid"), origin=origin)


def delete(rule_id: int, slug: str = "live", *, nonce: str = "") -> RuleOrder:
    origin = Origin("e" * 32, 1, nonce) if nonce else NO_ORIGIN
    return RuleOrder(DeleteRule(BOSS, slug, rule_id, "enough"), origin=origin)


async def made(store: Store, rule: Rule = WORDS, slug: str = "live") -> int:
    receipt = await store.change_rules(save(rule, slug), now_ms=1_000)
    assert receipt.rule is not None
    return receipt.rule.id


def hit(rule_id: int, number: int = 0, *, acted: bool = False) -> RuleHit:
    return RuleHit(rule_id, "live", number, 5, "ana", f"a\0{number}", "blarg", RuleAction.REFUSE, acted=acted)


async def test_a_rule_is_kept_by_slug_with_its_audit_row_and_what_replicas_have_to_know(store: Store) -> None:
    receipt = await store.change_rules(save(nonce="n1"), now_ms=1_000)
    assert receipt.rule is not None
    assert receipt.rule == KeptRule(receipt.rule.id, "live", 1_000, WORDS, changed_by=9, changed_at_ms=1_000)
    assert receipt.rules == RulesState("live", 1_000, judges=True, acts=True)
    assert await store.rules_of("live") == (1_000, [receipt.rule])
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.slug, audit.scope, audit.reason, audit.nonce) == (24, "live", 1, "raid", "n1")
    assert (audit.moderator_user_id, audit.moderator_rank) == (9, 4)
    assert audit.details == {
        "rule_id": receipt.rule.id,
        "rule_name": "words",
        "version": 1_000,
        "before": None,
        "after": {
            "name": "words",
            "kind": 1,
            "action": 3,
            "mode": 3,
            "patterns": ["blarg", "zonk*"],
            "allow": [],
            "threshold": 0,
            "mute_minutes": 0,
            "exempt_from": 3,
            "told": "No",
        },
    }


async def test_a_rule_is_replaced_as_a_whole_and_the_audit_row_has_the_fields_that_differ(store: Store) -> None:
    rule_id = await made(store)
    other = await made(store, LINKS)
    changed = replace(WORDS, patterns=("blarg",), mode=RuleMode.OFF)
    receipt = await store.change_rules(save(changed, rule_id=rule_id), now_ms=2_000)
    assert receipt.rules == RulesState("live", 2_000, judges=True, acts=False)
    version, found = await store.rules_of("live")
    assert (version, [(kept.id, kept.rule) for kept in found]) == (2_000, [(rule_id, changed), (other, LINKS)])
    assert (await AuditRow.get(id=receipt.action_id)).details == {
        "rule_id": rule_id,
        "rule_name": "words",
        "version": 2_000,
        "before": {"patterns": ["blarg", "zonk*"], "mode": 3},
        "after": {"patterns": ["blarg"], "mode": 1},
    }


async def test_of_a_classifier_its_secrets_are_kept_apart_and_the_audit_row_says_only_that_they_changed(
    store: Store,
) -> None:
    asks = Rule("asks", RuleKind.CLASSIFIER, RuleAction.HOLD, url="https://c.example.com/", on_failure=OnFailure.HOLD)

    async def saved(secret: str, now_ms: int, rule: Rule = asks, rule_id: int = 0) -> tuple[KeptRule, dict[str, Any]]:
        receipt = await store.change_rules(
            RuleOrder(SaveRule(BOSS, "live", rule, rule_id, secret=secret)), now_ms=now_ms
        )
        assert receipt.rule is not None
        assert await store.find_rule(receipt.rule.id) == receipt.rule
        details = (await AuditRow.get(id=receipt.action_id)).details
        assert details is not None
        assert "whsec_" not in str(details)
        return receipt.rule, details

    with pytest.raises(RuleRefused, match="A new classifier has a secret"):
        await saved("", 1_000)
    first, details = await saved("whsec_a", 1_000)
    assert (first.rule, first.secrets, details["secret_changed"]) == (asks, Secrets("whsec_a"), True)
    assert (details["after"]["url"], details["after"]["on_failure"]) == ("https://c.example.com/", 2)
    renamed, details = await saved("", 2_000, replace(asks, name="new"), first.id)
    assert (renamed.secrets, details.get("secret_changed")) == (first.secrets, None)
    assert (details["before"], details["after"]) == ({"name": "asks"}, {"name": "new"})
    second, details = await saved("whsec_b", 3_000, asks, first.id)
    assert second.secrets == Secrets("whsec_b", "whsec_a", 86_403_000)
    assert details["secret_changed"] is True
    other, _ = await saved("", 4_000, WORDS, first.id)
    assert other.secrets == NO_SECRETS


async def test_a_classifier_is_changed_and_deleted_by_admins_alone(store: Store) -> None:
    asks = Rule("asks", RuleKind.CLASSIFIER, RuleAction.HOLD, url="https://c.example.com/")
    order = RuleOrder(SaveRule(BOSS, "live", asks, secret="whsec_a"))
    receipt = await store.change_rules(order, now_ms=1_000)
    assert receipt.rule is not None
    owner = Moderator(8, Rank.OWNER)
    for command in (SaveRule(owner, "live", WORDS, receipt.rule.id), DeleteRule(owner, "live", receipt.rule.id)):
        with pytest.raises(NotPermitted):
            await store.change_rules(RuleOrder(command), now_ms=2_000)
    assert await store.rules_of("live") == (1_000, [receipt.rule])
    await store.change_rules(delete(receipt.rule.id), now_ms=2_000)
    assert await store.rules_of("live") == (2_000, [])


async def test_a_rule_is_deleted_with_its_hits_and_the_audit_row_has_it(store: Store) -> None:
    rule_id = await made(store, slug=EVERYWHERE)
    await store.write_hits(HitBatch({rule_id: HitCount(1, 1)}, [hit(rule_id)]))
    receipt = await store.change_rules(delete(rule_id, EVERYWHERE), now_ms=2_000)
    assert (receipt.rule, receipt.rules) == (None, RulesState("", 2_000, judges=False, acts=False))
    assert await store.rules_of(EVERYWHERE) == (2_000, [])
    assert await store.slug_of_rule(rule_id) is None
    assert await RuleHitRow.all().count() == 0
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.scope, audit.slug, audit.reason) == (25, 2, "", "enough")
    assert audit.details == {
        "rule_id": rule_id,
        "rule_name": "words",
        "version": 2_000,
        "before": values_of(WORDS),
        "after": None,
    }
    assert await made(store, slug=EVERYWHERE) > rule_id


async def test_a_rule_of_another_slug_is_not_found_there(store: Store) -> None:
    rule_id = await made(store)
    assert await store.slug_of_rule(rule_id) == "live"
    for order in (save(rule_id=rule_id, slug="other"), delete(rule_id, "other"), delete(0), save(rule_id=rule_id + 1)):
        with pytest.raises(RuleNotFound):
            await store.change_rules(order, now_ms=2_000)
    assert (await store.rules_of("live"))[0] == 1_000


async def test_a_slug_has_at_most_20_rules_and_each_slug_its_own(store: Store) -> None:
    ids = [await made(store) for _ in range(20)]
    with pytest.raises(RuleRefused, match="at most 20 rules"):
        await store.change_rules(save(), now_ms=2_000)
    await store.change_rules(save(LINKS, rule_id=ids[0]), now_ms=2_000)
    await made(store, slug=EVERYWHERE)
    assert len((await store.rules_of("live"))[1]) == 20


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_the_rule(store: Store) -> None:
    first = await store.change_rules(save(nonce="n1"), now_ms=1_000)
    again = await store.change_rules(save(LINKS, nonce="n1"), now_ms=2_000)
    assert again == Receipt(first.action_id, repeated=True, rule=first.rule)
    assert await store.earlier(save(nonce="n1"), now_ms=2_000) == again
    assert first.rule is not None
    gone = await store.change_rules(delete(first.rule.id, nonce="n2"), now_ms=3_000)
    assert await store.earlier(save(nonce="n1"), now_ms=3_000) == Receipt(first.action_id, repeated=True)
    assert await store.earlier(delete(1, nonce="n2"), now_ms=3_000) == Receipt(gone.action_id, repeated=True)


async def test_versions_rise_over_all_slugs_so_that_who_reads_on_misses_none(store: Store) -> None:
    receipts = await asyncio.gather(*(store.change_rules(save(slug=f"s{n % 5}"), now_ms=1_000) for n in range(15)))
    made = [receipt.rules for receipt in receipts if receipt.rules]
    assert sorted(state.version for state in made) == list(range(1_000, 1_015))
    read: list[RulesState] = []
    while part := await store.rules_after(read[-1].version if read else 0, first=2):
        read += part
    newest = {state.slug: state for state in sorted(made, key=lambda state: state.version)}
    assert read == sorted(newest.values(), key=lambda state: state.version)


async def test_rules_of_a_later_version_are_left_out_and_counted_as_rules_that_act(store: Store) -> None:
    rule_id, later = await made(store, replace(WORDS, mode=RuleMode.OFF)), await made(store)
    await RuleRow.filter(id=later).update(rule=values_of(WORDS) | {"kind": 99})
    assert [kept.id for kept in (await store.rules_of("live"))[1]] == [rule_id]
    assert await store.slug_of_rule(later) == "live"
    receipt = await store.change_rules(save(replace(WORDS, mode=RuleMode.OFF), rule_id=rule_id), now_ms=2_000)
    assert receipt.rules == RulesState("live", 2_000, judges=True, acts=True)


async def test_hits_are_counted_and_the_last_1000_of_a_rule_are_kept(store: Store) -> None:
    rule_id, other = await made(store), await made(store)
    for start in range(0, SAMPLE + 100, 100):
        sample = [hit(rule_id, number, acted=True) for number in range(start, start + 100)]
        await store.write_hits(HitBatch({rule_id: HitCount(150, 100)}, sample))
    await store.write_hits(HitBatch({other: HitCount(1, 0), 10**9: HitCount(7, 7)}, [hit(other), hit(10**9)]))
    _, found = await store.rules_of("live")
    assert [(kept.hits, kept.acted) for kept in found] == [(1_650, 1_100), (1, 0)]
    first = await store.hits_of(rule_id, first=3, before_id=None)
    assert [kept.hit.at_ms for kept in first] == [1_099, 1_098, 1_097]
    assert first[0].hit == replace_text(hit(rule_id, 1_099, acted=True))
    second = await store.hits_of(rule_id, first=2_000, before_id=first[-1].id)
    assert [kept.hit.at_ms for kept in second] == list(range(1_096, 99, -1))
    assert len(await store.hits_of(other, first=9, before_id=None)) == 1
    assert await RuleHitRow.filter(rule_id=10**9).count() == 0
    await RuleHitRow.filter(rule_id=other).update(action=99)
    assert await store.hits_of(other, first=9, before_id=None) == []
    await store.change_rules(save(rule_id=rule_id), now_ms=2_000)
    assert (await store.rules_of("live"))[1][0].hits == 1_650


async def test_replicas_write_hits_of_the_same_rules_beside_each_other(store: Store) -> None:
    ids = [await made(store) for _ in range(4)]
    counts = {rule_id: HitCount(1, 1) for rule_id in ids}
    backwards = dict(reversed(counts.items()))
    batches = [HitBatch(counts if n % 2 else backwards, [hit(rule_id) for rule_id in ids]) for n in range(10)]
    await asyncio.gather(*map(store.write_hits, batches))
    _, kept_rules = await store.rules_of("live")
    assert {kept.hits for kept in kept_rules} == {10}


async def test_what_rules_hit_is_deleted_as_evidence_is(store: Store) -> None:
    rule_id = await made(store)
    await store.write_hits(HitBatch({rule_id: HitCount(2, 0)}, [hit(rule_id, 1), hit(rule_id, 5)]))
    await store.erase_evidence(5, now_ms=9)
    assert [kept.hit.at_ms for kept in await store.hits_of(rule_id, first=9, before_id=None)] == [5]


async def test_a_mute_by_rule_is_an_audit_row_with_the_rule_and_the_message_as_evidence(store: Store) -> None:
    mute = RuleMute(Target(5, ""), "live", 5, 7, "words", "bl\0arg", 1_000)
    command = Command(RULE_AUTHOR, Action.MUTE, mute.target, None, Scope.ROOM, "live", 5, "Rule: words")
    order = SanctionOrder(command, by_rule=mute)
    receipt = await store.change(order, frozenset(), lambda _: Change((), imposes=True), now_ms=1_000)
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.moderator_user_id, audit.moderator_rank) == (2, 0, 3)
    assert (audit.details, audit.reason) == ({"rule_id": 7, "rule_name": "words"}, "Rule: words")
    assert audit.message_text == "bl\N{REPLACEMENT CHARACTER}arg"
    await store.erase_evidence(2_000, now_ms=3_000)
    assert (await AuditRow.get(id=receipt.action_id)).message_text == ""
    assert await store.verify_part("live", 0, first=9) == Verification(1, audit.id, audit.digest or "")


async def test_what_changes_rules_is_in_the_chain_of_its_slug_is_listed_by_action_and_cannot_be_undone(
    store: Store,
) -> None:
    rule_id = await made(store)
    saved = await store.change_rules(save(replace(WORDS, name="worse"), rule_id=rule_id), now_ms=2_000)
    deleted = await store.change_rules(delete(rule_id), now_ms=3_000)
    elsewhere = await store.change_rules(save(slug=EVERYWHERE), now_ms=4_000)
    last = await AuditRow.get(id=deleted.action_id)
    assert await store.verify_part("live", 0, first=9) == Verification(3, last.id, last.digest or "")
    assert (await store.verify_part("", 0, first=9)).last_id == elsewhere.action_id
    listed = await store.audit_log(AuditQuery("live", actions=(24,)), first=9, before_id=None)
    assert [(row.id, (row.details or {})["rule_name"]) for row, _ in listed] == [
        (saved.action_id, "worse"),
        (saved.action_id - 1, "words"),
    ]
    for action_id in (saved.action_id, deleted.action_id, elsewhere.action_id):
        with pytest.raises(CannotUndo):
            await undo(store, action_id)
    found, left, _ = await store.undoable(9, 0, None, first=9)
    assert ([record.id for record in found], left) == ([elsewhere.action_id, *range(deleted.action_id, 0, -1)], 0)


async def test_a_mute_by_rule_is_undone_as_any_other(store: Store) -> None:
    mute = RuleMute(Target(5, ""), "live", 5, 7, "words", "blarg", 1_000)
    command = Command(RULE_AUTHOR, Action.MUTE, mute.target, None, Scope.ROOM, "live", 5, "Rule: words")
    order = SanctionOrder(command, by_rule=mute)
    muted = await store.change(order, frozenset(), lambda _: Change((), imposes=True), now_ms=1_000)
    receipt = await undo(store, muted.action_id)
    assert receipt.event is not None
    assert (receipt.event.action, receipt.event.target, receipt.undone) == (
        Action.UNMUTE,
        Target(5, ""),
        Undone(muted.action_id),
    )
    assert await store.in_force(SanctionQuery(["live"]), now_ms=2_000) == []


async def undo(store: Store, action_id: int) -> Receipt:
    command = UndoCommand(BOSS, "", action_id, "a mistake")
    return await store.undo(UndoOrder(command), partial(decide_undo, command, now_ms=5_000), now_ms=5_000)


def replace_text(found: RuleHit) -> RuleHit:
    """PostgreSQL cannot hold the character 0."""
    return found._replace(text=found.text.replace("\0", "\N{REPLACEMENT CHARACTER}"))


async def test_rules_may_be_in_so_many_rooms_and_slugs_without_any_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_SLUGS", 3)
    a, b = await made(store, slug="a"), await made(store, slug="b")
    await made(store, slug="c")
    with pytest.raises(RuleRefused, match="There are rules in 3 rooms already"):
        await made(store, slug="d")
    await made(store, slug="c")
    await store.change_rules(delete(a, "a"), now_ms=5_000)
    await store.change_rules(delete(b, "b"), now_ms=6_000)
    await store.forget_rules(5_000)
    assert [state.slug for state in await store.rules_after(0, first=9)] == ["c", "a", "b"]
    await store.forget_rules(9_000)
    assert [state.slug for state in await store.rules_after(0, first=9)] == ["c", "b"]  # the newest of all stays
    await made(store, slug="d")


async def test_the_rooms_of_the_last_sightings_are_told_each_once_the_last_one_first(store: Store) -> None:
    who = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
    other = who._replace(address="10.0.0.6")
    await store.write_last_seen(
        {
            LastSeen.of(who, "a"): 3_000,
            LastSeen.of(who, "b"): 2_000,
            LastSeen.of(other, "b"): 4_000,
            LastSeen.of(who, "c"): 1,
        }
    )
    assert await store.slugs_seen(1_000, first=9) == ["b", "a"]
    assert await store.slugs_seen(1_000, first=1) == ["b"]


async def test_a_rule_is_found_by_its_id(store: Store) -> None:
    rule_id, later = await made(store), await made(store)
    await RuleRow.filter(id=later).update(rule=values_of(WORDS) | {"kind": 99})
    found = [await store.find_rule(each) for each in (rule_id, later, 10**9)]
    assert [None if kept is None else kept.rule for kept in found] == [WORDS, None, None]

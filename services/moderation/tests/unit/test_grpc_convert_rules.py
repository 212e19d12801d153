"""api/grpc/convert.py: rules, what they hit, and what they refuse, as they travel."""

from typing import Any

import pytest

from moderation.api.grpc.convert import (
    audit_query_from_proto,
    audit_to_proto,
    hit_to_proto,
    kept_rule_to_proto,
    limits_to_proto,
    order_from_proto,
    receipt_to_proto,
    slug_from_proto,
    tried_text,
    tried_to_proto,
    verdict_to_proto,
    verdicts_to_proto,
)
from moderation.domain.admission import Limits
from moderation.domain.audit import AuditRecord
from moderation.domain.classifiers import Secrets
from moderation.domain.commands import Receipt
from moderation.domain.erasures import Origin
from moderation.domain.kept_rules import DeleteRule, KeptRule, RuleOrder, SaveRule
from moderation.domain.people import Moderator, Rank
from moderation.domain.rule_book import Match
from moderation.domain.rule_hits import KeptHit, RuleHit
from moderation.domain.rules import Hit, OnFailure, Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.verdicts import ADMITTED, UNJUDGED, Decision, Verdict
from moderation.errors import MalformedRequest, RuleRefused
from salon.moderation.v1 import moderation_pb2 as pb, rules_pb2

ACTOR = pb.Speaker(user_id=9, rank=pb.RANK_ADMIN)
BOSS = Moderator(9, Rank.ADMIN)
RULE = Rule("words", RuleKind.TERMS, RuleAction.MUTE, RuleMode.DRY_RUN, ("a", "b*"), (), 0, 5, Rank.USER, "No")
SENT = rules_pb2.Rule(
    name="words",
    kind=rules_pb2.RULE_KIND_TERMS,
    patterns=["a", "b*"],
    action=rules_pb2.RULE_ACTION_MUTE,
    mute_minutes=5,
    mode=rules_pb2.RULE_MODE_DRY_RUN,
    exempt_from=rules_pb2.RULE_EXEMPTION_USER,
    told="No",
)
KEPT = KeptRule(7, "live", 3, RULE, changed_by=9, changed_at_ms=1_000, hits=5, acted=4)


def save(slug: str = "live", **rule: object) -> pb.ExecuteRequest:
    sent = rules_pb2.Rule(**{"name": "caps", "kind": 4, "action": 1, "threshold": 70, **rule})  # type: ignore[arg-type]
    return pb.ExecuteRequest(actor=ACTOR, slug=slug, save_rule=pb.SaveRule(rule=sent))


def test_saving_and_deleting_a_rule_are_read() -> None:
    request = pb.ExecuteRequest(
        actor=ACTOR, slug="live", nonce="n", reason="raid", save_rule=pb.SaveRule(rule_id=7, rule=SENT)
    )
    assert order_from_proto(request) == RuleOrder(SaveRule(BOSS, "live", RULE, 7, "raid"), None, Origin("", 0, "n"))
    request = pb.ExecuteRequest(actor=ACTOR, reason="raid", delete_rule=pb.DeleteRule(rule_id=7))
    assert order_from_proto(request) == RuleOrder(DeleteRule(BOSS, "", 7, "raid"))


def test_what_is_not_said_of_a_rule_has_its_default_and_texts_are_storable() -> None:
    order = order_from_proto(save(slug="", allow=["a\0"], patterns=["b\0"], told="c\0", name="d\0"))
    gone = "\N{REPLACEMENT CHARACTER}"
    rule = Rule(
        f"d{gone}", RuleKind.CAPS, RuleAction.FLAG, RuleMode.ON, (f"b{gone}",), (f"a{gone}",), 70, told=f"c{gone}"
    )
    assert order == RuleOrder(SaveRule(BOSS, "", rule))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"kind": 9}, "9 is not offered"),
        ({"on_failure": 9}, "9 is not offered"),
        ({"kind": 0}, "UNSPECIFIED is not offered"),
        ({"kind": 99}, "99 is not offered"),
        ({"action": 0}, "UNSPECIFIED is not offered"),
        ({"mode": 9}, "9 is not offered"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(values: dict[str, Any], text: str) -> None:
    with pytest.raises(RuleRefused, match=text):
        order_from_proto(save(**values))


def test_what_breaks_the_contract_is_malformed() -> None:
    for request in (save(exempt_from=99), save("s" * 129)):
        with pytest.raises(MalformedRequest):
            order_from_proto(request)
    with pytest.raises(MalformedRequest):
        slug_from_proto("s" * 129)
    with pytest.raises(MalformedRequest):
        tried_text(pb.TestTextRequest(text="x" * 1_001))
    assert tried_text(pb.TestTextRequest(text="x" * 1_000)) == "x" * 1_000


def test_a_rule_and_what_it_hit_have_every_field_of_the_contract() -> None:
    told = rules_pb2.KeptRule(
        id=7, slug="live", version=3, rule=SENT, changed_by=9, changed_at_ms=1_000, hits=5, acted=4
    )
    assert kept_rule_to_proto(KEPT) == told
    receipt = Receipt(11, rule=KEPT, repeated=True)
    done, order = pb.ExecuteResponse.OUTCOME_DONE, RuleOrder(DeleteRule(Moderator(9, Rank.ADMIN), "live", 7))
    assert receipt_to_proto(receipt, order) == pb.ExecuteResponse(outcome=done, action_id=11, repeated=True, rule=told)
    hit = RuleHit(7, "live", 1_000, 5, "ana", "b4d", "b*", RuleAction.FLAG, acted=True)
    assert hit_to_proto(KeptHit(3, hit)) == rules_pb2.RuleHit(
        id=3,
        rule_id=7,
        slug="live",
        at_ms=1_000,
        user_id=5,
        username="ana",
        text="b4d",
        pattern="b*",
        action=rules_pb2.RULE_ACTION_FLAG,
        acted=True,
    )


def test_a_rule_that_asks_a_classifier_is_read_with_its_secret_and_told_without() -> None:
    sent = rules_pb2.Rule(name="asks", kind=8, action=2, url="https://c.example.com/", on_failure=2)  # type: ignore[arg-type]
    request = pb.ExecuteRequest(actor=ACTOR, slug="live", save_rule=pb.SaveRule(rule=sent, secret="whsec_a"))
    rule = Rule("asks", RuleKind.CLASSIFIER, RuleAction.HOLD, url="https://c.example.com/", on_failure=OnFailure.HOLD)
    assert order_from_proto(request) == RuleOrder(SaveRule(BOSS, "live", rule, secret="whsec_a"))
    told = kept_rule_to_proto(KeptRule(7, "live", 3, rule, secrets=Secrets("whsec_a")))
    assert (told.rule.url, told.rule.on_failure) == ("https://c.example.com/", rules_pb2.RULE_ON_FAILURE_HOLD)
    assert "whsec_" not in str(told)


def test_a_verdict_that_is_told_later_is_missing_in_the_answer_and_comes_by_itself() -> None:
    request = pb.AdmitRequest(messages=[pb.MessageCheck(id=1), pb.MessageCheck(id=2)])
    admitted = pb.Verdict(id=2, decision=pb.Verdict.DECISION_ADMITTED)
    assert list(verdicts_to_proto([None, ADMITTED], request).verdicts) == [admitted]
    assert list(verdict_to_proto(2, ADMITTED).verdicts) == [admitted]


def test_what_a_tried_text_is_against() -> None:
    match = Match(KEPT, Hit(RULE, "b*"))
    told = pb.TestTextResponse(decisive_rule_id=7)
    told.hits.add(rule_id=7, rule_name="words", pattern="b*", action=4, mode=2)
    assert tried_to_proto([match], match) == told
    assert tried_to_proto([], None) == pb.TestTextResponse()


def test_a_refusal_by_rule_comes_beside_a_decision_that_edges_of_before_refuse_by() -> None:
    request = pb.AdmitRequest(messages=[pb.MessageCheck(id=1), pb.MessageCheck(id=2), pb.MessageCheck(id=3)])
    verdicts = [Verdict(Decision.BLOCKED), Verdict(Decision.BLOCKED, told="No"), UNJUDGED]
    sanctioned, blocked = pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_BLOCKED
    assert list(verdicts_to_proto(verdicts, request).verdicts) == [
        pb.Verdict(id=1, decision=sanctioned, refusal=blocked),
        pb.Verdict(id=2, decision=sanctioned, refusal=blocked, told="No"),
        pb.Verdict(id=3, refusal=pb.Verdict.REFUSAL_UNJUDGED),  # which edges of before take for none
    ]


def test_edges_are_told_whether_to_refuse_what_no_rule_has_seen() -> None:
    told = pb.Limits(messages_per_window=10, window_ms=10_000, messages_per_address=100)
    assert limits_to_proto(Limits(10, 10, 100), refuse_unjudged=False) == told
    told.refuse_unjudged = True
    assert limits_to_proto(Limits(10, 10, 100), refuse_unjudged=True) == told


@pytest.mark.parametrize(
    ("action", "details", "word", "rule", "changes"),
    [
        (24, {"rule_id": 7, "rule_name": "words", "version": 2, "before": None, "after": {}}, "save_rule", "words", 0),
        (
            25,
            {"rule_id": 7, "rule_name": "words", "version": 3, "before": {}, "after": None},
            "delete_rule",
            "words",
            0,
        ),
        (2, {"rule_id": 7, "rule_name": "words"}, "mute", "words", 0),
        (21, {"version": 2, "before": None, "after": 5}, "pin", "", 0),
        (22, {"version": 3, "before": 5, "after": None}, "unpin", "", 0),
        (20, None, "warn", "", 0),
        (11, {"version": 2, "before": {"unique": False}, "after": {"unique": True}}, "policy", "", 1),
        (27, {"version": 2, "before": {"shield": None}, "after": {"shield": {"until_ms": 1}}}, "shield", "", 1),
    ],
)
def test_rows_of_the_audit_log_have_a_word_for_what_was_done_and_the_name_of_the_rule(
    action: int, details: dict[str, Any] | None, word: str, rule: str, changes: int
) -> None:
    record = AuditRecord(7, action, 0, "", 9, Rank.ADMIN, 0, 1, "live", "", 1_000, details=details)
    entry = audit_to_proto(record, None)
    assert (entry.action, entry.rule, len(entry.policy_changes)) == (word, rule, changes)
    query = audit_query_from_proto(pb.ListAuditRequest(action=word))
    assert query.actions == (action,)

"""The chain of the audit log: its bytes, what is found where a row is not as it was written, and who may read it."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest

from moderation.domain.audit import (
    AuditRecord,
    Problem,
    canonical_bytes,
    chain_of,
    digest_of,
    evidence_digest,
    evidence_of,
    may_read,
    may_read_addresses,
    may_read_everywhere,
    may_verify,
    problem_with,
)
from moderation.domain.people import Rank
from moderation.domain.sanctions import Scope

SALT = "000102030405060708090a0b0c0d0e0f"
DELETION = AuditRecord(
    id=812,
    action=5,
    target_user_id=0,
    target_username="Anonymous_10.0.0.1",
    actor_user_id=9,
    actor_rank=4,
    duration_minutes=0,
    scope=1,
    slug="live-é",
    reason="spam",
    at_ms=1764261008000,
    nonce="n1",
    message_id=515,
    message_text="bad words",
    chain="live-é",
    previous_digest="",
    evidence_salt=SALT,
    evidence_digest="2d1617659f0db50d34c282559548502ee5c72b9e1d8039ad44f7dc2b43a4ce05",
    digest="39b7addeeaf371ca7b12b0f46c911d56a44b1b1d60c0f44966e91c24be764606",
)
POLICY = AuditRecord(
    id=813,
    action=11,
    target_user_id=0,
    target_username="",
    actor_user_id=9,
    actor_rank=4,
    duration_minutes=0,
    scope=1,
    slug="live-é",
    reason="",
    at_ms=1764261009000,
    details={"version": 7, "before": {"read_only": "nobody"}, "after": {"read_only": "everyone"}},
    chain="live-é",
    previous_digest=DELETION.digest,
    digest="bba5206036d1b4033a25eb553d89a4016d24e74a09da11631afb175ea7882bf7",
)
FOLLOW = replace(
    POLICY, action=1, target_user_id=5, details=None, imposed_id=3, followed_address="10.0.0.7", evidence_salt=SALT
)
ERASED = replace(
    DELETION,
    target_username="Anonymous",
    message_text="",
    evidence_salt=None,
    evidence_erased_at_ms=DELETION.at_ms + 30 * 86_400_000,
)
BYTES = (
    b'{"action":5,"actor_rank":4,"actor_user_id":9,"at_ms":1764261008000,"chain":"live-\\u00e9","details":null,'
    b'"duration_minutes":0,"evidence":["message_text","target_username"],"evidence_digest":'
    b'"2d1617659f0db50d34c282559548502ee5c72b9e1d8039ad44f7dc2b43a4ce05","id":812,"imposed_id":null,"lifted_ids":[],'
    b'"message_id":515,"nonce":"n1","previous":"","purged":null,"reason":"spam","scope":1,"slug":"live-\\u00e9",'
    b'"target_user_id":0,"target_username":null,"undoes_id":null,"v":1}'
)
OTHERS: dict[str, Any] = {
    "followed_address": "10.0.0.2",
    "evidence_erased_at_ms": 1764261008001,
    "purged": True,
    "details": {"completes": 1},
    "lifted_ids": (1,),
    "chain": "other",
    "previous_digest": "0" * 64,
    "digest": "0" * 64,
    "evidence_salt": "ff" * 16,
    "evidence_digest": "0" * 64,
}
"""What a column is changed into, where that is not one more, or another letter."""


def test_the_canonical_bytes_of_a_row_are_json_in_ascii_with_its_keys_in_order() -> None:
    assert canonical_bytes(DELETION) == BYTES
    assert digest_of(DELETION) == hashlib.sha256(BYTES).hexdigest() == DELETION.digest
    assert digest_of(POLICY) == POLICY.digest
    assert (
        b'"details":{"after":{"read_only":"everyone"},"before":{"read_only":"nobody"},"version":7}'
        in canonical_bytes(POLICY)
    )


def test_the_digest_of_evidence_is_that_of_a_salt_and_the_evidence() -> None:
    said = b'{"message_text":"bad words","target_username":"Anonymous_10.0.0.1","v":1}'
    assert evidence_digest(SALT, evidence_of(DELETION)) == hashlib.sha256(bytes.fromhex(SALT) + said).hexdigest()
    assert evidence_digest("ff" * 16, evidence_of(DELETION)) != DELETION.evidence_digest
    assert b"bad words" not in canonical_bytes(DELETION)
    assert b"10.0.0.1" not in canonical_bytes(DELETION)
    assert evidence_of(POLICY) == {}
    assert evidence_of(FOLLOW) == {"followed_address": "10.0.0.7"}


def test_a_row_as_it_was_written_behind_the_one_before_it_is_right() -> None:
    assert problem_with(DELETION, "") is None
    assert problem_with(POLICY, DELETION.digest) is None


def test_the_oldest_row_that_is_kept_is_right_whatever_was_before_it() -> None:
    assert problem_with(POLICY, None) is None


@pytest.mark.parametrize("field", [field.name for field in fields(AuditRecord)])
def test_a_change_of_any_column_is_found(field: str) -> None:
    value = getattr(DELETION, field)
    changed = OTHERS.get(field, f"{value}x" if isinstance(value, str) else (value or 0) + 1)
    assert problem_with(replace(DELETION, **{field: changed}), "") is not None


def test_a_row_that_was_left_out_or_put_in_is_found_at_the_next_one() -> None:
    assert problem_with(POLICY, "") is Problem.LINK
    assert problem_with(POLICY, "0" * 64) is Problem.LINK
    assert problem_with(replace(POLICY, previous_digest=""), "") is Problem.ROW


def test_a_row_whose_evidence_was_erased_is_right_and_its_digest_is_what_it_was() -> None:
    assert digest_of(ERASED) == DELETION.digest
    assert problem_with(ERASED, "") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"message_text": "other words"},
        {"target_username": "Anonymous_10.0.0.9"},
        {"evidence_salt": SALT},
        {"evidence_erased_at_ms": DELETION.at_ms - 1},
        {"evidence_erased_at_ms": None},
    ],
)
def test_what_is_put_where_evidence_was_erased_is_found(changes: dict[str, Any]) -> None:
    assert problem_with(replace(ERASED, **changes), "") is Problem.EVIDENCE


@pytest.mark.parametrize("salt", [None, "", "no hexadecimal", "00"])
def test_evidence_without_its_salt_is_found(salt: str | None) -> None:
    assert problem_with(replace(DELETION, evidence_salt=salt), "") is Problem.EVIDENCE


def test_a_salt_where_there_is_no_evidence_is_found() -> None:
    assert problem_with(replace(POLICY, evidence_salt=SALT), DELETION.digest) is Problem.EVIDENCE


def test_what_holds_everywhere_has_a_chain_of_its_own() -> None:
    assert chain_of(Scope.ROOM, "live") == "live"
    assert chain_of(Scope.EVERYWHERE, "live") == ""


@pytest.mark.parametrize(
    ("rank", "of_a_slug", "of_all", "addresses"),
    [
        (Rank.USER, False, False, False),
        (Rank.MODERATOR, True, False, False),
        (Rank.ADMIN, True, True, True),
        (Rank.SUPERUSER, True, True, True),
    ],
)
def test_moderators_read_the_log_of_a_slug_and_admins_all_of_it(
    rank: Rank, of_a_slug: bool, of_all: bool, addresses: bool
) -> None:
    assert (may_read(rank, "live"), may_read(rank, None)) == (of_a_slug, of_all)
    assert (may_read_addresses(rank), may_verify(rank)) == (addresses, addresses)


@pytest.mark.parametrize(("token_rank", "may"), [(0, False), (1, False), (2, False), (3, True), (4, True), (5, True)])
def test_what_holds_everywhere_is_shown_to_moderators_by_their_token(token_rank: int, may: bool) -> None:
    assert may_read_everywhere(token_rank) is may
    assert not may_read_everywhere(99)

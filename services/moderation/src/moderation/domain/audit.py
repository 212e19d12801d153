"""The audit log: rows of what was done, of which those of a slug form a chain, so that what is changed, put in or left
out afterwards is found.

The digest of a row is the SHA-256 of its canonical bytes, which hold everything that the row keeps and the digest of
the row before it in its chain. What is to be erased one day (addresses, names of anonymous people, texts of messages)
stands there as a digest of its own, with a salt: that is erased together with it, and the digest alone tells nobody
what it was, however few texts or addresses there are to try."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from moderation.domain.people import Rank
from moderation.domain.sanctions import Scope

VERSION = 1
"""Of the canonical bytes."""
SALT_BYTES = 16
EVERYWHERE = ""
"""The chain of what holds everywhere."""
ERASED_NAME = "Anonymous"
"""Instead of the name of an anonymous person, which tells the address, or stands for it."""
ROWS_OF_A_CALL = 2_000
"""What one question after a chain checks at most."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One row. Numbers stand for enumerations: a later version may have stored some that this one does not know."""

    id: int
    action: int
    target_user_id: int
    target_username: str
    actor_user_id: int
    actor_rank: int
    duration_minutes: int
    scope: int
    slug: str
    reason: str
    at_ms: int
    imposed_id: int | None = None
    lifted_ids: tuple[int, ...] = ()
    followed_address: str | None = None
    evidence_erased_at_ms: int | None = None
    nonce: str | None = None
    message_id: int | None = None
    message_text: str | None = None
    purged: bool | None = None
    details: Mapping[str, Any] | None = None
    undoes_id: int | None = None
    chain: str | None = None
    """None: it is from before there were chains."""
    previous_digest: str | None = None
    """Of the row before it in the chain; empty: it is the first."""
    digest: str | None = None
    evidence_salt: str | None = None
    """Hexadecimal; None: erased, or there is nothing to erase."""
    evidence_digest: str | None = None


class AuditQuery(NamedTuple):
    """Which rows somebody wants to read; None: whatever it is."""

    slug: str | None = None
    """Without what holds everywhere. None: of every slug and everywhere."""
    actor_user_id: int | None = None
    target_user_id: int | None = None
    target_username: str | None = None
    actions: tuple[int, ...] | None = None
    follows: bool | None = None
    """True: what the service itself wrote alone; False: without that."""
    since_ms: int = 0


class Problem(Enum):
    """What is wrong with a row."""

    ROW = "row"
    """It is not as it was written."""
    LINK = "link"
    """The row before it is not the one that it was written behind."""
    EVIDENCE = "evidence"
    """What is to be erased one day is not as it was written."""


class Verification(NamedTuple):
    """What a check of a part of a chain came to. It ends at the first broken row."""

    checked: int
    last_id: int = 0
    """The last row that is right; 0: none."""
    last_digest: str = ""
    broken_id: int | None = None
    problem: Problem | None = None
    more: bool = False
    """There may be more behind it."""
    unchained: int = 0
    """Rows of the slug between those that were checked, or behind the last of all, that are in no chain."""


def chain_of(scope: int, slug: str) -> str:
    """The chain that a row belongs to, by where it was done."""
    return EVERYWHERE if scope == Scope.EVERYWHERE else slug


def may_read(rank: Rank, slug: str | None) -> bool:
    """Whether somebody of that rank may read the rows of that slug; None: of every slug and everywhere."""
    return rank >= (Rank.ADMIN if slug is None else Rank.MODERATOR)


def may_read_everywhere(token_rank: int) -> bool:
    """Whether somebody whose token says this is shown sanctions that hold everywhere in what they read of a room: what
    the room makes of them counts there alone, and anybody may have a room."""
    return token_rank >= Rank.MODERATOR


def may_read_addresses(rank: Rank) -> bool:
    """Whether the addresses in them as well."""
    return rank >= Rank.ADMIN


def may_verify(rank: Rank) -> bool:
    """Whether somebody of that rank may have chains checked."""
    return rank >= Rank.ADMIN


def evidence_of(record: AuditRecord) -> dict[str, str]:
    """What is to be erased of a row, by the column; where it was erased, what stands there instead."""
    found: dict[str, str] = {}
    if record.followed_address is not None:
        found["followed_address"] = record.followed_address
    if record.message_text is not None:
        found["message_text"] = record.message_text
    if record.target_user_id == 0 and record.target_username:
        found["target_username"] = record.target_username
    return found


def evidence_digest(salt: str, evidence: Mapping[str, str]) -> str:
    """SHA-256 of the salt's bytes and those of the evidence as JSON, hexadecimal."""
    return hashlib.sha256(bytes.fromhex(salt) + _json({"v": VERSION, **evidence})).hexdigest()


def canonical_bytes(record: AuditRecord) -> bytes:
    """What the digest of a row that is in a chain is made of: JSON in ASCII, keys in order, without spaces. What a
    later version adds to rows has to stand here only where there is something: the bytes of rows of before stay what
    they were."""
    evidence = evidence_of(record)
    return _json(
        {
            "v": VERSION,
            "chain": record.chain,
            "previous": record.previous_digest,
            "id": record.id,
            "at_ms": record.at_ms,
            "actor_user_id": record.actor_user_id,
            "actor_rank": record.actor_rank,
            "action": record.action,
            "target_user_id": record.target_user_id,
            "target_username": None if "target_username" in evidence else record.target_username,
            "scope": record.scope,
            "slug": record.slug,
            "reason": record.reason,
            "duration_minutes": record.duration_minutes,
            "imposed_id": record.imposed_id,
            "lifted_ids": list(record.lifted_ids),
            "nonce": record.nonce,
            "message_id": record.message_id,
            "purged": record.purged,
            "details": record.details,
            "undoes_id": record.undoes_id,
            "evidence": sorted(evidence),
            "evidence_digest": record.evidence_digest,
        }
    )


def digest_of(record: AuditRecord) -> str:
    """The digest of a row, hexadecimal."""
    return hashlib.sha256(canonical_bytes(record)).hexdigest()


def problem_with(record: AuditRecord, previous_digest: str | None) -> Problem | None:
    """What is wrong with a row; None: nothing. `previous_digest`: of the row before it in the chain, None: that is not
    kept any more, if there ever was one."""
    if record.digest != digest_of(record):
        return Problem.ROW
    if previous_digest is not None and record.previous_digest != previous_digest:
        return Problem.LINK
    return None if _evidence_is_right(record) else Problem.EVIDENCE


def _evidence_is_right(record: AuditRecord) -> bool:
    evidence, salt = evidence_of(record), record.evidence_salt
    if record.evidence_erased_at_ms is not None:
        is_erased = evidence.pop("target_username", ERASED_NAME) == ERASED_NAME and not any(evidence.values())
        return is_erased and salt is None and record.evidence_erased_at_ms >= record.at_ms
    if not evidence:
        return salt is None and record.evidence_digest is None
    return salt is not None and _is_salt(salt) and record.evidence_digest == evidence_digest(salt, evidence)


def _is_salt(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) == SALT_BYTES
    except ValueError:
        return False


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")

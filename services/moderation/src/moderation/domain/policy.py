"""The policy of a room: what its messages are held to besides sanctions and rate limits, and how it is changed."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple, TypedDict

from moderation.domain.emotes import is_emotes_only
from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.links import has_link
from moderation.domain.people import Claims, Moderator, Rank
from moderation.domain.verdicts import Decision

LONGEST_SLOW_MODE_S = 600
LONGEST_WAIT_MINUTES = 129_600
LONGEST_MESSAGE = 1000
_MS_PER_MINUTE = 60_000
EXEMPT_RANK = Rank.MODERATOR
"""Those of this rank and above may write whatever the policy says."""


class PolicyAction(IntEnum):
    """What a command does to the policy. The numbers go on behind those of ErasureKind: audit rows hold either."""

    CHANGE = 11


class ReadOnly(IntEnum):
    """Who may not write."""

    NOBODY = 1
    ANONYMOUS = 2
    EVERYONE = 3


class Links(IntEnum):
    """What becomes of a message with a link in it."""

    ALLOW = 1
    HOLD = 2
    """Nothing holds a message yet: it is refused, and no command asks for it."""
    REFUSE = 3


class PolicyChanges(TypedDict, total=False):
    """The fields of a policy that a command changes, each with a value that Policy allows."""

    slow_mode_seconds: int
    read_only: ReadOnly
    members_only: bool
    min_account_minutes: int
    min_follow_minutes: int
    emote_only: bool
    max_length: int
    unique: bool
    links: Links


@dataclass(frozen=True, slots=True)
class Policy:
    """What a room asks of its messages. As it is made without arguments it asks for nothing."""

    slow_mode_seconds: int = 0
    """So far apart are the messages of one person in the room; up to LONGEST_SLOW_MODE_S, 0: no slow mode."""
    read_only: ReadOnly = ReadOnly.NOBODY
    members_only: bool = False
    """By the claim `member`."""
    min_account_minutes: int = 0
    """By the claim `account_created_at`; up to LONGEST_WAIT_MINUTES, 0: no such limit."""
    min_follow_minutes: int = 0
    """The same by the claim `following_since`."""
    emote_only: bool = False
    """Nothing but emoji and `:names:`."""
    max_length: int = LONGEST_MESSAGE
    """In Unicode characters, from 1."""
    unique: bool = False
    """Nobody says what was said lately, see SpokenTexts."""
    links: Links = Links.ALLOW

    def changed(self, changes: PolicyChanges) -> "Policy":
        """This policy with some fields changed."""
        return replace(self, **changes)


NO_POLICY = Policy()


class RoomPolicy(NamedTuple):
    """The policy that is kept for a slug."""

    slug: str
    version: int
    """Rises with each change of any slug's policy, and with time; 0: it was never changed. The highest of a slug
    holds."""
    policy: Policy


@dataclass(frozen=True, slots=True)
class PolicyCommand:
    """What somebody asks to change."""

    moderator: Moderator
    slug: str
    changes: PolicyChanges
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyOrder:
    """A command that changes the policy of a room, as it was sent."""

    command: PolicyCommand
    log: LogRef | None = None
    """The log of the room in which it was given; None: there is no life of it at present, and nobody to be told."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """The policy as it is after a command, to be told in a log."""

    log: LogRef
    moderator_user_id: int
    origin: Origin
    version: int
    policy: Policy

    @property
    def last_id(self) -> int:
        """As of an Erasure: its entry may stand anywhere in the log."""
        return 0


class PolicyRefusal(NamedTuple):
    """What a message is against. What depends on what was said before has no place here: SlowMode, SpokenTexts."""

    decision: Decision
    retry_after_ms: int = 0
    """0: waiting does not help, or nobody knows for how long."""


_READ_ONLY = PolicyRefusal(Decision.READ_ONLY)
_MEMBERS_ONLY = PolicyRefusal(Decision.MEMBERS_ONLY)
_TOO_LONG = PolicyRefusal(Decision.TOO_LONG)
_EMOTE_ONLY = PolicyRefusal(Decision.EMOTE_ONLY)
_LINKS = PolicyRefusal(Decision.LINKS)


def refusal_by(policy: Policy, rank: int, claims: Claims, text: str, now_ms: int) -> PolicyRefusal | None:
    """What a message by somebody of that rank, who is not exempt, is against; None: nothing. An empty text is one that
    is not known, and in `now_ms` Unix milliseconds."""
    if policy.read_only is ReadOnly.EVERYONE or (policy.read_only is ReadOnly.ANONYMOUS and rank <= Rank.ANONYMOUS):
        return _READ_ONLY
    if policy.members_only and not claims.member:
        return _MEMBERS_ONLY
    for decision, minutes, since_s in (
        (Decision.ACCOUNT_TOO_NEW, policy.min_account_minutes, claims.account_created_at_s),
        (Decision.FOLLOW_TOO_SHORT, policy.min_follow_minutes, claims.following_since_s),
    ):
        if minutes and not since_s:
            return PolicyRefusal(decision)
        whole_ms = minutes * _MS_PER_MINUTE
        if minutes and (wait_ms := since_s * 1000 + whole_ms - now_ms) > 0:
            return PolicyRefusal(decision, min(wait_ms, whole_ms))  # a claim may lie in the future
    if policy.max_length < LONGEST_MESSAGE and not 0 < len(text) <= policy.max_length:
        return _TOO_LONG
    if policy.emote_only and not is_emotes_only(text):
        return _EMOTE_ONLY
    if policy.links is not Links.ALLOW and (not text or has_link(text)):
        return _LINKS
    return None


def next_version(highest: int, now_ms: int) -> int:
    """The version of a change; `highest`: of all slugs before it. By the clock, so that it rises also where the
    database was put back to an earlier state."""
    return max(highest + 1, now_ms)

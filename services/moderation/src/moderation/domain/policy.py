"""The policy of a room: what its messages are held to besides sanctions and rate limits, and how it is changed."""

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import NamedTuple, TypedDict

from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.people import Moderator, Rank

LONGEST_SLOW_MODE_S = 600
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


class PolicyChanges(TypedDict, total=False):
    """The fields of a policy that a command changes, each with a value that Policy allows."""

    slow_mode_seconds: int
    read_only: ReadOnly


@dataclass(frozen=True, slots=True)
class Policy:
    """What a room asks of its messages. As it is made without arguments it asks for nothing."""

    slow_mode_seconds: int = 0
    """So far apart are the messages of one person in the room; up to LONGEST_SLOW_MODE_S, 0: no slow mode."""
    read_only: ReadOnly = ReadOnly.NOBODY

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


class PolicyRefusal(Enum):
    """Which field of the policy a message is against. Slow mode has no place here: it depends on what was said
    before, see SlowMode."""

    READ_ONLY = "read_only"


def refusal_by(policy: Policy, rank: int) -> PolicyRefusal | None:
    """What a message by somebody of that rank, who is not exempt, is against; None: nothing."""
    if policy.read_only is ReadOnly.EVERYONE:
        return PolicyRefusal.READ_ONLY
    if policy.read_only is ReadOnly.ANONYMOUS and rank <= Rank.ANONYMOUS:
        return PolicyRefusal.READ_ONLY
    return None


def next_version(highest: int, now_ms: int) -> int:
    """The version of a change; `highest`: of all slugs before it. By the clock, so that it rises also where the
    database was put back to an earlier state."""
    return max(highest + 1, now_ms)

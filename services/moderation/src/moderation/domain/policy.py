"""The policy of a room: what its messages are held to besides sanctions and rate limits, and how it is changed."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple, TypedDict

from moderation.domain.emotes import is_emotes_only
from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.links import has_link
from moderation.domain.people import Claims, Moderator, Rank, ranks_from
from moderation.domain.verdicts import Decision

LONGEST_SLOW_MODE_S = 600
LONGEST_WAIT_MINUTES = 129_600
LONGEST_MESSAGE = 1000
LONGEST_SHIELD_MINUTES = 1440
FEWEST_SHOWN = 5
MOST_SHOWN = 200
LONGEST_DELAY_S, DELAY_STEP_S = 6, 2
RANGES = {
    "slow_mode_seconds": (0, LONGEST_SLOW_MODE_S),
    "min_account_minutes": (0, LONGEST_WAIT_MINUTES),
    "min_follow_minutes": (0, LONGEST_WAIT_MINUTES),
    "max_length": (1, LONGEST_MESSAGE),
    "max_shown_per_second": (FEWEST_SHOWN, MOST_SHOWN),
    "delay_seconds": (0, LONGEST_DELAY_S),
}
"""Of the fields that are numbers, both bounds included; see is_allowed."""
_MS_PER_MINUTE = 60_000
EXEMPT_RANK = Rank.MODERATOR
"""Those of this rank and above may write whatever the policy says."""
EXEMPT_RANKS = ranks_from(EXEMPT_RANK)
"""Their numbers."""


class PolicyAction(IntEnum):
    """What a command does to the policy. The numbers go on behind those of ErasureKind: audit rows hold either."""

    CHANGE = 11
    SHIELD = 27


class ReadOnly(IntEnum):
    """Who may not write."""

    NOBODY = 1
    ANONYMOUS = 2
    EVERYONE = 3


class Links(IntEnum):
    """What becomes of a message with a link in it."""

    ALLOW = 1
    HOLD = 2
    """It waits for a moderator."""
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
    shield_automatic: bool
    max_shown_per_second: int
    delay_seconds: int
    shield: "Shield | None"


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
    shield_automatic: bool = False
    """A shield is laid by itself where there is a raid."""
    max_shown_per_second: int = 0
    """So many messages a second edges show to each viewer; from FEWEST_SHOWN to MOST_SHOWN, 0: all."""
    delay_seconds: int = 0
    """Edges show viewers a message so long after it was stored; up to LONGEST_DELAY_S in steps of DELAY_STEP_S."""
    shield: "Shield | None" = None
    """What lies over the fields above, or did: it may be over."""

    def is_shielded(self, now_ms: int) -> bool:
        """Whether a shield lies over it at that time, Unix milliseconds."""
        return self.shield is not None and self.shield.is_on(now_ms)

    def in_force(self, now_ms: int) -> "Policy":
        """What holds at that time, without a shield; Unix milliseconds."""
        if self.shield is None:
            return self
        kept = replace(self, shield=None)
        return kept.stricter(self.shield.preset) if self.shield.is_on(now_ms) else kept

    def stricter(self, other: "Policy") -> "Policy":
        """What refuses whatever either of the two refuses; neither has a shield."""
        return Policy(
            slow_mode_seconds=max(self.slow_mode_seconds, other.slow_mode_seconds),
            read_only=max(self.read_only, other.read_only),
            members_only=self.members_only or other.members_only,
            min_account_minutes=max(self.min_account_minutes, other.min_account_minutes),
            min_follow_minutes=max(self.min_follow_minutes, other.min_follow_minutes),
            emote_only=self.emote_only or other.emote_only,
            max_length=min(self.max_length, other.max_length),
            unique=self.unique or other.unique,
            links=max(self.links, other.links),
            shield_automatic=self.shield_automatic or other.shield_automatic,
            max_shown_per_second=min(limits) if (limits := self._limits_of_shown(other)) else 0,
            delay_seconds=max(self.delay_seconds, other.delay_seconds),
        )

    def _limits_of_shown(self, other: "Policy") -> list[int]:
        return [limit for limit in (self.max_shown_per_second, other.max_shown_per_second) if limit]

    def changed(self, changes: PolicyChanges) -> "Policy":
        """This policy with some fields changed."""
        return replace(self, **changes)


NO_POLICY = Policy()
SHIELD_PRESET = Policy(slow_mode_seconds=30, read_only=ReadOnly.ANONYMOUS, links=Links.REFUSE, min_account_minutes=1440)
"""What a shield asks for where the deployment says nothing else."""


@dataclass(frozen=True, slots=True)
class Shield:
    """What lies over a policy up to its end. It carries what it asks for, so that all who judge by it, of whatever
    settings, judge alike."""

    until_ms: int
    """Unix milliseconds."""
    preset: Policy
    """Without a shield."""

    def is_on(self, now_ms: int) -> bool:
        """Whether it is not over."""
        return self.until_ms > now_ms


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
    action: PolicyAction = PolicyAction.CHANGE


@dataclass(frozen=True, slots=True)
class PolicyOrder:
    """A command that changes the policy of a room, as it was sent."""

    command: PolicyCommand
    log: LogRef | None = None
    """The log of the room in which it was given; None: there is no life of it at present, and nobody to be told."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class ShieldCommand:
    """What somebody asks of the shield of a room."""

    moderator: Moderator
    slug: str
    minutes: int
    """For so long from now on it lies there, up to LONGEST_SHIELD_MINUTES; 0: no longer."""
    reason: str


@dataclass(frozen=True, slots=True)
class ShieldOrder:
    """A command about the shield of a room, as it was sent."""

    command: ShieldCommand
    log: LogRef | None = None
    """As in PolicyOrder."""
    origin: Origin = NO_ORIGIN

    def on_policy(self, preset: Policy, now_ms: int) -> PolicyOrder:
        """The change of the policy that it is, with what a shield asks for."""
        asked = self.command
        shield = Shield(now_ms + asked.minutes * _MS_PER_MINUTE, preset) if asked.minutes else None
        changes = PolicyChanges(shield=shield)
        command = PolicyCommand(asked.moderator, asked.slug, changes, asked.reason, PolicyAction.SHIELD)
        return PolicyOrder(command, self.log, self.origin)


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


def is_allowed(name: str, value: int) -> bool:
    """Whether a field that is a number may have that value."""
    lowest, highest = RANGES[name]
    if name == "delay_seconds" and value % DELAY_STEP_S:
        return False
    return lowest <= value <= highest or (name == "max_shown_per_second" and value == 0)


def refusal_by(policy: Policy, rank: int, claims: Claims, text: str, now_ms: int) -> PolicyRefusal | None:
    """What a message by somebody of that rank, who is not exempt, is against; None: nothing. An empty text is one that
    is not known, and in `now_ms` Unix milliseconds. Of a policy in force: its shield is not looked at."""
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
    if policy.links is Links.ALLOW:
        return None
    if not text or (policy.links is Links.REFUSE and has_link(text)):
        return _LINKS
    return None


def is_held_by(policy: Policy, text: str) -> bool:
    """Whether a message that the policy does not refuse is to wait for a moderator."""
    return policy.links is Links.HOLD and has_link(text)


def next_version(highest: int, now_ms: int) -> int:
    """The version of a change; `highest`: of all slugs before it. By the clock, so that it rises also where the
    database was put back to an earlier state."""
    return max(highest + 1, now_ms)

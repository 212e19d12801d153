"""Tokens that were revoked: one by its `jti`, or what a user had before a time. Edges refuse them; a revocation is kept
as long as a token that it means may not have expired."""

from dataclasses import dataclass, replace
from enum import IntEnum

from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Target

MOST_REVOCATIONS = 100_000
"""Every edge holds all of them in memory. No other one is taken then: to let go of one would let its token in again."""
LONGEST_JTI = 128
MOST_AHEAD_MS = 60_000
"""Clocks may differ so much: tokens of the time to come are not to be revoked before anybody has them."""


class RevocationAction(IntEnum):
    """What a command does. Audit rows hold these numbers beside those of other actions."""

    REVOKE_TOKENS = 38
    REVOKE_TOKEN = 39


@dataclass(frozen=True, slots=True)
class Revocation:
    """What edges refuse tokens by."""

    user_id: int
    """0: it is of one token."""
    jti: str
    """Of one token, else empty."""
    before_ms: int
    """Of a user: tokens issued before then, and those that do not say when; else 0. Unix milliseconds, as below."""
    until_ms: int
    """Whatever it means has expired by then."""
    version: int = 0
    """Rises over all; 0: it is not stored yet."""

    @property
    def key(self) -> str:
        """By which it takes the place of an earlier one."""
        return f"u:{self.user_id}" if self.user_id else f"t:{self.jti}"

    def after(self, earlier: "Revocation | None") -> "Revocation":
        """The same where an earlier one of its key reaches further."""
        if earlier is None:
            return self
        before_ms, until_ms = max(self.before_ms, earlier.before_ms), max(self.until_ms, earlier.until_ms)
        return replace(self, before_ms=before_ms, until_ms=until_ms)


@dataclass(frozen=True, slots=True)
class RevocationCommand:
    """What somebody asks to revoke."""

    moderator: Moderator
    user_id: int
    """0: one token."""
    jti: str
    reason: str
    before_ms: int = 0
    """Of a user; 0: now."""
    target_rank: Rank | None = None
    """The highest that the user is connected with; None: not connected."""

    @property
    def action(self) -> RevocationAction:
        """As rights and audit rows have it."""
        return RevocationAction.REVOKE_TOKENS if self.user_id else RevocationAction.REVOKE_TOKEN

    @property
    def target(self) -> Target:
        """Whose tokens they are; nobody, where it is one token: only the token says whose it is."""
        return Target(self.user_id, "")

    def revocation(self, *, now_ms: int, token_life_ms: int) -> Revocation:
        """What it comes to, where no token lives for longer than that."""
        if not self.user_id:
            return Revocation(0, self.jti, 0, now_ms + token_life_ms)
        before_ms = min(self.before_ms or now_ms, now_ms + MOST_AHEAD_MS)
        # It also means tokens that do not say when they were issued: until now, whatever `before_ms` says.
        return Revocation(self.user_id, "", before_ms, max(before_ms, now_ms) + token_life_ms)


@dataclass(frozen=True, slots=True)
class RevocationOrder:
    """A command that revokes tokens, as it was sent."""

    command: RevocationCommand
    origin: Origin = NO_ORIGIN

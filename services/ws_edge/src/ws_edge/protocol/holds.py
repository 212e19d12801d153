"""Messages that wait for a moderator as an edge knows them: it tells their authors, and knows them when they are sent
again."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Literal

from msgspec import Struct

from ws_edge.protocol.identity import Life, Slug, UserId
from ws_edge.protocol.limits import NONCE_AGE_S

WAITS_MS = 300_000
"""Of the contract: for how long a message waits."""
HOLDS_LIMIT = 20_000
"""Bounds the memory: the oldest go first."""
HOLDS_PER_READ = 5_000
"""Of the contract: an answer with so many may lack some."""


class HoldState(Enum):
    """What became of a message that waits, as it stands in frames."""

    WAITING = "waiting"
    ALLOWED = "allowed"
    """It is published, or about to be."""
    DENIED = "denied"
    EXPIRED = "expired"
    """Nobody decided in time."""

    @property
    def is_rejected(self) -> bool:
        """Whether nobody will ever see it."""
        return self in (HoldState.DENIED, HoldState.EXPIRED)


class HoldReason(Struct, frozen=True, gc=False):
    """Why moderation has a message wait."""

    rule_id: int = 0
    """0: no rule does, but the policy."""
    rule_name: str = ""


_WORDS: dict[HoldState, Literal["allowed", "denied", "expired"]] = {
    HoldState.ALLOWED: "allowed",
    HoldState.DENIED: "denied",
    HoldState.EXPIRED: "expired",
}


class HeldMessage(Struct, frozen=True, gc=False):
    """One message that waits for a moderator, or has waited. Without its text. Times are Unix milliseconds."""

    id: int
    slug: Slug
    life: Life
    """That it was sent in."""
    user_id: UserId | None
    """Of its author."""
    username: str
    connection: str
    """As in Speaker: whose it is where the author is anonymous."""
    nonce: str
    """Empty where the client gave none."""
    number: int
    """Of its verdict: by this it is released."""
    state: HoldState
    expires_at_ms: int
    decided_by: UserId | None = None
    """None: nobody, or nobody yet."""
    decided_at_ms: int = 0

    @property
    def key(self) -> str:
        """Of its author, as Speaker.key."""
        return f"c:{self.connection}" if self.user_id is None else f"u:{self.user_id}"


class Decided(Struct, frozen=True, gc=False):
    """Somebody was quicker, or time was."""

    state: HoldState
    by: UserId | None
    """None: nobody, time was up."""

    @property
    def word(self) -> Literal["allowed", "denied", "expired"]:
        """What was decided, as it stands in frames."""
        return _WORDS[self.state]


class Allowed(Struct, frozen=True, gc=False):
    """Of a message in the log that waited for a moderator: whose copies of it say more."""

    hold_id: int
    key: str
    """Of its author, as Speaker.key."""
    nonce: str
    """Of the action that allowed it, as is the id."""
    action_id: int


class HoldCache:
    """What waits, or has waited lately, in the rooms that a worker holds. Monotonic seconds."""

    __slots__ = ("_by_author", "_by_slug", "_heard_at_s", "_known", "_missed", "_read")

    def __init__(self) -> None:
        self._known: dict[int, HeldMessage] = {}
        self._heard_at_s: dict[int, float] = {}
        self._by_slug: dict[Slug, dict[int, None]] = {}
        self._by_author: dict[tuple[Slug, str], dict[int, None]] = {}
        self._read: set[Slug] = set()
        self._missed: list[HeldMessage] = []

    def __len__(self) -> int:
        return len(self._known)

    def get(self, hold_id: int) -> HeldMessage | None:
        """As far as is known here."""
        return self._known.get(hold_id)

    def of_author(self, slug: Slug, key: str) -> list[HeldMessage]:
        """Those of a participant in a room, the oldest first."""
        return [self._known[each] for each in sorted(self._by_author.get((slug, key), ()))]

    def find(self, slug: Slug, key: str, life: Life, nonce: str, *, unix_ms: float) -> HeldMessage | None:
        """The message that its author sent with that nonce, for as long as one is known by it."""
        since_ms = unix_ms - NONCE_AGE_S * 1000 + WAITS_MS
        of_author = [one for one in reversed(self.of_author(slug, key)) if one.expires_at_ms > since_ms]
        return next((one for one in of_author if (one.life, one.nonce) == (life, nonce)), None)

    def apply(self, hold: HeldMessage, *, now_s: float) -> bool:
        """It was heard; whether that is news. What was decided stays so, whatever comes late."""
        known = self._known.get(hold.id)
        if known is not None and (known.state is hold.state or known.state is not HoldState.WAITING):
            return False
        self._known[hold.id] = hold
        self._heard_at_s[hold.id] = now_s
        self._by_slug.setdefault(hold.slug, {})[hold.id] = None
        self._by_author.setdefault((hold.slug, hold.key), {})[hold.id] = None
        if len(self._known) > HOLDS_LIMIT:
            self._drop(next(iter(self._known)))
        return True

    def replace(self, slugs: Iterable[Slug], holds: Sequence[HeldMessage], *, asked_at_s: float) -> None:
        """Take over what moderation says of these slugs; what was heard since it was asked, it may not have known."""
        told = {hold.id for hold in holds}
        is_all = len(holds) < HOLDS_PER_READ
        read_before = self._read.copy()
        for slug in slugs:
            self._read.add(slug)
            for hold_id in list(self._by_slug.get(slug, ())) if is_all else ():
                if hold_id not in told and self._heard_at_s[hold_id] < asked_at_s:
                    self._drop(hold_id)
        for hold in holds:
            if self.apply(hold, now_s=asked_at_s) and hold.slug in read_before:
                self._missed.append(hold)

    def take_missed(self) -> list[HeldMessage]:
        """What `replace` has brought that should have been heard before, once."""
        missed, self._missed = self._missed, []
        return missed

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._read.discard(slug)
        for hold_id in list(self._by_slug.get(slug, ())):
            self._drop(hold_id)

    def _drop(self, hold_id: int) -> None:
        hold = self._known.pop(hold_id)
        del self._heard_at_s[hold_id]
        of_slug, of_author = self._by_slug[hold.slug], self._by_author[hold.slug, hold.key]
        del of_slug[hold_id], of_author[hold_id]
        if not of_slug:
            del self._by_slug[hold.slug]
        if not of_author:
            del self._by_author[hold.slug, hold.key]

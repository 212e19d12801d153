"""The policies of rooms as an edge knows them: it tells them, and goes by them while moderation is away."""

from collections import OrderedDict
from collections.abc import Iterable, Set
from enum import Enum

from msgspec import Struct

from ws_edge.errors import ErrorCode
from ws_edge.protocol.emotes import is_emotes_only
from ws_edge.protocol.identity import Identity, Rank, Slug
from ws_edge.protocol.links import has_link
from ws_edge.protocol.same_text import digest_of

LONGEST_SLOW_MODE_S = 600
LONGEST_WAIT_MINUTES = 129_600
LONGEST_MESSAGE = 1000
LONGEST_SHIELD_MINUTES = 1440
FEWEST_SHOWN = 5
MOST_SHOWN = 200
LONGEST_DELAY_S, DELAY_STEP_S = 6, 2
EXEMPT_RANK = Rank.MODERATOR
"""Those of this rank and above may write whatever the policy says."""
PLACES_LIMIT = 10_000
UNIQUE_FOR_S = 120.0
TEXTS_LIMIT = 10_000


class ReadOnly(Enum):
    """Who may not write, as it stands in frames."""

    NOBODY = "nobody"
    ANONYMOUS = "anonymous"
    EVERYONE = "everyone"


class Links(Enum):
    """What becomes of a message with a link in it, as it stands in frames."""

    ALLOW = "allow"
    HOLD = "hold"
    """It waits for a moderator; it is refused while moderation is away."""
    REFUSE = "refuse"


class Policy(Struct, frozen=True, gc=False):
    """What a room asks of its messages."""

    version: int = 0
    """The highest of a slug holds; 0: nobody has ever changed it."""
    slow_mode_seconds: int = 0
    """So far apart are the messages of one participant; 0: no slow mode."""
    read_only: ReadOnly = ReadOnly.NOBODY
    members_only: bool = False
    min_account_minutes: int = 0
    min_follow_minutes: int = 0
    emote_only: bool = False
    max_length: int = LONGEST_MESSAGE
    unique: bool = False
    links: Links = Links.ALLOW
    shield_automatic: bool = False
    """A shield is laid by itself where there is a raid."""
    max_shown_per_second: int = 0
    """So many messages a second each viewer is shown; 0: all."""
    delay_seconds: int = 0
    """Viewers see a message so long after it was stored."""
    shield: "Shield | None" = None
    """What the fields above hold by, and until when; None: by themselves."""

    def at(self, now_s: float) -> "Policy":
        """What holds at that time, Unix seconds."""
        shield = self.shield
        return self if shield is None or shield.until_ms > now_s * 1000 else shield.underlying

    def slow_mode_of(self, identity: Identity) -> int:
        """How many seconds the messages of somebody have to be apart."""
        return 0 if _is_exempt(identity) else self.slow_mode_seconds

    def delay_ms_of(self, rank: Rank) -> int:
        """How long after it was stored viewers see a message of somebody of that rank."""
        return self.delay_seconds * 1000 if self.delay_seconds and rank < EXEMPT_RANK else 0

    def is_unique_for(self, rank: Rank) -> bool:
        """Whether somebody of that rank may not say what was said lately."""
        return self.unique and rank < EXEMPT_RANK


class Shield(Struct, frozen=True, gc=False):
    """Why a policy is stricter than the one that is kept, up to its end."""

    until_ms: int
    """Unix milliseconds."""
    underlying: Policy
    """What is kept, and holds from then on."""


NO_POLICY = Policy()
_READ_ONLY_BY_STRICTNESS = list(ReadOnly)
_LINKS_BY_STRICTNESS = list(Links)


def shielded(kept: Policy, preset: Policy, until_ms: int) -> Policy:
    """What holds while a shield lies over the policy that is kept: the stricter of the two, field by field."""
    return Policy(
        kept.version,
        max(kept.slow_mode_seconds, preset.slow_mode_seconds),
        max(kept.read_only, preset.read_only, key=_READ_ONLY_BY_STRICTNESS.index),
        kept.members_only or preset.members_only,
        max(kept.min_account_minutes, preset.min_account_minutes),
        max(kept.min_follow_minutes, preset.min_follow_minutes),
        kept.emote_only or preset.emote_only,
        min(kept.max_length, preset.max_length),
        kept.unique or preset.unique,
        max(kept.links, preset.links, key=_LINKS_BY_STRICTNESS.index),
        kept.shield_automatic or preset.shield_automatic,
        min(filter(None, (kept.max_shown_per_second, preset.max_shown_per_second)), default=0),
        max(kept.delay_seconds, preset.delay_seconds),
        Shield(until_ms, kept),
    )


def refusal_by(policy: Policy, identity: Identity, text: str, *, now_s: float) -> tuple[ErrorCode, int] | None:
    """What a message is against, and for how many milliseconds waiting would help (0: it does not); None: nothing, as
    far as slow mode is not concerned. In Unix seconds."""
    rank = identity.rank
    if rank >= EXEMPT_RANK:
        return None
    if policy.read_only is ReadOnly.EVERYONE or (policy.read_only is ReadOnly.ANONYMOUS and rank is Rank.ANONYMOUS):
        return ErrorCode.READ_ONLY, 0
    if policy.members_only and not identity.member:
        return ErrorCode.MEMBERS_ONLY, 0
    for code, minutes, since_s in (
        (ErrorCode.ACCOUNT_TOO_NEW, policy.min_account_minutes, identity.account_created_at_s),
        (ErrorCode.FOLLOW_TOO_SHORT, policy.min_follow_minutes, identity.following_since_s),
    ):
        if minutes and since_s is None:
            return code, 0
        if minutes and since_s is not None and (wait_s := since_s + 60 * minutes - now_s) > 0:
            return code, min(-int(-wait_s * 1000 // 1), 60_000 * minutes)  # a claim may lie in the future
    if len(text) > policy.max_length:
        return ErrorCode.MESSAGE_TOO_LONG, 0
    if policy.emote_only and not is_emotes_only(text):
        return ErrorCode.EMOTE_ONLY, 0
    if policy.links is not Links.ALLOW and has_link(text):
        return ErrorCode.LINKS, 0
    return None


def _is_exempt(identity: Identity) -> bool:
    """From slow mode and rules: VIPs are, besides those who are exempt from all of a policy."""
    return identity.rank >= EXEMPT_RANK or identity.is_vip


class PolicyCache:
    """Of each slug the policy with the highest version, whichever way it came first; and where rules act, which
    moderation alone knows."""

    __slots__ = ("_by_slug", "_is_ruled_everywhere", "_ruled")

    def __init__(self) -> None:
        self._by_slug: dict[Slug, Policy] = {}
        self._ruled: set[Slug] = set()
        self._is_ruled_everywhere = False

    def __len__(self) -> int:
        return len(self._by_slug)

    def find(self, slug: Slug, now_s: float) -> Policy:
        """What holds there at that time, Unix seconds."""
        return self._by_slug.get(slug, NO_POLICY).at(now_s)

    def apply(self, slug: Slug, policy: Policy) -> None:
        """It was heard or read."""
        if policy.version > self._by_slug.get(slug, NO_POLICY).version:
            self._by_slug[slug] = policy

    def is_ruled(self, slug: Slug, identity: Identity) -> bool:
        """Whether a rule would have to see what somebody says there, as was last read."""
        return not _is_exempt(identity) and (self._is_ruled_everywhere or slug in self._ruled)

    def rules_read(self, slugs: Iterable[Slug], ruled: Set[Slug], *, everywhere: bool) -> None:
        """Of these slugs those where rules act were read, and whether there are such rules for everywhere."""
        self._ruled.difference_update(slugs)
        self._ruled |= ruled
        self._is_ruled_everywhere = everywhere

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._by_slug.pop(slug, None)
        self._ruled.discard(slug)


class SlowMode:
    """When each participant last spoke in each room that has slow mode, as one edge can know it alone. Bounded twice,
    by age and by number: the oldest are forgotten first. Monotonic seconds."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, Slug], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def wait_ms(self, key: str, slug: Slug, seconds: int, now: float) -> int:
        """0 where the participant may speak now, else in how many milliseconds they may."""
        at, _ = self._places.get((key, slug), (None, 0))
        return 0 if at is None else max(0, -int((now - at - seconds) * 1000 // 1))

    def take(self, key: str, slug: Slug, place: int, now: float) -> None:
        """They spoke: `place` is the number of what moderation, or this edge, admitted."""
        self._places[key, slug] = (now, place)
        self._places.move_to_end((key, slug))
        while len(self._places) > PLACES_LIMIT or next(iter(self._places.values()))[0] <= now - LONGEST_SLOW_MODE_S:
            self._places.popitem(last=False)

    def release(self, key: str, slug: Slug, place: int) -> None:
        """That message could not be stored; nothing changes where they have spoken since."""
        _, known = self._places.get((key, slug), (0.0, 0))
        if known == place:
            self._places.pop((key, slug), None)


class SpokenTexts:
    """What was said lately in each room where texts are unique, as one edge can know it alone. Bounded twice, by age
    and by number: the oldest are forgotten first. Monotonic seconds."""

    __slots__ = ("_said", "_texts")

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[Slug, bytes], tuple[float, int]] = OrderedDict()
        self._texts: dict[int, tuple[Slug, bytes]] = {}

    def __len__(self) -> int:
        return len(self._said)

    def wait_ms(self, slug: Slug, text: str, now: float) -> int:
        """0 where it may be said now, else in how many milliseconds it may."""
        at, _ = self._said.get((slug, digest_of(text)), (None, 0))
        return 0 if at is None else max(0, -int((now - at - UNIQUE_FOR_S) * 1000 // 1))

    def say(self, slug: Slug, text: str, number: int, now: float) -> None:
        """It was said by a message that was admitted, of that number."""
        one = (slug, digest_of(text))
        self._forget(one)
        self._said[one] = (now, number)
        self._texts[number] = one
        while len(self._said) > TEXTS_LIMIT or next(iter(self._said.values()))[0] <= now - UNIQUE_FOR_S:
            self._forget(next(iter(self._said)))

    def release(self, number: int) -> None:
        """That message could not be stored: it was not said."""
        text = self._texts.get(number)
        if text is not None:
            self._forget(text)

    def _forget(self, text: tuple[Slug, bytes]) -> None:
        _, number = self._said.pop(text, (0.0, 0))
        self._texts.pop(number, None)

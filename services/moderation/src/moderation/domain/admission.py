"""Whether a message may be published and a connection come in: sanction, then repeat, then limit."""

from dataclasses import dataclass

from moderation.domain.book import BANS, MUTES_AND_BANS, SanctionBook
from moderation.domain.nonces import Nonces
from moderation.domain.people import Speaker
from moderation.domain.sightings import Sighting, SightingBuffer
from moderation.domain.verdict import ADMITTED, REPEATED, Decision, Verdict
from moderation.domain.window import Claims, Windows

_NS_PER_MS = 1_000_000
_FOLLOWED_LARGEST = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be said."""

    messages_per_window: int
    window_s: int
    messages_per_address: int
    """Of all anonymous connections of one address together."""


@dataclass(frozen=True, slots=True)
class Now:
    """Two clocks: windows go by one that never jumps, sanctions by the one that people read."""

    monotonic_ns: int
    wall_ms: int


class Admission:
    """The memory that messages and arrivals are judged by. Nothing here waits."""

    def __init__(self, limits: Limits, book: SanctionBook, sightings: SightingBuffer) -> None:
        window_ns = limits.window_s * 1_000_000_000
        self.limits = limits
        self._window_ns = window_ns
        self._book = book
        self._sightings = sightings
        self._speakers = Windows(limits.messages_per_window, window_ns)
        self._addresses = Windows(limits.messages_per_address, window_ns)
        self._nonces = Nonces()
        self._followed: dict[tuple[int, str], None] = {}

    def judge_message(self, speaker: Speaker, slug: str, life: int, nonce: str, now: Now) -> Verdict:
        """A sanction is looked at first: a repeat may be the copy that is stored, if the first one got lost."""
        held_ms = self._book.remaining_ms(speaker, slug, MUTES_AND_BANS, now_ms=now.wall_ms)
        if held_ms is not None:
            return Verdict(Decision.SANCTIONED, held_ms)
        key: int | str = speaker.user_id or speaker.connection
        now_ns = now.monotonic_ns
        if nonce and self._nonces.knows(key, life, nonce, now_ns):
            return REPEATED
        wait_ns = self._speakers.wait_ns(key, now_ns)
        if not speaker.user_id:
            wait_ns = max(wait_ns, self._addresses.wait_ns(speaker.address, now_ns))
        if wait_ns:
            return Verdict(Decision.RATE_LIMITED, -(-wait_ns // _NS_PER_MS))
        self._speakers.accept(key, speaker.connection, now_ns)
        if not speaker.user_id:
            self._addresses.accept(speaker.address, speaker.connection, now_ns)
        if nonce:
            self._nonces.remember(key, life, nonce, now_ns, now_ns)
        return ADMITTED

    def judge_arrival(self, speaker: Speaker, slug: str, now: Now, *, is_final: bool) -> Verdict:
        """The banned stay outside, the muted may read. Being turned away is being seen."""
        held_ms = self._book.remaining_ms(speaker, slug, BANS, now_ms=now.wall_ms)
        if is_final or held_ms is not None:
            self.sight(speaker, slug, now.wall_ms)
        return ADMITTED if held_ms is None else Verdict(Decision.SANCTIONED, held_ms)

    def carry(
        self, speaker: Speaker, life: int, nonce: str, now: Now, *, age_ms: int, counts: bool, claims: Claims
    ) -> None:
        """Take over what another replica admitted."""
        key: int | str = speaker.user_id or speaker.connection
        at_ns = now.monotonic_ns - max(0, age_ms) * _NS_PER_MS
        if counts and at_ns + self._window_ns > now.monotonic_ns:
            self._speakers.carry(key, speaker.connection, at_ns, claims)
            if not speaker.user_id:
                self._addresses.carry(speaker.address, speaker.connection, at_ns, claims)
        if nonce:
            self._nonces.remember(key, life, nonce, at_ns, now.monotonic_ns)

    def sight(self, speaker: Speaker, slug: str, wall_ms: int) -> None:
        """Somebody is there just now; their sanctions follow them to a new address at once."""
        sighting = Sighting.of(speaker, slug)
        if sighting.is_storable:
            self._sightings.note(sighting, wall_ms)
            self.follow(sighting, wall_ms)

    def follow(self, sighting: Sighting, wall_ms: int) -> None:
        """Let the sanctions of who was seen hold for that address as well, here at once and in the database soon."""
        address = sighting.address
        for sanction in self._book.unaware_of(sighting.user_id, address, sighting.slug, now_ms=wall_ms):
            self._book.add_address(sanction.id, address)
            self.follow_later(sanction.id, address)

    def follow_later(self, sanction_id: int, address: str) -> None:
        """Keep in mind that the address is still to be stored. When full the oldest is forgotten: the next sighting
        after the next reading of the database brings it back."""
        self._followed[sanction_id, address] = None
        if len(self._followed) > _FOLLOWED_LARGEST:
            del self._followed[next(iter(self._followed))]

    def next_followed(self) -> tuple[int, str] | None:
        """A sanction and the address to be stored with it; the same one until followed is called."""
        return next(iter(self._followed), None)

    def followed(self, sanction_id: int, address: str) -> None:
        """It is stored, or the sanction is no more."""
        self._followed.pop((sanction_id, address), None)

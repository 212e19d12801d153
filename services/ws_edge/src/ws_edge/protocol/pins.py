"""What is pinned in rooms, as moderation told it when they were read."""

from dataclasses import dataclass

from ws_edge.protocol.identity import Life, Slug, UserId
from ws_edge.protocol.log import StoredMessage


@dataclass(frozen=True, slots=True)
class Pin:
    """The message that everybody in a room is shown besides the others."""

    version: int
    """The highest of a life holds, whichever way it came first."""
    message: StoredMessage | None
    """None: nothing is pinned any more."""
    moderator_user_id: UserId | None
    """Who pinned it, and when: RFC 3339 in UTC with milliseconds."""
    at: str


class PinCache:
    """Of each slug the pin with the highest version, and the life that it is of."""

    __slots__ = ("_by_slug",)

    def __init__(self) -> None:
        self._by_slug: dict[Slug, tuple[Life, Pin]] = {}

    def __len__(self) -> int:
        return len(self._by_slug)

    def find(self, slug: Slug, life: Life) -> Pin | None:
        """What was told of that life; None: nothing."""
        known_of, pin = self._by_slug.get(slug, (None, None))
        return pin if known_of == life else None

    def apply(self, slug: Slug, life: Life, pin: Pin) -> None:
        """It was read."""
        known = self._by_slug.get(slug)
        if known is None or pin.version > known[1].version:
            self._by_slug[slug] = (life, pin)

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._by_slug.pop(slug, None)

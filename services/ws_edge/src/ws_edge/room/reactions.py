"""The reactions of one room: added up, and told to its members and to the other edges at most once a second; and the
messages that somebody may react to."""

from collections.abc import Callable, Iterable

from ws_edge.ports import Clock, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.log import StoredMessage
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.room.audience import Audience
from ws_edge.room.erasures import Erasures, author_of

TOLD_EVERY_S = 1.0
REACTABLE_LIMIT = 500
"""So many of the last messages of a room."""
HELD_S = 30.0
"""For so long after the last reaction to a message a room knows which there are."""


class RoomReactions:
    """Made with the first reaction of a room: most have none. `publish` tells the other edges, which add up what they
    hear, so that each member sees every reaction once."""

    __slots__ = ("_audience", "_clock", "_is_due", "_publish", "_timers", "_told_at_s", "_unpublished", "_unshown")

    def __init__(
        self, audience: Audience, publish: Callable[[ReactionSums], None], clock: Clock, timers: Timers
    ) -> None:
        self._audience = audience
        self._publish = publish
        self._clock = clock
        self._timers = timers
        self._unshown = ReactionSums()
        self._unpublished = ReactionSums()
        self._told_at_s = float("-inf")
        self._is_due = False

    def add(self, emoji: str, message_id: MessageId | None) -> None:
        """A member here reacted."""
        self._unshown.add(emoji, message_id)
        self._unpublished.add(emoji, message_id)
        self._schedule()

    def heard(self, reacted: Iterable[Reacted]) -> None:
        """Members of another edge did."""
        for each in reacted:
            self._unshown.add(each.emoji, each.message_id, each.count)
        self._schedule()

    def is_idle(self, now_s: float) -> bool:
        """Whether nothing waits, and the next ones may be told at once."""
        return not self._is_due and now_s - self._told_at_s >= TOLD_EVERY_S

    def _schedule(self) -> None:
        """The first ones after a pause are told at once."""
        if not self._is_due:
            self._is_due = True
            self._timers.call_later(max(0.0, self._told_at_s + TOLD_EVERY_S - self._clock.now_s()), self._tell)

    def _tell(self) -> None:
        self._is_due = False
        self._told_at_s = self._clock.now_s()
        unshown, self._unshown = self._unshown, ReactionSums()
        unpublished, self._unpublished = self._unpublished, ReactionSums()
        if unshown:
            self._audience.broadcast(codec.reactions(unshown))
        if unpublished:
            self._publish(unpublished)


class ReactableMessages:
    """Which messages were the last ones of a room, by id, with their authors. Made with the first reaction to a
    message: from then on it notes what is shown, and `read` gives it what was there before."""

    __slots__ = ("_authors", "is_read", "used_at_s")

    def __init__(self, now_s: float) -> None:
        self._authors: dict[MessageId, UserId | str] = {}
        self.is_read = False
        """False: what was there before is not known yet."""
        self.used_at_s = now_s

    def note(self, message: StoredMessage) -> None:
        """A message is shown, in the order of the log."""
        self._authors[message.id] = author_of(message)
        if len(self._authors) > REACTABLE_LIMIT:
            del self._authors[next(iter(self._authors))]

    def read(self, before: Iterable[StoredMessage]) -> None:
        """These are stored, in order; they reach to where this began, or further."""
        noted, self._authors = self._authors, {}
        for message in before:
            self.note(message)
        for number, author in noted.items():
            self._authors.setdefault(number, author)
        for number in list(self._authors)[:-REACTABLE_LIMIT]:
            del self._authors[number]
        self.is_read = True

    def has(self, message_id: MessageId, erasures: Erasures) -> bool:
        """Whether it is one of them, and was not taken back."""
        author = self._authors.get(message_id)
        return author is not None and not erasures.covers_id(message_id, author)

"""How often the people of a room reacted with what, between two frames that tell them."""

from collections.abc import Iterator
from dataclasses import dataclass

from ws_edge.protocol.identity import MessageId

EMOJI_LIMIT = 100
MESSAGE_LIMIT = 200
"""Different emoji for the room, and of messages and emoji together, in one frame. What is more is not counted: with
names of 100 bytes a frame has less than 40 KiB."""


@dataclass(frozen=True, slots=True)
class Reacted:
    """So many reactions with one emoji, or one emote; to no message where that is None."""

    emoji: str
    message_id: MessageId | None
    count: int


class ReactionSums:
    """The sums of one second; bounded, whatever comes."""

    __slots__ = ("counts", "messages")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        """Of those to no message, by emoji."""
        self.messages: dict[tuple[MessageId, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self.counts or self.messages)

    def __iter__(self) -> Iterator[Reacted]:
        for emoji, count in self.counts.items():
            yield Reacted(emoji, None, count)
        for (message_id, emoji), count in self.messages.items():
            yield Reacted(emoji, message_id, count)

    def add(self, emoji: str, message_id: MessageId | None, count: int = 1) -> None:
        """Count some; those of one kind too many are left out."""
        if message_id is None:
            known = self.counts.get(emoji, 0)
            if known or len(self.counts) < EMOJI_LIMIT:
                self.counts[emoji] = known + count
            return
        key = (message_id, emoji)
        known = self.messages.get(key, 0)
        if known or len(self.messages) < MESSAGE_LIMIT:
            self.messages[key] = known + count

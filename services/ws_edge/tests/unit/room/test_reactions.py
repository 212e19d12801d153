"""room/reactions.py: what members are told, how often, and what is kept."""

from collections.abc import Callable

import pytest

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.log import MessagesPurged, StoredMessage
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.room.audience import Audience
from ws_edge.room.erasures import Erasures
from ws_edge.room.reactions import REACTABLE_LIMIT, ReactableMessages, RoomReactions

AT = "2025-11-27T16:30:00.000Z"
HEART, LAUGH = "❤️", "😂"


class Member:
    """Keeps what it is written."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.frames.append(frames[2:])

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None: ...


class Scene:
    """One member, a clock and timers that the test moves, and what other edges are told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.published: list[list[Reacted]] = []
        self.member = Member()
        audience = Audience(self, self)
        audience.add(self.member)
        self.reactions = RoomReactions(audience, self._publish, self, self)

    def _publish(self, sums: ReactionSums) -> None:
        self.published.append(list(sums))

    def now_s(self) -> float:
        return self.now

    def unix_s(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object], /) -> object:
        self.timers.append((self.now, callback))
        return None

    def call_later(self, delay: float, callback: Callable[[], object], /) -> "Scene":
        self.timers.append((self.now + delay, callback))
        return self

    def cancel(self) -> None: ...

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer[0] <= self.now]:
            self.timers.remove(due[0])
            due[0][1]()

    def told(self) -> list[str]:
        frames, self.member.frames = self.member.frames, []
        return [frame.decode() for frame in frames]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_ones_are_told_at_once_and_what_follows_once_a_second(scene: Scene) -> None:
    scene.reactions.add(HEART, None)
    scene.pass_time(0.0)
    assert scene.told() == ['{"type":"reactions","data":{"counts":{"❤️":1},"messages":{}}}']
    for _ in range(2000):
        scene.reactions.add(HEART, None)
    scene.pass_time(0.999)
    assert scene.told() == []
    assert len(scene.timers) == 1
    scene.pass_time(0.001)
    assert scene.told() == ['{"type":"reactions","data":{"counts":{"❤️":2000},"messages":{}}}']
    scene.pass_time(10.0)
    assert scene.told() == []


def test_other_edges_are_told_what_members_here_did_at_most_once_a_second(scene: Scene) -> None:
    scene.reactions.add(HEART, None)
    scene.pass_time(0.0)
    scene.reactions.add(LAUGH, MessageId(42))
    scene.reactions.heard([Reacted(LAUGH, MessageId(42), 7)])
    scene.pass_time(0.5)
    assert scene.published == [[Reacted(HEART, None, 1)]]
    scene.pass_time(0.5)
    assert scene.published == [[Reacted(HEART, None, 1)], [Reacted(LAUGH, MessageId(42), 1)]]


def test_what_other_edges_tell_is_added_and_not_told_on(scene: Scene) -> None:
    scene.reactions.add(HEART, None)
    scene.reactions.heard([Reacted(HEART, None, 5), Reacted(LAUGH, MessageId(42), 3)])
    scene.pass_time(0.0)
    assert scene.told() == ['{"type":"reactions","data":{"counts":{"❤️":6},"messages":{"42":{"😂":3}}}}']
    assert scene.published == [[Reacted(HEART, None, 1)]]
    scene.reactions.heard([])
    scene.pass_time(1.0)
    assert (scene.told(), len(scene.published)) == ([], 1)


def test_it_is_idle_once_nothing_waits_and_the_next_ones_may_be_told_at_once(scene: Scene) -> None:
    scene.reactions.add(HEART, None)
    assert not scene.reactions.is_idle(scene.now)
    scene.pass_time(0.0)
    assert not scene.reactions.is_idle(scene.now + 0.9)
    assert scene.reactions.is_idle(scene.now + 1.0)


# --- which messages there are ----------------------------------------------------------------------------------------


def message(number: int, author: int | str = 1) -> StoredMessage:
    user_id = UserId(author) if isinstance(author, int) else None
    return StoredMessage(MessageId(number), MessageId(0), AT, "text", user_id, str(author), "e2", 0, "")


def test_they_are_those_that_were_stored_and_those_that_came_since_500_at_most() -> None:
    messages, erasures = ReactableMessages(0.0), Erasures()
    assert not messages.is_read
    for number in (499, 500, 501, 502):
        messages.note(message(number))
    messages.read([message(number) for number in range(1, 501)])
    assert messages.is_read
    known = [number for number in range(1, 600) if messages.has(MessageId(number), erasures)]
    assert known == list(range(3, 503))
    assert len(known) == REACTABLE_LIMIT
    messages.note(message(503))
    assert [messages.has(MessageId(number), erasures) for number in (3, 4, 503)] == [False, True, True]


def test_one_that_was_taken_back_is_none_of_them_however_that_was() -> None:
    messages, erasures = ReactableMessages(0.0), Erasures()
    messages.read([message(1), message(2, 7), message(3, "Anonymous_1"), message(4, 7)])
    erasures.note([MessagesPurged(MessageId(9), MessageId(8), AT, UserId(7), "7", MessageId(3), UserId(9))])
    assert [messages.has(MessageId(number), erasures) for number in range(1, 5)] == [True, False, True, True]

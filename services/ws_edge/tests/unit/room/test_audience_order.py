"""Whatever happens meanwhile, each member is written each frame once, in its order, and behind it what is its own."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from audience_world import Loop, Reader
from hypothesis import given, settings, strategies as st

from ws_edge.room import audience as audience_module
from ws_edge.room.audience import Audience

PLACES = st.integers(0, 7)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("broadcast"), st.frozensets(PLACES, max_size=3)),
        st.tuples(st.just("broadcast_to_some"), st.frozensets(PLACES, max_size=3)),
        st.tuples(st.just("add"), st.booleans()),
        st.tuples(st.sampled_from(("keep_from", "discard", "write_waiting", "answer")), PLACES),
        st.tuples(st.just("end_turn"), st.none()),
        st.tuples(st.just("pass_time"), st.sampled_from((0.001, 0.01, 0.03, 1.0))),
    ),
    max_size=60,
)


@dataclass(eq=False)
class Expecting:
    """A member, and what it has to be written in the end."""

    reader: Reader = field(default_factory=Reader)
    expected: bytes = b""

    @property
    def got(self) -> bytes:
        return b"".join(self.reader.got)


class Story:
    """What happens to one audience."""

    def __init__(self, gather_s: float) -> None:
        self.loop = Loop()
        self.audience = Audience(self.loop, self.loop, lambda: gather_s)
        self.members: list[Expecting] = []
        self.number = 0

    def frame(self) -> bytes:
        self.number += 1
        return b"<%d>" % self.number

    def broadcast(self, places: frozenset[int]) -> None:
        self.send(self.frame(), places)

    def broadcast_to_some(self, places: frozenset[int]) -> None:
        self.send(b"", places)

    def send(self, frame: bytes, places: frozenset[int]) -> None:
        own = {self.members[place]: b"[%d]" % place + frame for place in places if place < len(self.members)}
        self.audience.broadcast(frame, {member.reader: copy for member, copy in own.items()})
        for member in self.members:
            member.expected += own.get(member, frame)

    def add(self, takes_compressed: bool) -> None:
        self.members.append(Expecting())
        self.audience.add(self.members[-1].reader, takes_compressed=takes_compressed)

    def keep_from(self, member: Expecting) -> None:
        frame, start = self.frame(), self.audience.waiting
        self.audience.broadcast(frame)
        self.audience.withhold(member.reader, start, start + 1)
        for other in self.members:
            other.expected += b"" if other is member else frame

    def discard(self, member: Expecting) -> None:
        self.audience.discard(member.reader)
        self.members.remove(member)
        assert member.expected.startswith(member.got)
        member.reader.is_gone = True

    def write_waiting(self, member: Expecting) -> None:
        self.audience.write_waiting(member.reader)
        assert member.got == member.expected

    def answer(self, member: Expecting) -> None:
        self.write_waiting(member)
        answer = self.frame()
        member.reader.write(answer)
        member.expected += answer

    def end_turn(self, _: None) -> None:
        self.loop.end_turn()

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def play(self, steps: Iterable[tuple[str, object]]) -> None:
        for name, what in steps:
            if name in ("keep_from", "discard", "write_waiting", "answer"):
                assert isinstance(what, int)
                if what < len(self.members):
                    getattr(self, name)(self.members[what])
            else:
                getattr(self, name)(what)


@pytest.mark.parametrize("gather_s", [0.0, 0.025])
@given(steps=STEPS)
@settings(max_examples=400, deadline=None)
def test_each_member_is_written_each_frame_once_and_in_order(gather_s: float, steps: list[tuple[str, object]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audience_module, "SLICE_MEMBERS", 2)
        patch.setattr(audience_module, "TURN_MEMBERS", 3)
        story = Story(gather_s)
        story.play([("add", False)] * 3 + [("add", True)] + steps)
        while story.loop.soon or story.loop.later:
            story.loop.rest()
            story.loop.pass_time(gather_s)
        for member in story.members:
            assert member.got == member.expected
        assert not story.audience._waiting._instead
        assert set(story.audience) == {member.reader for member in story.members}


def _refuse(_: bytes) -> None:
    raise RuntimeError("Cannot call write() after write_eof()")


@pytest.mark.parametrize("gather_s", [0.0, 0.025])
@pytest.mark.parametrize("has_own", [False, True])
def test_a_member_that_cannot_be_written_to_is_closed_alone(gather_s: float, has_own: bool) -> None:
    loop = Loop()
    audience = Audience(loop, loop, lambda: gather_s)
    readers = [Reader() for _ in range(3)]
    for reader in readers:
        reader.audience = audience
        audience.add(reader, _refuse if reader is readers[1] else None)
    for number in range(3):
        audience.broadcast(b"%d" % number, {readers[1]: b"own"} if has_own else None)
        loop.rest()
        loop.pass_time(gather_s)
    assert [b"".join(reader.got) for reader in readers] == [b"012", b"", b"012"]
    assert readers[1].is_left_behind
    assert not readers[0].is_left_behind


def test_a_member_whose_waiting_frames_cannot_be_written_is_closed() -> None:
    loop = Loop()
    audience = Audience(loop, loop)
    reader = Reader()
    reader.audience = audience
    audience.add(reader, _refuse)
    audience.broadcast(b"frame")
    audience.write_waiting(reader)
    assert reader.is_left_behind

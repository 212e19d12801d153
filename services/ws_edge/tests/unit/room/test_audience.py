"""Writing to many: once a turn, the same bytes, in order; who reads too slowly is left behind alone."""

from collections.abc import Callable

from ws_edge.protocol.codec import text_frame
from ws_edge.protocol.compression import inflate
from ws_edge.room.audience import STALL_LIMIT_S, UNSENT_LIMIT_BYTES, Audience


class Reader:
    """A member that keeps what it was written."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.unsent = 0
        self.is_left_behind = False
        self.audience: Audience | None = None

    def write(self, frames: bytes) -> None:
        self.got.append(frames)

    def unsent_bytes(self) -> int:
        return self.unsent

    def close_slow_consumer(self) -> None:
        self.is_left_behind = True
        assert self.audience is not None
        self.audience.discard(self)


class Turn:
    """A loop whose turn ends when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def end(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


def gather(*readers: Reader) -> tuple[Audience, Turn]:
    turn = Turn()
    audience = Audience(turn.call_soon)
    for reader in readers:
        reader.audience = audience
        audience.add(reader)
    return audience, turn


def test_frames_of_one_turn_are_written_once_and_joined() -> None:
    ana, ben = Reader(), Reader()
    audience, turn = gather(ana, ben)
    audience.broadcast(b"1")
    audience.broadcast(b"2")
    assert ana.got == []
    turn.end()
    assert ana.got == ben.got == [b"12"]
    assert ana.got[0] is ben.got[0]
    assert turn.waiting == []


def test_a_member_may_get_a_frame_of_its_own_or_none() -> None:
    ana, ben, cleo = Reader(), Reader(), Reader()
    audience, turn = gather(ana, ben, cleo)
    audience.broadcast(b"a")
    audience.broadcast(b"b", {ana: b"B", ben: b""})
    audience.broadcast(b"c", {ana: b""})
    turn.end()
    assert (ana.got, ben.got, cleo.got) == ([b"aB"], [b"ac"], [b"abc"])


def test_nothing_that_was_told_before_reaches_a_newcomer() -> None:
    ana, ben = Reader(), Reader()
    audience, turn = gather(ana)
    audience.broadcast(b"1")
    audience.add(ben)
    audience.broadcast(b"2")
    turn.end()
    assert (ana.got, ben.got) == ([b"1", b"2"], [b"2"])


def test_who_left_gets_nothing_any_more() -> None:
    ana, ben = Reader(), Reader()
    audience, turn = gather(ana, ben)
    audience.broadcast(b"1", {ana: b"x"})
    audience.discard(ana)
    turn.end()
    assert (ana.got, ben.got) == ([], [b"1"])
    assert ana not in audience
    assert list(audience) == [ben]


def test_an_empty_audience_schedules_nothing() -> None:
    audience, turn = gather()
    audience.broadcast(b"1")
    audience.flush()
    assert turn.waiting == []


def test_a_member_with_more_than_one_mebibyte_unsent_is_left_behind_alone() -> None:
    slow, quick = Reader(), Reader()
    audience, turn = gather(slow, quick)
    audience.congestion_changed(slow, True, now_s=0.0)
    slow.unsent = UNSENT_LIMIT_BYTES
    audience.broadcast(b"1")
    turn.end()
    assert not slow.is_left_behind
    slow.unsent += 1
    audience.broadcast(b"2")
    turn.end()
    assert slow.is_left_behind
    assert list(audience) == [quick]
    assert quick.got == [b"1", b"2"]


def test_a_member_that_lets_its_own_answers_pile_up_is_left_behind_in_a_silent_room() -> None:
    flood = Reader()
    audience, _ = gather(flood)
    flood.unsent = 1000
    audience.congestion_changed(flood, True, now_s=0.0)
    flood.unsent = UNSENT_LIMIT_BYTES + 1
    audience.check_progress(now_s=1.0)
    assert flood.is_left_behind


def test_a_member_that_takes_nothing_for_30_seconds_is_left_behind() -> None:
    slow = Reader()
    audience, _ = gather(slow)
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.check_progress(STALL_LIMIT_S - 1)
    slow.unsent = 900
    audience.check_progress(STALL_LIMIT_S)
    audience.check_progress(2 * STALL_LIMIT_S - 1)
    assert not slow.is_left_behind
    audience.check_progress(2 * STALL_LIMIT_S)
    assert slow.is_left_behind


def test_new_frames_do_not_hide_that_a_member_takes_none() -> None:
    slow = Reader()
    audience, turn = gather(slow)
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(b"x" * 10)
    turn.end()
    slow.unsent = 1010
    audience.check_progress(STALL_LIMIT_S)
    assert slow.is_left_behind


def test_a_member_whose_socket_takes_again_is_no_longer_watched() -> None:
    slow = Reader()
    audience, _ = gather(slow)
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.congestion_changed(slow, False, now_s=1.0)
    audience.check_progress(100.0)
    assert not slow.is_left_behind


def test_congestion_of_somebody_who_left_is_nobodys() -> None:
    slow = Reader()
    audience, _ = gather(slow)
    audience.discard(slow)
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.check_progress(100.0)
    assert not slow.is_left_behind


def test_who_is_given_much_at_once_may_take_its_time_for_that_and_for_no_more() -> None:
    slow = Reader()
    turn = Turn()
    audience = Audience(turn.call_soon)
    slow.audience = audience
    audience.add(slow, allowed_bytes=1000)
    audience.congestion_changed(slow, True, now_s=0.0)
    slow.unsent = UNSENT_LIMIT_BYTES + 1000
    audience.broadcast(b"1")
    turn.end()
    audience.check_progress(1.0)
    assert not slow.is_left_behind
    slow.unsent += 1
    audience.check_progress(2.0)
    assert slow.is_left_behind


def test_who_has_caught_up_is_held_to_the_limit_of_all() -> None:
    slow = Reader()
    turn = Turn()
    audience = Audience(turn.call_soon)
    slow.audience = audience
    audience.add(slow, allowed_bytes=1000)
    audience.check_progress(1.0)
    audience.congestion_changed(slow, True, now_s=2.0)
    slow.unsent = UNSENT_LIMIT_BYTES + 1
    audience.check_progress(3.0)
    assert slow.is_left_behind


def text(letter: str, size: int = 300) -> bytes:
    return text_frame(letter.encode() * size)


def compressing(size: int) -> tuple[Audience, Turn, list[Reader]]:
    """So many members who take compressed frames."""
    audience, turn = gather()
    readers = [Reader() for _ in range(size)]
    for reader in readers:
        reader.audience = audience
        audience.add(reader, takes_compressed=True)
    return audience, turn, readers


def told(raw: bytes) -> list[tuple[bool, bytes]]:
    """The frames in what was written: whether each was compressed, and its message."""
    frames = []
    while raw:
        size, head_bytes = (raw[1], 2) if raw[1] < 126 else (int.from_bytes(raw[2:4]), 4)
        is_compressed, payload = raw[0] == 0xC1, raw[head_bytes : head_bytes + size]
        frames.append((is_compressed, inflate(payload, 1000) if is_compressed else payload))
        raw = raw[head_bytes + size :]
    return frames


def test_where_32_negotiated_it_a_long_frame_is_compressed_once_for_them_all() -> None:
    audience, turn, readers = compressing(32)
    plain = Reader()
    audience.add(plain)
    audience.broadcast(text("a"))
    turn.end()
    assert plain.got == [text("a")]
    assert [told(b"".join(reader.got)) for reader in readers] == [[(True, b"a" * 300)]] * 32
    assert len({id(reader.got[0]) for reader in readers}) == 1
    assert len(audience) == 33
    assert set(audience) == {plain, *readers}


def test_where_fewer_negotiated_it_all_get_the_same_plain_bytes() -> None:
    audience, turn, readers = compressing(31)
    plain = [Reader() for _ in range(40)]
    for reader in plain:
        audience.add(reader)
    audience.broadcast(text("a"))
    turn.end()
    assert all(reader.got == [text("a")] for reader in (*plain, *readers))


def test_what_is_compressed_follows_who_is_there_when_it_is_written() -> None:
    audience, turn, readers = compressing(32)
    audience.broadcast(text("a"))
    audience.discard(readers[0])
    turn.end()
    assert readers[0].got == []
    assert readers[1].got == [text("a")]


def test_frames_under_256_bytes_and_own_copies_stay_plain_and_in_their_place() -> None:
    audience, turn, readers = compressing(33)
    shortest, longest_plain = text_frame(b"c" * 252), text_frame(b"b" * 251)
    assert (len(shortest), len(longest_plain)) == (256, 255)
    audience.broadcast(text("a"), {readers[0]: text("A")})
    audience.broadcast(longest_plain)
    audience.broadcast(shortest, {readers[1]: b""})
    audience.broadcast(text("d"))
    turn.end()
    of_all = [(True, b"a" * 300), (False, b"b" * 251), (True, b"c" * 252), (True, b"d" * 300)]
    assert all(len(reader.got) == 1 for reader in readers)
    assert told(readers[0].got[0]) == [(False, b"A" * 300), *of_all[1:]]
    assert told(readers[1].got[0]) == [*of_all[:2], of_all[3]]
    assert all(told(reader.got[0]) == of_all for reader in readers[2:])


def test_who_takes_compressed_frames_leaves_and_reads_too_slowly_like_everybody() -> None:
    audience, turn, readers = compressing(33)
    gone, slow = readers[:2]
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(text("a"))
    audience.discard(gone)
    slow.unsent = UNSENT_LIMIT_BYTES + 1
    turn.end()
    assert gone.got == []
    assert slow.is_left_behind
    assert set(audience) == set(readers[2:])


def test_compressed_frames_do_not_hide_either_that_a_member_takes_none() -> None:
    audience, turn, readers = compressing(32)
    slow = readers[0]
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(text("a"))
    turn.end()
    slow.unsent += len(slow.got[0])
    audience.check_progress(STALL_LIMIT_S)
    assert slow.is_left_behind

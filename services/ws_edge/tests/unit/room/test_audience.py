"""Writing to many: once a turn, the same bytes, in order; who reads too slowly is left behind alone."""

from itertools import pairwise

import pytest
from audience_world import Loop, Reader

from ws_edge.protocol.codec import text_frame
from ws_edge.protocol.compression import inflate
from ws_edge.room.audience import (
    GATHERED_BYTES_LIMIT,
    GATHERED_FRAMES_LIMIT,
    QUIET_S,
    SLICE_MEMBERS,
    STALL_LIMIT_S,
    UNSENT_LIMIT_BYTES,
    Audience,
)


def gather(*readers: Reader, gather_s: float = 0.0) -> tuple[Audience, Loop]:
    loop = Loop()
    audience = Audience(loop, loop, lambda: gather_s)
    for reader in readers:
        reader.audience = audience
        audience.add(reader)
    return audience, loop


def test_frames_of_one_turn_are_written_once_and_joined() -> None:
    ana, ben = Reader(), Reader()
    audience, loop = gather(ana, ben)
    audience.broadcast(b"1")
    audience.broadcast(b"2")
    assert ana.got == []
    loop.end_turn()
    assert ana.got == ben.got == [b"12"]
    assert ana.got[0] is ben.got[0]
    assert loop.soon == []


def test_a_member_may_get_a_frame_of_its_own_or_none() -> None:
    ana, ben, cleo = Reader(), Reader(), Reader()
    audience, loop = gather(ana, ben, cleo)
    audience.broadcast(b"a")
    audience.broadcast(b"b", {ana: b"B", ben: b""})
    audience.broadcast(b"c", {ana: b""})
    loop.end_turn()
    assert (ana.got, ben.got, cleo.got) == ([b"aB"], [b"ac"], [b"abc"])


def test_nothing_that_was_told_before_reaches_a_newcomer() -> None:
    ana, ben = Reader(), Reader()
    audience, loop = gather(ana)
    audience.broadcast(b"1")
    audience.add(ben)
    audience.broadcast(b"2")
    loop.end_turn()
    assert (ana.got, ben.got) == ([b"12"], [b"2"])


def test_who_left_gets_nothing_any_more() -> None:
    ana, ben = Reader(), Reader()
    audience, loop = gather(ana, ben)
    audience.broadcast(b"1", {ana: b"x"})
    audience.discard(ana)
    loop.end_turn()
    assert (ana.got, ben.got) == ([], [b"1"])
    assert ana not in audience
    assert list(audience) == [ben]


def test_an_empty_audience_schedules_nothing() -> None:
    audience, loop = gather()
    audience.broadcast(b"1")
    assert loop.soon == []


def test_a_member_with_more_than_one_mebibyte_unsent_is_left_behind_alone() -> None:
    slow, quick = Reader(), Reader()
    audience, loop = gather(slow, quick)
    audience.congestion_changed(slow, True, now_s=0.0)
    slow.unsent = UNSENT_LIMIT_BYTES
    audience.broadcast(b"1")
    loop.end_turn()
    assert not slow.is_left_behind
    slow.unsent += 1
    audience.broadcast(b"2")
    loop.end_turn()
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
    audience, loop = gather(slow)
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(b"x" * 10)
    loop.end_turn()
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
    loop = Loop()
    audience = Audience(loop, loop)
    slow.audience = audience
    audience.add(slow, allowed_bytes=1000)
    audience.congestion_changed(slow, True, now_s=0.0)
    slow.unsent = UNSENT_LIMIT_BYTES + 1000
    audience.broadcast(b"1")
    loop.end_turn()
    audience.check_progress(1.0)
    assert not slow.is_left_behind
    slow.unsent += 1
    audience.check_progress(2.0)
    assert slow.is_left_behind


def test_who_has_caught_up_is_held_to_the_limit_of_all() -> None:
    slow = Reader()
    loop = Loop()
    audience = Audience(loop, loop)
    slow.audience = audience
    audience.add(slow, allowed_bytes=1000)
    audience.check_progress(1.0)
    audience.congestion_changed(slow, True, now_s=2.0)
    slow.unsent = UNSENT_LIMIT_BYTES + 1
    audience.check_progress(3.0)
    assert slow.is_left_behind


def text(letter: str, size: int = 300) -> bytes:
    return text_frame(letter.encode() * size)


def compressing(size: int) -> tuple[Audience, Loop, list[Reader]]:
    """So many members who take compressed frames."""
    audience, loop = gather()
    readers = [Reader() for _ in range(size)]
    for reader in readers:
        reader.audience = audience
        audience.add(reader, takes_compressed=True)
    return audience, loop, readers


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
    audience, loop, readers = compressing(32)
    plain = Reader()
    audience.add(plain)
    audience.broadcast(text("a"))
    loop.end_turn()
    assert plain.got == [text("a")]
    assert [told(b"".join(reader.got)) for reader in readers] == [[(True, b"a" * 300)]] * 32
    assert len({id(reader.got[0]) for reader in readers}) == 1
    assert len(audience) == 33
    assert set(audience) == {plain, *readers}


def test_where_fewer_negotiated_it_all_get_the_same_plain_bytes() -> None:
    audience, loop, readers = compressing(31)
    plain = [Reader() for _ in range(40)]
    for reader in plain:
        audience.add(reader)
    audience.broadcast(text("a"))
    loop.end_turn()
    assert all(reader.got == [text("a")] for reader in (*plain, *readers))


def test_what_is_compressed_follows_who_is_there_when_it_is_written() -> None:
    audience, loop, readers = compressing(32)
    audience.broadcast(text("a"))
    audience.discard(readers[0])
    loop.end_turn()
    assert readers[0].got == []
    assert readers[1].got == [text("a")]


def test_frames_under_256_bytes_and_own_copies_stay_plain_and_in_their_place() -> None:
    audience, loop, readers = compressing(33)
    shortest, longest_plain = text_frame(b"c" * 252), text_frame(b"b" * 251)
    assert (len(shortest), len(longest_plain)) == (256, 255)
    audience.broadcast(text("a"), {readers[0]: text("A")})
    audience.broadcast(longest_plain)
    audience.broadcast(shortest, {readers[1]: b""})
    audience.broadcast(text("d"))
    loop.end_turn()
    of_all = [(True, b"a" * 300), (False, b"b" * 251), (True, b"c" * 252), (True, b"d" * 300)]
    assert all(len(reader.got) == 1 for reader in readers)
    assert told(readers[0].got[0]) == [(False, b"A" * 300), *of_all[1:]]
    assert told(readers[1].got[0]) == [*of_all[:2], of_all[3]]
    assert all(told(reader.got[0]) == of_all for reader in readers[2:])


def test_who_takes_compressed_frames_leaves_and_reads_too_slowly_like_everybody() -> None:
    audience, loop, readers = compressing(33)
    gone, slow = readers[:2]
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(text("a"))
    audience.discard(gone)
    slow.unsent = UNSENT_LIMIT_BYTES + 1
    loop.end_turn()
    assert gone.got == []
    assert slow.is_left_behind
    assert set(audience) == set(readers[2:])


def test_compressed_frames_do_not_hide_either_that_a_member_takes_none() -> None:
    audience, loop, readers = compressing(32)
    slow = readers[0]
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(text("a"))
    loop.end_turn()
    slow.unsent += len(slow.got[0])
    audience.check_progress(STALL_LIMIT_S)
    assert slow.is_left_behind


def crowd(size: int, gather_s: float = 0.0) -> tuple[Audience, Loop, list[Reader]]:
    readers = [Reader() for _ in range(size)]
    audience, loop = gather(*readers, gather_s=gather_s)
    return audience, loop, readers


def written(readers: list[Reader]) -> list[bytes]:
    """The different things that they were written, joined; one where all have the same."""
    return sorted({b"".join(reader.got) for reader in readers})


def test_thousands_are_written_to_a_thousand_in_a_turn_and_what_comes_meanwhile_goes_behind_it() -> None:
    audience, loop, readers = crowd(2200)
    audience.broadcast(b"1")
    counts = []
    while loop.soon:
        loop.end_turn()
        counts.append(sum(bool(reader.got) for reader in readers))
        if len(counts) == 1:
            audience.broadcast(b"2")
    assert counts[:3] == [1000, 2000, 2200]
    assert written(readers) == [b"12"]
    assert len({id(reader.got[0]) for reader in readers[:1000]}) == 1


def test_a_first_frame_after_a_quiet_time_is_not_gathered_and_what_follows_is() -> None:
    audience, loop, readers = crowd(1200, gather_s=0.06)
    audience.broadcast(b"1")
    loop.rest()
    assert written(readers) == [b"1"]
    audience.broadcast(b"2")
    loop.rest()
    assert audience.is_gathering
    assert written(readers) == [b"1"]
    audience.broadcast(b"3")
    loop.pass_time(0.06)
    assert written(readers) == [b"123"]
    assert max(len(reader.got) for reader in readers) == 2
    loop.pass_time(QUIET_S)
    audience.broadcast(b"4")
    assert not audience.is_gathering
    loop.rest()
    assert written(readers) == [b"1234"]


def test_gathered_frames_come_to_each_slice_in_a_turn_of_its_own_within_the_time() -> None:
    audience, loop, readers = crowd(3 * SLICE_MEMBERS, gather_s=0.03)
    audience.broadcast(b"0")
    loop.rest()
    turns: list[int] = []
    for step in range(12):
        audience.broadcast(b"x")
        loop.pass_time(0.01)
        turns.append(sum(len(reader.got) for reader in readers))
        assert min(len(b"".join(reader.got)) for reader in readers) > step - 3
    assert [later - earlier for earlier, later in pairwise(turns)] == [SLICE_MEMBERS] * 11


def test_a_slice_that_takes_longer_than_its_turn_does_not_put_off_the_others() -> None:
    audience, loop, readers = crowd(3 * SLICE_MEMBERS, gather_s=0.03)
    audience.broadcast(b"0")
    loop.rest()
    audience.broadcast(b"1")
    loop.time_s += 0.025
    loop.pass_time(0.0)
    assert sum(len(reader.got) for reader in readers) == (3 + 2) * SLICE_MEMBERS
    loop.pass_time(0.01)
    assert written(readers) == [b"01"]


@pytest.mark.parametrize(
    ("frame", "own", "count"),
    [
        (b"x" * (GATHERED_BYTES_LIMIT // 4), b"x", 5),
        (b"", b"x" * (GATHERED_BYTES_LIMIT // 4), 5),
        (b"x", b"", GATHERED_FRAMES_LIMIT),
    ],
)
def test_so_much_is_gathered_and_no_more(frame: bytes, own: bytes, count: int) -> None:
    audience, loop, readers = crowd(1200, gather_s=10.0)
    audience.broadcast(b"1")
    loop.rest()
    for number in range(count):
        assert audience.is_gathering is (number > 0)
        audience.broadcast(frame, {readers[1150]: own})
    assert not audience.is_gathering
    loop.rest()
    assert written([*readers[:1150], *readers[1151:]]) == [b"1" + frame * count]
    assert b"".join(readers[1150].got) == b"1" + own * count
    audience.broadcast(b"2")
    assert audience.is_gathering


def test_who_is_written_what_waits_has_everything_and_gets_it_no_second_time() -> None:
    audience, loop, readers = crowd(3, gather_s=0.03)
    ana, ben, cleo = readers
    audience.broadcast(b"0")
    loop.rest()
    audience.write_waiting(ana)
    assert ana.got == [b"0"]
    audience.broadcast(b"1", {ana: b"A"})
    audience.write_waiting(ana)
    audience.write_waiting(ana)
    audience.write_waiting(Reader())
    assert (ana.got, ben.got) == ([b"0", b"A"], [b"0"])
    ana.write(b"answer")
    audience.broadcast(b"2", {ben: b"B"})
    audience.withhold(cleo, audience.waiting - 1, audience.waiting)
    audience.withhold(Reader(), 0, 1)
    loop.pass_time(0.03)
    assert [b"".join(reader.got) for reader in readers] == [b"0Aanswer2", b"01B", b"01"]


def test_who_leaves_while_others_are_written_to_gets_nothing_any_more() -> None:
    audience, loop, readers = crowd(1001)
    audience.broadcast(b"1")
    loop.end_turn()
    audience.discard(readers[1000])
    loop.rest()
    assert readers[1000].got == []
    for reader in readers[:1000]:
        audience.discard(reader)
    assert (len(audience), audience.waiting) == (0, 1)


def test_when_all_have_left_what_was_gathered_is_nobodys() -> None:
    audience, loop, (ana,) = crowd(1, gather_s=0.03)
    audience.broadcast(b"1")
    loop.rest()
    audience.broadcast(b"2")
    audience.discard(ana)
    ben = Reader()
    audience.add(ben)
    loop.pass_time(0.03)
    assert (ana.got, ben.got) == ([b"1"], [])
    audience.broadcast(b"3")
    loop.pass_time(0.03)
    assert ben.got == [b"3"]


def test_what_a_member_was_written_alone_counts_for_its_bounds_as_well() -> None:
    audience, loop, (slow, other) = crowd(2, gather_s=0.03)
    audience.broadcast(b"1")
    loop.rest()
    slow.unsent = 1000
    audience.congestion_changed(slow, True, now_s=0.0)
    audience.broadcast(b"x" * 10)
    audience.write_waiting(slow)
    slow.unsent = 1010
    audience.broadcast(b"y" * 10, {slow: b"z" * 20})
    loop.pass_time(0.03)
    slow.unsent = 1030
    audience.check_progress(STALL_LIMIT_S)
    assert slow.is_left_behind
    audience.congestion_changed(other, True, now_s=0.0)
    other.unsent = UNSENT_LIMIT_BYTES + 1
    audience.broadcast(b"1")
    audience.write_waiting(other)
    assert other.is_left_behind


def test_frames_may_go_a_shorter_way_than_answers() -> None:
    audience, loop = gather()
    ana, way = Reader(), list[bytes]()
    audience.add(ana, way.append)
    audience.broadcast(b"1")
    audience.write_waiting(ana)
    audience.broadcast(b"2")
    loop.rest()
    assert (ana.got, way) == ([], [b"1", b"2"])

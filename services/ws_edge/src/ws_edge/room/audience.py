"""Writing to many: the frames of one loop turn, or of a longer while in a crowded room, are joined once, and the same
bytes go to every member."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Protocol

import structlog

from ws_edge.ports import Clock, Timer, Timers
from ws_edge.protocol.identity import Life
from ws_edge.room.member import Member
from ws_edge.room.waiting_frames import WaitingFrames

_log = structlog.get_logger(__name__)

UNSENT_LIMIT_BYTES = 1 << 20
STALL_LIMIT_S = 30.0
COMPRESS_FROM_MEMBERS = 32
SLICE_MEMBERS = 500
"""Written to at a time."""
TURN_MEMBERS = 1000
"""Written to in one turn of the loop at most: some 5 ms."""
QUIET_S = 0.5
"""What comes after so long without any frame is not gathered."""
GATHERED_BYTES_LIMIT = 64 * 1024
GATHERED_FRAMES_LIMIT = 256
"""With so much nothing more is waited for: to one member it is far below what may be unsent."""


class Participants(Protocol):
    """Whose connections are whose, on this worker."""

    def of_participant(self, key: str) -> Iterable[Member]:
        """The connections of one participant, in whatever room."""

    def named(self, life: Life, names: Set[str]) -> Mapping[str, Sequence[Member]]:
        """The connections of one life whose names are these in lower case."""


Writers = dict[Member, Callable[[bytes], None]]
_NONE: Mapping[Member, bytes] = {}


class _Congestion:
    """The progress of a congested member: `taken_bytes` is what the kernel took of what was written since."""

    __slots__ = ("progressed_at_s", "taken_bytes", "written_bytes")

    def __init__(self, unsent_bytes: int, now_s: float) -> None:
        self.written_bytes = unsent_bytes
        self.taken_bytes = 0
        self.progressed_at_s = now_s


class _Slice:
    """Members who are written to at the same time."""

    __slots__ = ("position", "takes_compressed", "writers")

    def __init__(self, position: int, *, takes_compressed: bool) -> None:
        self.position = position
        """Of the first frame that they were not written yet."""
        self.takes_compressed = takes_compressed
        self.writers: Writers = {}


class Audience:
    """Members in slices, and the frames that wait for them.

    Frames are written at the end of the loop turn, to TURN_MEMBERS in one turn. Where `gather_s` says so they are
    gathered: each slice has its turn within every so many seconds, and is written what came since its last one. Who is
    to be written something alone is written what waits for them first, see `write_waiting`.
    """

    __slots__ = (
        "_allowed_bytes",
        "_clock",
        "_congested",
        "_gather_s",
        "_is_scheduled",
        "_next_slice",
        "_slices",
        "_soon_to",
        "_timer",
        "_timers",
        "_turn_s",
        "_waiting",
        "_written_at_s",
    )

    def __init__(self, clock: Clock, timers: Timers, gather_s: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._timers = timers
        self._gather_s = gather_s
        self._slices: list[_Slice] = []
        """None of them is empty."""
        self._waiting = WaitingFrames()
        self._is_scheduled = False
        """What waits is going to be written."""
        self._timer: Timer | None = None
        """While frames are gathered: the turn of the next slice."""
        self._turn_s = 0.0
        """When that turn is, or the last one was."""
        self._next_slice = 0
        self._soon_to = 0
        """Up to this position nothing is gathered."""
        self._written_at_s = float("-inf")
        self._congested: dict[Member, _Congestion] = {}
        self._allowed_bytes: dict[Member, int] = {}
        """What a member may have unsent above the limit, until it has caught up."""

    def __len__(self) -> int:
        return sum(len(part.writers) for part in self._slices)

    def __iter__(self) -> Iterator[Member]:
        for part in self._slices:
            yield from part.writers

    def add(
        self,
        member: Member,
        write: Callable[[bytes], None] | None = None,
        *,
        takes_compressed: bool = False,
        allowed_bytes: int = 0,
    ) -> None:
        """The member gets what is sent from now on, by `write` if there is a shorter way than its own; what waits is
        for the others. `allowed_bytes`: what it is written at once, which it may take its time for."""
        for part in self._slices:
            if part.takes_compressed is takes_compressed and len(part.writers) < SLICE_MEMBERS:
                if part.position < self._waiting.end:
                    self._waiting.skip(member)
                break
        else:
            part = _Slice(self._waiting.end, takes_compressed=takes_compressed)
            self._slices.append(part)
        part.writers[member] = write or member.write
        if allowed_bytes:
            self._allowed_bytes[member] = allowed_bytes

    def discard(self, member: Member) -> None:
        """The member gets nothing any more, not even what waits."""
        part = self._slice_of(member)
        if part is not None:
            del part.writers[member]
            if not part.writers:
                self._slices.remove(part)
                self._drop_written()
        self._waiting.forget(member)
        self._congested.pop(member, None)
        self._allowed_bytes.pop(member, None)

    def broadcast(self, frame: bytes, instead: Mapping[Member, bytes] | None = None) -> None:
        """Send a frame to all, with others that come about the same time; those in `instead` get that in its place, b""
        for nothing."""
        if not self._slices:
            return
        if instead:
            instead = {member: own for member, own in instead.items() if self._slice_of(member) is not None}
        self._waiting.append(frame, instead or _NONE)
        if not self._is_scheduled:
            self._schedule()
        elif self._timer is not None and (
            self._waiting.size_bytes > GATHERED_BYTES_LIMIT or len(self._waiting) >= GATHERED_FRAMES_LIMIT
        ):
            self._timer.cancel()
            self._timer = None
            self._write_soon()

    @property
    def waiting(self) -> int:
        """The position of the next frame."""
        return self._waiting.end

    @property
    def is_gathering(self) -> bool:
        """Whether what waits does so for longer than this turn."""
        return self._timer is not None

    def withhold(self, member: Member, start: int, stop: int) -> None:
        """Of the frames that wait, the member does not get those from `start` to before `stop`."""
        if self._slice_of(member) is not None:
            self._waiting.withhold(member, start, stop)

    def write_waiting(self, member: Member) -> None:
        """Write what waits for this member, now: what it is written next comes behind all that was sent before."""
        part = self._slice_of(member) if self._waiting else None
        if part is None or part.position == self._waiting.end:
            return
        is_compressed = part.takes_compressed and self._pays_compression()
        frames = self._waiting.of(member, part.position, is_compressed=is_compressed)
        self._waiting.skip(member)
        if frames:
            if not _succeeds(part.writers[member], frames):
                self._close(member)
            elif member in self._congested:
                self._bound(member, len(frames))

    def congestion_changed(self, member: Member, is_congested: bool, *, now_s: float) -> None:
        """Watch a member whose socket does not take what is written, until it does again."""
        if not is_congested:
            self._congested.pop(member, None)
        elif self._slice_of(member) is not None:
            self._congested[member] = _Congestion(member.unsent_bytes(), now_s)

    def check_progress(self, now_s: float) -> None:
        """Close the slow consumers: who took nothing for 30 s, or has too much unsent, be it of their own answers.
        Called about once a second."""
        for caught_up in [member for member in self._allowed_bytes if member not in self._congested]:
            del self._allowed_bytes[caught_up]
        for member, congestion in list(self._congested.items()):
            unsent_bytes = member.unsent_bytes()
            taken = congestion.written_bytes - unsent_bytes
            if unsent_bytes > self._limit_of(member):
                self._close(member)
            elif taken > congestion.taken_bytes:
                congestion.taken_bytes = taken
                congestion.progressed_at_s = now_s
            elif now_s - congestion.progressed_at_s >= STALL_LIMIT_S:
                self._close(member)

    def _slice_of(self, member: Member) -> _Slice | None:
        for part in self._slices:
            if member in part.writers:
                return part
        return None

    def _pays_compression(self) -> bool:
        return sum(len(part.writers) for part in self._slices if part.takes_compressed) >= COMPRESS_FROM_MEMBERS

    def _schedule(self) -> None:
        self._is_scheduled = True
        gather_s = self._gather_s()
        if gather_s and (now_s := self._clock.now_s()) - self._written_at_s < QUIET_S:
            self._turn_s = max(now_s, self._turn_s + gather_s / len(self._slices))
            self._timer = self._timers.call_later(self._turn_s - now_s, self._write_next)
        else:
            self._write_soon()

    def _write_soon(self) -> None:
        """Everybody is to have what there is at the end of this loop turn."""
        self._soon_to = self._waiting.end
        self._timers.call_soon(self._write_turn)

    def _write_next(self) -> None:
        """The next slice has its turn."""
        self._timer = None
        if self._slices:
            self._next_slice = (self._next_slice + 1) % len(self._slices)
            self._write(self._slices[self._next_slice])
        self._written_at_s = self._clock.now_s()
        self._go_on()

    def _write_turn(self) -> None:
        """Write to so many as one turn of the loop may be taken for."""
        left = TURN_MEMBERS
        for part in tuple(self._slices):
            if part.position < self._soon_to:
                if left <= 0:
                    self._timers.call_soon(self._write_turn)
                    return
                self._write(part)
                left -= len(part.writers)
        self._turn_s = self._written_at_s = self._clock.now_s()
        self._go_on()

    def _go_on(self) -> None:
        """Where something still waits, or came meanwhile, it has its turn too."""
        self._is_scheduled = False
        if self._waiting:
            self._schedule()

    def _write(self, part: _Slice) -> None:
        waiting, writers, position = self._waiting, part.writers, part.position
        if position == waiting.end:
            return
        is_compressed = part.takes_compressed and self._pays_compression()
        frames = waiting.of_all(position, is_compressed=is_compressed)
        with_own = waiting.with_own(writers.keys())
        failed = _write_to_all(writers, frames, with_own) if frames else []
        written_bytes = dict.fromkeys(self._congested.keys() & writers.keys(), len(frames)) if self._congested else {}
        for member in with_own:
            own = waiting.of(member, position, is_compressed=is_compressed)
            waiting.forget(member)
            if own and not _succeeds(writers[member], own):
                failed.append(member)
            if member in written_bytes:
                written_bytes[member] = len(own)
        part.position = waiting.end
        self._drop_written()
        for member in failed:
            written_bytes.pop(member, None)
            self._close(member)
        for member, size_bytes in written_bytes.items():
            self._bound(member, size_bytes)

    def _drop_written(self) -> None:
        slices = self._slices
        if len(slices) == 1:
            self._waiting.drop_before(slices[0].position)
        else:
            self._waiting.drop_before(min((part.position for part in slices), default=self._waiting.end))

    def _bound(self, member: Member, written_bytes: int) -> None:
        """Close who has more than 1 MiB unsent."""
        self._congested[member].written_bytes += written_bytes
        if member.unsent_bytes() > self._limit_of(member):
            self._close(member)

    def _close(self, member: Member) -> None:
        """What waits for a slow consumer would not reach it."""
        self.discard(member)
        member.close_slow_consumer()

    def _limit_of(self, member: Member) -> int:
        return UNSENT_LIMIT_BYTES + self._allowed_bytes.get(member, 0)


def _write_to_all(writers: Writers, frames: bytes, but: Set[Member]) -> list[Member]:
    """Who could not be written to: one member's fault must not reach the others."""
    failed: list[Member] = []
    for member, write in writers.items():
        if member not in but:
            try:
                write(frames)
            except Exception:  # noqa: BLE001 - whatever it was, it is this member's alone
                _log.exception("member_not_written")
                failed.append(member)
    return failed


def _succeeds(write: Callable[[bytes], None], frames: bytes) -> bool:
    try:
        write(frames)
    except Exception:  # noqa: BLE001 - whatever it was, it is this member's alone
        _log.exception("member_not_written")
        return False
    return True

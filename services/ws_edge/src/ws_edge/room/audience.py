"""Writing to many: all frames of one loop turn are joined once, and the same bytes go to every member."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Protocol

from ws_edge.protocol.compression import compressed
from ws_edge.protocol.identity import Life

UNSENT_LIMIT_BYTES = 1 << 20
STALL_LIMIT_S = 30.0
COMPRESS_FROM_MEMBERS = 32
COMPRESS_FROM_BYTES = 256

Writers = dict["Member", Callable[[bytes], None]]
Replacement = tuple[int, int, bytes]
"""What a member gets in place of the frames from a position to before another one."""


class Member(Protocol):
    """A connection that frames are written to. Compared by identity."""

    def write(self, frames: bytes) -> None:
        """Send whole frames; never waits."""

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def close_slow_consumer(self) -> None:
        """This member reads too slowly: close it, which takes it out of the audience first."""


class Participants(Protocol):
    """Whose connections are whose, on this worker."""

    def of_participant(self, key: str) -> Iterable[Member]:
        """The connections of one participant, in whatever room."""

    def named(self, life: Life, names: Set[str]) -> Mapping[str, Sequence[Member]]:
        """The connections of one life whose names are these in lower case."""


class _Congestion:
    """The progress of a congested member: `taken_bytes` is what the kernel took of what was written since."""

    __slots__ = ("progressed_at_s", "taken_bytes", "written_bytes")

    def __init__(self, unsent_bytes: int, now_s: float) -> None:
        self.written_bytes = unsent_bytes
        self.taken_bytes = 0
        self.progressed_at_s = now_s


class Audience:
    """Members in the order they came, those who take compressed frames behind the others; and the frames that wait for
    the end of this loop turn."""

    __slots__ = ("_allowed_bytes", "_call_soon", "_congested", "_frames", "_inflating", "_instead", "_writers")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._writers: Writers = {}
        self._inflating: Writers = {}
        self._frames: list[bytes] = []
        self._instead: dict[Member, list[Replacement]] = {}
        self._congested: dict[Member, _Congestion] = {}
        self._allowed_bytes: dict[Member, int] = {}
        """What a member may have unsent above the limit, until it has caught up."""

    def __len__(self) -> int:
        return len(self._writers) + len(self._inflating)

    def __iter__(self) -> Iterator[Member]:
        return chain(self._writers, self._inflating)

    def add(self, member: Member, *, takes_compressed: bool = False, allowed_bytes: int = 0) -> None:
        """The member gets what is sent from now on; what waits goes to the others first. `allowed_bytes`: what it is
        written at once, which it may take its time for."""
        self.flush()
        writers = self._inflating if takes_compressed else self._writers
        writers[member] = member.write
        if allowed_bytes:
            self._allowed_bytes[member] = allowed_bytes

    def discard(self, member: Member) -> None:
        """The member gets nothing any more, not even what waits."""
        self._writers.pop(member, None)
        self._inflating.pop(member, None)
        self._congested.pop(member, None)
        self._allowed_bytes.pop(member, None)
        self._instead.pop(member, None)

    def broadcast(self, frame: bytes, instead: Mapping[Member, bytes] | None = None) -> None:
        """Send a frame to all at the end of this turn; those in `instead` get that in its place, b"" for nothing."""
        if not self._writers and not self._inflating:
            return
        if not self._frames:
            self._call_soon(self.flush)
        if instead:
            for member, own in instead.items():
                self._instead.setdefault(member, []).append((len(self._frames), len(self._frames) + 1, own))
        self._frames.append(frame)

    @property
    def waiting(self) -> int:
        """How many frames wait: the position of the next one."""
        return len(self._frames)

    def withhold(self, member: Member, start: int, stop: int) -> None:
        """Of the frames that wait, the member does not get those from `start` to before `stop`."""
        self._instead.setdefault(member, []).append((start, stop, b""))

    def flush(self) -> None:
        """Write what waits, now."""
        if not self._frames:
            return
        frames, self._frames = self._frames, []
        instead, self._instead = self._instead, {}
        plain_bytes = _write(self._writers, frames, instead)
        compressed_bytes = _write(self._inflating, self._compressed(frames), instead) if self._inflating else 0
        if self._congested:
            self._bound(plain_bytes, compressed_bytes)

    def congestion_changed(self, member: Member, is_congested: bool, *, now_s: float) -> None:
        """Watch a member whose socket does not take what is written, until it does again."""
        if not is_congested:
            self._congested.pop(member, None)
        elif member in self._writers or member in self._inflating:
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
                member.close_slow_consumer()
            elif taken > congestion.taken_bytes:
                congestion.taken_bytes = taken
                congestion.progressed_at_s = now_s
            elif now_s - congestion.progressed_at_s >= STALL_LIMIT_S:
                member.close_slow_consumer()

    def _compressed(self, frames: list[bytes]) -> list[bytes]:
        """Each once and in a frame of its own, where that pays; the same frames otherwise."""
        if len(self._inflating) < COMPRESS_FROM_MEMBERS:
            return frames
        return [compressed(frame) if len(frame) >= COMPRESS_FROM_BYTES else frame for frame in frames]

    def _bound(self, plain_bytes: int, compressed_bytes: int) -> None:
        """Close who has more than 1 MiB unsent."""
        for member, congestion in list(self._congested.items()):
            congestion.written_bytes += compressed_bytes if member in self._inflating else plain_bytes
            if member.unsent_bytes() > self._limit_of(member):
                member.close_slow_consumer()

    def _limit_of(self, member: Member) -> int:
        return UNSENT_LIMIT_BYTES + self._allowed_bytes.get(member, 0)


def _write(writers: Writers, frames: list[bytes], instead: Mapping[Member, list[Replacement]]) -> int:
    """How much each was written, but for those who have frames of their own."""
    joined = frames[0] if len(frames) == 1 else b"".join(frames)
    if not joined:
        for member in instead.keys() & writers.keys():
            writers[member](_with_own(frames, instead[member]))
    elif not instead:
        for write in writers.values():
            write(joined)
    else:
        for member, write in writers.items():
            write(joined if member not in instead else _with_own(frames, instead[member]))
    return len(joined)


def _with_own(frames: list[bytes], instead: list[Replacement]) -> bytes:
    """In whatever order the replacements are, and where two of them leave out the same frame."""
    parts: list[bytes] = []
    position = 0
    for start, stop, own in sorted(instead):
        parts += frames[position:start]
        parts.append(own)
        position = max(position, stop)
    return b"".join((*parts, *frames[position:]))

"""The frames of a room that not all of its members were written yet."""

from collections.abc import Iterable, Mapping, Set

from ws_edge.protocol.compression import compressed
from ws_edge.room.member import Member

COMPRESS_FROM_BYTES = 256

Replacement = tuple[int, int, bytes]
"""What a member gets in place of the frames from a position to before another one."""
_NOTHING = (0, 0, False, b"")
_NOBODY: frozenset[Member] = frozenset()


class WaitingFrames:
    """Each frame has a position, which rises by one from frame to frame for as long as the room is held."""

    __slots__ = ("_compressed", "_first", "_frames", "_instead", "_joined", "_sizes", "end", "size_bytes")

    def __init__(self) -> None:
        self._first = 0
        self.end = 0
        """The position of the next one."""
        self._frames: list[bytes] = []
        self._compressed: list[bytes] = []
        """Of the first ones; made when somebody is written them."""
        self._sizes: list[int] = []
        self.size_bytes = 0
        """At least what the member has waiting who has most."""
        self._instead: dict[Member, list[Replacement]] = {}
        self._joined = _NOTHING

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, frame: bytes, instead: Mapping[Member, bytes]) -> None:
        """A frame for all; those in `instead` get that in its place."""
        end, size_bytes = self.end, len(frame)
        for member, own in instead.items():
            self._instead.setdefault(member, []).append((end, end + 1, own))
            size_bytes = max(size_bytes, len(own))
        self._frames.append(frame)
        self._sizes.append(size_bytes)
        self.size_bytes += size_bytes
        self.end = end + 1

    def withhold(self, member: Member, start: int, stop: int) -> None:
        """The member does not get those from `start` to before `stop`."""
        self._instead.setdefault(member, []).append((start, stop, b""))

    def skip(self, member: Member) -> None:
        """The member does not get anything that waits, or has it."""
        self._instead[member] = [(0, self.end, b"")]

    def forget(self, member: Member) -> None:
        """The member is gone, or gets again what everybody does."""
        self._instead.pop(member, None)

    def with_own(self, members: Set[Member]) -> Set[Member]:
        """Those of them who get something else than the others."""
        return self._instead.keys() & members if self._instead else _NOBODY

    def of_all(self, position: int, *, is_compressed: bool) -> bytes:
        """What who has all before that position is to be written: the same bytes for everybody."""
        if position == self.end - 1 and not is_compressed:
            return self._frames[-1]
        wanted = (position, self.end, is_compressed)
        if self._joined[:3] != wanted:
            self._joined = (*wanted, b"".join(self._from(position, is_compressed=is_compressed)))
        return self._joined[3]

    def of(self, member: Member, position: int, *, is_compressed: bool) -> bytes:
        """The same for one member."""
        instead = self._instead.get(member)
        if instead is None:
            return self.of_all(position, is_compressed=is_compressed)
        return _with_own(position, self._from(position, is_compressed=is_compressed), instead)

    def drop_before(self, position: int) -> None:
        """Everybody has those."""
        count = position - self._first
        if count <= 0:
            return
        self._first = position
        if count == len(self._frames):
            self.size_bytes = 0
            self._frames.clear()
            self._sizes.clear()
        else:
            self.size_bytes -= sum(self._sizes[:count])
            del self._frames[:count], self._sizes[:count]
        if self._compressed:
            del self._compressed[:count]
        if self._joined[3]:
            self._joined = _NOTHING

    def _from(self, position: int, *, is_compressed: bool) -> list[bytes]:
        """Compressed each once and in a frame of its own, where it is long enough for that."""
        if not is_compressed:
            return self._frames[position - self._first :]
        for frame in self._frames[len(self._compressed) :]:
            self._compressed.append(compressed(frame) if len(frame) >= COMPRESS_FROM_BYTES else frame)
        return self._compressed[position - self._first :]


def _with_own(position: int, frames: list[bytes], instead: Iterable[Replacement]) -> bytes:
    """In whatever order the replacements are, and where two of them leave out the same frame."""
    parts: list[bytes] = []
    taken = 0
    for start, stop, own in sorted(instead):
        parts += frames[taken : max(taken, start - position)]
        parts.append(own)
        taken = max(taken, stop - position)
    return b"".join((*parts, *frames[taken:]))

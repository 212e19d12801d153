"""What members who have just come in are sent of others who came about the same time.

Each connection has the version with which it came, see room/presence.py, and is sent the user_joined and user_left of
later versions alone. Where many come at once this must not take every one of them together with every other.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from ws_edge.protocol import codec
from ws_edge.room.audience import Audience
from ws_edge.room.member import Member
from ws_edge.room.presence import Presence


class Newcomers:
    """The members of one room whose version its presence has not reached yet."""

    __slots__ = ("_audience", "_frames", "_presence", "_versions")

    def __init__(self, audience: Audience, presence: Presence) -> None:
        self._audience = audience
        self._presence = presence
        self._versions: dict[Member, int] = {}
        self._frames: dict[int, bytes] = {}
        """user_joined by version, see `joined_after`."""

    def add(self, member: Member, version: int) -> None:
        """A member came in with that version."""
        if version > self._presence.version:
            self._versions[member] = version

    def discard(self, member: Member) -> None:
        """The member is gone."""
        self._versions.pop(member, None)

    def joined_after(self, version: int, *, key: str, at: str) -> list[bytes]:
        """user_joined of everybody but that participant who came after that version and is announced already. Each is
        encoded once, with the time `at` of the first who is sent it, until `forget_frames`."""
        frames = []
        for participant in self._presence.later_than(version):
            if participant.key == key:
                continue
            frame = self._frames.get(participant.version)
            if frame is None:
                frame = codec.user_joined(participant.username, participant.user_id, at)
                self._frames[participant.version] = frame
            frames.append(frame)
        return frames

    def forget_frames(self) -> None:
        """Called about once a second: those who come at once have come by then."""
        self._frames.clear()

    def withhold(self, announced: Iterable[tuple[int, int]]) -> None:
        """Keep from each newcomer what was announced of versions up to its own: frames that wait in the audience, as
        (position, version). Then whoever's version is reached is no newcomer any more."""
        if not self._versions:
            return
        for start, versions in _ascending(announced):
            for member, version in self._versions.items():
                if count := bisect_right(versions, version):
                    self._audience.withhold(member, start, start + count)
        reached = self._presence.version
        self._versions = {member: version for member, version in self._versions.items() if version > reached}


def _ascending(announced: Iterable[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """Stretches of neighbours whose versions do not fall, as the first position and all versions: what a member is not
    sent of a stretch is its beginning. Mostly there is one; two after a snapshot, and one for each typing that ended
    where a typist left."""
    start, versions = 0, list[int]()
    for position, version in announced:
        if versions and (position != start + len(versions) or version < versions[-1]):
            yield start, versions
            versions = []
        if not versions:
            start = position
        versions.append(version)
    if versions:
        yield start, versions

"""What a room writes to."""

from typing import Protocol


class Member(Protocol):
    """A connection that frames are written to. Compared by identity."""

    def write(self, frames: bytes) -> None:
        """Send whole frames; never waits."""

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def close_slow_consumer(self) -> None:
        """This member reads too slowly: close it, which takes it out of the audience first."""

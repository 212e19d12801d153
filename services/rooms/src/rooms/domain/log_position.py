"""In which partition of the log a life is; up to where the sequences of a partition were given out, and where a stream
that lost some goes on."""

from dataclasses import dataclass
from typing import NamedTuple

from rooms.domain.people import Life

PARTITIONS = 256
MARGIN = 10_000_000
"""What edges may have seen and not reported yet when a stream loses its end: they report every 3 seconds."""


class LifeLog(NamedTuple):
    """Where the messages of a life are."""

    life: Life
    partition: int | None
    """None: in the stream of before, which edges of before read and write."""


def partition_of(life: Life, partitions: int) -> int:
    """Where a new life goes, of so many: lives that follow on each other go into different ones."""
    return life % partitions


@dataclass(frozen=True, slots=True)
class LogPosition:
    """What is remembered of one partition."""

    highest: int
    """The highest sequence that may have been given out; only ever raised."""
    resumed: int = 0
    """The value of `highest` that the last decision about a stream that was behind has set; 0: none was made."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a stream has to go on."""

    position: LogPosition
    purge_to: int
    """0: this was decided on what does not hold any more; look at the stream again."""


def seen(position: LogPosition, sequence: int) -> LogPosition:
    """An edge has seen this sequence."""
    return LogPosition(max(position.highest, sequence), position.resumed)


def resume(position: LogPosition, behind: int) -> Resumption:
    """A stream that was looked at after `behind` had been the highest sequence ended below it.

    Two edges find that at the same time, and each of them may purge late. So there is one decision for all: whoever
    asks before anything was stored above it is given the same sequence, to which a purge may be repeated without
    deleting what came after the first; whoever asks with an older number has to look again.
    """
    if behind != position.highest:
        return Resumption(position, 0)
    if position.resumed != position.highest:
        position = LogPosition(position.highest + MARGIN, position.highest + MARGIN)
    return Resumption(position, position.highest + 1)

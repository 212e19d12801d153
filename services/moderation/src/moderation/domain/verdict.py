"""What is answered to a message or an arrival."""

from enum import IntEnum
from typing import NamedTuple


class Decision(IntEnum):
    """The outcome of one check."""

    ADMITTED = 1
    REPEATED = 2
    RATE_LIMITED = 3
    SANCTIONED = 4


class Verdict(NamedTuple):
    """A decision and, where waiting helps, for how long; 0: not known or never."""

    decision: Decision
    retry_after_ms: int = 0


ADMITTED = Verdict(Decision.ADMITTED)
REPEATED = Verdict(Decision.REPEATED)

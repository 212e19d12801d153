"""What is said of a message or an arrival."""

from enum import IntEnum
from typing import NamedTuple


class Decision(IntEnum):
    """The outcome of one check."""

    ADMITTED = 1
    REPEATED = 2
    RATE_LIMITED = 3
    SANCTIONED = 4
    SLOW_MODE = 5
    READ_ONLY = 6
    MEMBERS_ONLY = 7
    ACCOUNT_TOO_NEW = 8
    FOLLOW_TOO_SHORT = 9
    EMOTE_ONLY = 10
    TOO_LONG = 11
    DUPLICATE = 12
    LINKS = 13
    WARNING_PENDING = 14
    BLOCKED = 15
    """By a rule."""
    HELD = 16
    """It is to wait for a moderator; it counts as said."""
    UNJUDGED = 20
    """A rule would have to see it and can't, and nothing unseen is let through."""
    WAITING = 100
    """A classifier is asked; told is what Admission.conclude says."""


class Verdict(NamedTuple):
    """A decision and, where waiting helps, for how many milliseconds; 0: not known or never."""

    decision: Decision
    retry_after_ms: int = 0
    holds_place: bool = False
    """Admitted into a room with slow mode: its place is released where the message cannot be stored."""
    text_open: bool = False
    """Admitted, but for what the room's home says of its text, see MessageCheck.text_alone."""
    told: str = ""
    """Of BLOCKED: what its author reads; empty: the usual sentence."""
    rule_id: int = 0
    """Of HELD: which rule holds it; 0: the policy does."""
    rule_name: str = ""
    waits_as: int = 0
    """Of WAITING: the key of Admission.waiting."""
    lent_as: int = 0
    """Of ADMITTED: not 0: its edge admits by itself what the connection says next in the room, see lending.py."""


ADMITTED = Verdict(Decision.ADMITTED)
ADMITTED_WITH_PLACE = Verdict(Decision.ADMITTED, holds_place=True)
REPEATED = Verdict(Decision.REPEATED)
WARNING_PENDING = Verdict(Decision.WARNING_PENDING)
HELD = Verdict(Decision.HELD)
UNJUDGED = Verdict(Decision.UNJUDGED)

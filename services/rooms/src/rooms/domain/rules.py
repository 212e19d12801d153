"""Rules about the texts of rooms as the moderation service shows them; it alone judges by them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from rooms.domain.people import Slug, UserId


class RuleKind(Enum):
    """What a rule looks at."""

    TERMS = auto()
    REGEX = auto()
    LINKS = auto()
    CAPS = auto()
    REPEATS = auto()
    LONG_WORDS = auto()
    ZALGO = auto()
    CLASSIFIER = auto()


class RuleAction(Enum):
    """What a rule does with a message, the strictest last."""

    FLAG = auto()
    HOLD = auto()
    REFUSE = auto()
    MUTE = auto()


class RuleMode(Enum):
    """Whether a rule is looked at, and acts."""

    OFF = auto()
    DRY_RUN = auto()
    ON = auto()


class RuleExemption(Enum):
    """From which rank on people are not judged."""

    USER = auto()
    MODERATOR = auto()


class RuleOnFailure(Enum):
    """What becomes of a message where a classifier is late, or away."""

    ALLOW = auto()
    HOLD = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody writes."""

    name: str
    kind: RuleKind
    action: RuleAction
    mode: RuleMode
    patterns: tuple[str, ...]
    allow: tuple[str, ...]
    threshold: int
    """0: the kind has none."""
    minutes: int
    """Of a mute, else 0."""
    exempt_from: RuleExemption
    told: str
    """What the author of a refused message reads; empty: the usual sentence."""
    url: str = ""
    """Of a classifier, for admins alone; else empty."""
    on_failure: RuleOnFailure | None = None
    """Of a classifier."""
    secret: str = field(default="", repr=False)
    """Of a classifier that is written: what its requests are signed with from now on; else empty."""


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule as it is stored."""

    id: int
    slug: Slug | None
    """None: everywhere."""
    version: int
    rule: Rule
    changed_by: UserId
    changed_at: datetime
    hits: int
    """Messages that it hit since it was made, dry runs included."""
    acted: int
    """Those of them that it decided about."""


@dataclass(frozen=True, slots=True)
class RuleHit:
    """One message that a rule hit."""

    id: int
    rule_id: int
    slug: Slug
    at: datetime
    user_id: UserId | None
    """None: anonymous."""
    username: str
    text: str
    pattern: str | None
    """None: the kind has none."""
    action: RuleAction
    """What the rule does, or would have done."""
    acted: bool


@dataclass(frozen=True, slots=True)
class TextHit:
    """A rule that a text is against which somebody tries."""

    rule_id: int
    rule_name: str
    pattern: str | None
    action: RuleAction
    mode: RuleMode


@dataclass(frozen=True, slots=True)
class TriedText:
    """What would become of such a text."""

    hits: list[TextHit]
    decisive_rule_id: int | None
    """None: the message goes on."""

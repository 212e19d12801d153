"""What rules hit, until it is written: counts, a sample of the messages, and the mutes that are to be imposed."""

from collections import OrderedDict, deque
from typing import NamedTuple

from moderation.domain.people import Target
from moderation.domain.rules import RuleAction

SAMPLE = 1_000
"""Hits that are kept of a rule."""
WAITING_A_RULE = 100
WAITING = 2_000
"""Hits that wait in a replica, of one rule and of all. Beyond that the oldest of the rule go, and are counted alone."""
RULES_WAITING = 10_000
MUTES_WAITING = 1_000
"""Beyond that the oldest goes: its author was refused this message, and may go on."""
GIVEN_UP_AFTER_MS = 60_000
"""A mute that could not be imposed for so long is not imposed any more."""


class RuleHit(NamedTuple):
    """One message that a rule hit."""

    rule_id: int
    slug: str
    """The room."""
    at_ms: int
    """Unix milliseconds."""
    user_id: int
    """Of the author; 0: anonymous."""
    username: str
    text: str
    pattern: str
    """As in Hit."""
    action: RuleAction
    """What the rule does, or would have done."""
    acted: bool
    """False: a dry run, or a stricter rule decided."""


class KeptHit(NamedTuple):
    """One that is stored."""

    id: int
    """Rises with time."""
    hit: RuleHit


class HitCount(NamedTuple):
    """How many hits of a rule came together, and of how many it decided."""

    hits: int
    acted: int


class HitBatch(NamedTuple):
    """What is to be written at once."""

    counts: dict[int, HitCount]
    """By rule."""
    sample: list[RuleHit]
    """The last ones of these rules, in the order in which they came."""


class HitBuffer:
    """What came since it was last written. Bounded however many hits there are."""

    def __init__(self) -> None:
        self._counts: OrderedDict[int, HitCount] = OrderedDict()
        self._samples: dict[int, deque[RuleHit]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """Hits that wait with their texts."""
        return self._waiting

    def note(self, hit: RuleHit) -> None:
        """A rule hit a message."""
        hits, acted = self._counts.get(hit.rule_id, (0, 0))
        if not hits and len(self._counts) >= RULES_WAITING:
            return
        self._counts[hit.rule_id] = HitCount(hits + 1, acted + hit.acted)
        sample = self._samples.setdefault(hit.rule_id, deque())
        if len(sample) >= WAITING_A_RULE or (sample and self._waiting >= WAITING):
            sample.popleft()
        elif self._waiting >= WAITING:
            return
        else:
            self._waiting += 1
        sample.append(hit)

    def take(self, rules: int) -> HitBatch | None:
        """Those of so many rules, the longest waiting first; None: there are none."""
        counts: dict[int, HitCount] = {}
        sample: list[RuleHit] = []
        while self._counts and len(counts) < rules:
            rule_id, count = self._counts.popitem(last=False)
            counts[rule_id] = count
            sample += self._samples.pop(rule_id, ())
        self._waiting -= len(sample)
        return HitBatch(counts, sample) if counts else None

    def forget(self, user_id: int) -> None:
        """A user is erased: their texts that wait are not written any more."""
        for rule_id, sample in self._samples.items():
            kept = deque(hit for hit in sample if hit.user_id != user_id)
            self._waiting -= len(sample) - len(kept)
            self._samples[rule_id] = kept

    def put_back(self, batch: HitBatch) -> None:
        """It could not be written. Texts give way to those that came meanwhile."""
        for rule_id, (hits, acted) in batch.counts.items():
            more, more_acted = self._counts.get(rule_id, (0, 0))
            self._counts[rule_id] = HitCount(hits + more, acted + more_acted)
            self._counts.move_to_end(rule_id, last=False)
        for hit in reversed(batch.sample):
            sample = self._samples.setdefault(hit.rule_id, deque())
            if len(sample) < WAITING_A_RULE and self._waiting < WAITING:
                sample.appendleft(hit)
                self._waiting += 1


class RuleMute(NamedTuple):
    """A mute that a rule asks for, with the message that it hit."""

    target: Target
    slug: str
    minutes: int
    rule_id: int
    rule_name: str
    text: str
    at_ms: int
    """When that was, Unix milliseconds."""


class MuteQueue:
    """The mutes that rules ask for and nobody has imposed yet: one a person and room."""

    def __init__(self) -> None:
        self._mutes: OrderedDict[tuple[Target, str], RuleMute] = OrderedDict()

    def __len__(self) -> int:
        return len(self._mutes)

    def put(self, mute: RuleMute) -> None:
        """It is to be imposed; of two of the same person there the longer one."""
        key = mute.target, mute.slug
        known = self._mutes.get(key)
        if known is None or known.minutes < mute.minutes:
            self._mutes[key] = mute
        if len(self._mutes) > MUTES_WAITING:
            self._mutes.popitem(last=False)

    def next(self) -> RuleMute | None:
        """The one that waits longest; None: there is none."""
        return next(iter(self._mutes.values()), None)

    def done(self, mute: RuleMute) -> None:
        """It was imposed, or is not to be any more; a longer one that came meanwhile stays."""
        key = mute.target, mute.slug
        if self._mutes.get(key) is mute:
            del self._mutes[key]

"""What rules flag and refuse, until the moderators of the room are told: once a second, however many there are."""

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from moderation.domain.rules import RuleAction

SHOWN = 10
"""Of a slug at once, the newest; the others are a number."""
SLUGS_WAITING = 1_000
"""Beyond that those of further slugs are passed over, as long as nobody takes any."""
SHOWN_CHARACTERS = 300
"""Of a text; the sample of the rule has all of it."""
_WORDS = {RuleAction.FLAG: "flag", RuleAction.REFUSE: "refuse"}
"""What no row of the audit log tells of."""


class Flagged(NamedTuple):
    """One message that a rule flagged or refused."""

    rule_id: int
    rule_name: str
    action: RuleAction
    user_id: int
    """Of the author; 0: anonymous."""
    username: str
    text: str


class FlagBatch(NamedTuple):
    """What came together in the rooms of a slug."""

    slug: str
    flagged: tuple[Flagged, ...]
    """The newest, in order."""
    hits: int
    """Of all."""

    def data(self) -> dict[str, Any]:
        """As moderators are shown it."""
        shown = [
            {
                "rule_id": each.rule_id,
                "rule": each.rule_name,
                "action": _WORDS[each.action],
                "user_id": each.user_id or None,
                "username": each.username,
                "message": each.text[:SHOWN_CHARACTERS],
            }
            for each in self.flagged
        ]
        return {"hits": shown, "count": self.hits}


class FlagBuffer:
    """What came since it was last taken. Bounded however much there is."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._flagged: dict[str, deque[Flagged]] = {}

    def __len__(self) -> int:
        """Slugs that wait."""
        return len(self._counts)

    def note(self, slug: str, flagged: Flagged) -> None:
        """A rule decided about a message; nothing is kept of what other events tell."""
        if flagged.action in _WORDS and (slug in self._counts or len(self._counts) < SLUGS_WAITING):
            self._counts[slug] = self._counts.get(slug, 0) + 1
            self._flagged.setdefault(slug, deque(maxlen=SHOWN)).append(flagged)

    def take(self, slugs: int) -> list[FlagBatch]:
        """Of so many slugs, the longest waiting first."""
        taken: list[FlagBatch] = []
        while self._counts and len(taken) < slugs:
            slug, hits = self._counts.popitem(last=False)
            taken.append(FlagBatch(slug, tuple(self._flagged.pop(slug)), hits))
        return taken

    def put_back(self, batches: Iterable[FlagBatch]) -> None:
        """They could not be told: what came meanwhile stands before them."""
        for slug, flagged, hits in batches:
            newer = self._flagged.get(slug, ())
            self._flagged[slug] = deque((*flagged, *newer), maxlen=SHOWN)
            self._counts[slug] = self._counts.get(slug, 0) + hits

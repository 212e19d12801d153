"""Raids: many who speak in a room for the first time, or who say nearly the same, far above what is usual there.

A replica sees the authors whose home it is, and judges by these alone: what is usual there is its own share as well."""

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from statistics import median_low
from typing import Any, NamedTuple, TypeAlias

from moderation.domain.erasures import LogRef
from moderation.domain.folding import fold
from moderation.domain.people import Speaker

WINDOW_MS = 10_000
WINDOWS = 30
"""So many before the present one say what is usual."""
LEAST_WINDOWS = 6
"""For so many a room has to be known before newcomers are anything unusual there: when a stream begins all are."""
LEAST_NEWCOMERS = 15
LEAST_SAME = 10
"""People who say nearly the same."""
TIMES_USUAL = 5
"""So many times the median, and no fewer than the numbers before it."""
LEAST_LETTERS = 12
"""What is shorter is said by many at once in any good moment."""
TEXTS = 64
"""Of a window the last ones, of as many authors, that are compared with each other."""
SPEAKERS_OF_ROOM = 5_000
MOST_SPEAKERS = 200_000
"""In all rooms together. In a room who spoke first longest ago is forgotten first, of the rooms the quietest one."""
TOLD_AGAIN_AFTER_MS = 300_000
"""A raid that goes on is told again."""
SHOWN_FOR_MS = 600_000
"""So long a moderator who comes is shown the last one."""
FORGOTTEN_AFTER_MS = 3_600_000
"""So long nobody has spoken in a room: what begins then begins anew."""
SHIELD_MINUTES = 15
LEFT_TO_MODERATORS_MS = 1_800_000
"""So long no shield comes by itself where a moderator has taken one away."""
RAID = "raid"
"""The kind of its events in the moderators' feed."""
RAID_REASON = "Raid"
"""Of a shield that comes by itself."""

_LEAST_USUAL = LEAST_SAME // TIMES_USUAL + 1
"""Fewer who say the same make no difference to what is called many."""
SAMPLE_CHARACTERS = 300
SEEN_OF_AN_END = 48
"""Characters of a text at its beginning, and at its end, that are folded: a whole one may take long."""
_SEEN_OF_A_TEXT = 24
"""Letters of these: near-identical texts differ at one of the two ends."""
_KEPT_OF_A_TEXT = SAMPLE_CHARACTERS + SEEN_OF_AN_END
_FIRST_LOOK = 6
"""Characters, the same."""
_NO_LETTERS = re.compile(r"[\W\d_]+")
_Ends: TypeAlias = tuple[str, str]
"""The first and the last letters of a text."""


class RaidSign(NamedTuple):
    """What is unusual in the rooms of a slug just now."""

    slug: str
    log: LogRef | None
    """Of the life in which that was last said; None: its edge is one of before."""
    newcomers: int
    """Who spoke for the first time within a window."""
    usual_newcomers: int
    same: int
    """Who said nearly the same."""
    usual_same: int
    sample: str
    """One of these texts; empty: they did not."""

    def data(self) -> dict[str, Any]:
        """As moderators are shown it, but for whether there is a shield."""
        return {
            "newcomers": self.newcomers,
            "usual_newcomers": self.usual_newcomers,
            "same": self.same,
            "usual_same": self.usual_same,
            "sample": self.sample[:SAMPLE_CHARACTERS] or None,
            "window_seconds": WINDOW_MS // 1000,
        }


@dataclass(slots=True)
class _Room:
    """What is remembered of the rooms of a slug."""

    begun_ms: int
    """When the window began."""
    log: LogRef | None = None
    windows: int = 0
    """That are over, since it is known."""
    newcomers: int = 0
    speakers: dict[int | str, None] = field(default_factory=dict)
    """Who spoke first longest ago at the beginning."""
    texts: dict[int | str, str] = field(default_factory=dict)
    """The oldest at the beginning; of long ones what is seen of them."""
    ends: dict[str, _Ends] = field(default_factory=dict)
    """Of those that were compared before: each is folded once."""
    past: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=WINDOWS))
    """Newcomers, and who said nearly the same."""

    def usual(self) -> tuple[int, int]:
        """The median of each."""
        if not self.past:
            return 0, 0
        return median_low([n for n, _ in self.past]), median_low([same for _, same in self.past])

    def most_alike(self, least: int) -> tuple[int, str]:
        """As the function, of the window until now."""
        count, sample, self.ends = most_alike(self.texts.values(), least, self.ends)
        return count, sample


class RaidWatch:
    """Notes who speaks where, and tells what is unusual. Times are Unix milliseconds."""

    def __init__(self, most_speakers: int = MOST_SPEAKERS) -> None:
        self._most_speakers = most_speakers
        self._rooms: OrderedDict[str, _Room] = OrderedDict()  # by slug, whose window began last at the end
        self._speakers = 0
        self._stirred: set[str] = set()
        """Where there may be something to tell."""

    def __len__(self) -> int:
        """Speakers that are remembered, each once a room."""
        return self._speakers

    def note(self, speaker: Speaker, slug: str, log: LogRef | None, text: str, now_ms: int) -> None:
        """Somebody speaks whom the policy of the room binds, whatever else becomes of the message."""
        room = self._rooms.get(slug)
        if room is None:
            room = self._rooms[slug] = _Room(now_ms)
        elif not 0 <= now_ms - room.begun_ms < WINDOW_MS:
            self._begin(slug, room, now_ms)
        if log is not None:
            room.log = log
        key: int | str = speaker.user_id or speaker.address
        if key not in room.speakers:
            self._remember(room, key)
        texts = room.texts
        texts.pop(key, None)
        texts[key] = text if len(text) <= _KEPT_OF_A_TEXT else text[:SAMPLE_CHARACTERS] + text[-SEEN_OF_AN_END:]
        if len(texts) >= LEAST_SAME:  # as there are where that many are newcomers
            self._stirred.add(slug)
            if len(texts) > TEXTS:
                del texts[next(iter(texts))]

    def stirred(self, now_ms: int) -> list[str]:
        """Where somebody has spoken since this was last asked, and there may be something to tell. Rooms in which
        nobody has for long are forgotten."""
        while self._rooms and next(iter(self._rooms.values())).begun_ms + FORGOTTEN_AFTER_MS <= now_ms:
            self._forget_quietest()
        stirred, self._stirred = self._stirred, set()
        return sorted(stirred)

    def sign_of(self, slug: str) -> RaidSign | None:
        """What is unusual there, if anything is."""
        room = self._rooms.get(slug)
        return None if room is None else self._sign_of(slug, room)

    def _sign_of(self, slug: str, room: _Room) -> RaidSign | None:
        usual_newcomers, usual_same = room.usual()
        same, sample = room.most_alike(LEAST_SAME)
        is_known = room.windows >= LEAST_WINDOWS
        many = is_known and room.newcomers >= max(LEAST_NEWCOMERS, TIMES_USUAL * usual_newcomers)
        alike = same >= max(LEAST_SAME, TIMES_USUAL * usual_same)
        if not many and not alike:
            return None
        return RaidSign(slug, room.log, room.newcomers, usual_newcomers, same, usual_same, sample if alike else "")

    def _begin(self, slug: str, room: _Room, now_ms: int) -> None:
        """Another window; nothing happened in those between. A clock that was put back begins one as well."""
        room.past.append((room.newcomers, room.most_alike(_LEAST_USUAL)[0]))
        passed = max(1, (now_ms - room.begun_ms) // WINDOW_MS)
        room.past.extend([(0, 0)] * min(passed - 1, WINDOWS))
        room.windows += passed
        room.begun_ms, room.newcomers = now_ms, 0
        room.texts.clear()
        room.ends.clear()
        self._rooms.move_to_end(slug)

    def _remember(self, room: _Room, key: int | str) -> None:
        room.newcomers += 1
        room.speakers[key] = None
        self._speakers += 1
        if len(room.speakers) > SPEAKERS_OF_ROOM:
            del room.speakers[next(iter(room.speakers))]
            self._speakers -= 1
        while self._speakers > self._most_speakers and len(self._rooms) > 1:
            self._forget_quietest()

    def _forget_quietest(self) -> None:
        _, forgotten = self._rooms.popitem(last=False)
        self._speakers -= len(forgotten.speakers)


def most_alike(texts: Iterable[str], least: int, known: dict[str, _Ends]) -> tuple[int, str, dict[str, _Ends]]:
    """How many of these say nearly the same, and one of them; 0 where these are fewer than `least`. And the ends of
    those that were compared last, to be known the next time."""
    long = [text for text in texts if len(text) >= LEAST_LETTERS]
    if not _may_be_alike(long, least):
        return 0, "", known
    ends = {text: known.get(text) or _ends_of(text) for text in long}
    counts: Counter[tuple[int, str]] = Counter()
    samples: dict[tuple[int, str], str] = {}
    for text in long:
        for seen in enumerate(ends[text]):
            if len(seen[1]) >= LEAST_LETTERS:
                counts[seen] += 1
                samples.setdefault(seen, text)
    most, count = max(counts.items(), key=itemgetter(1), default=((0, ""), 0))
    return (count, samples[most], ends) if count >= least else (0, "", ends)


def _ends_of(text: str) -> _Ends:
    first = _NO_LETTERS.sub("", fold(text[:SEEN_OF_AN_END]))
    last = first if len(text) <= SEEN_OF_AN_END else _NO_LETTERS.sub("", fold(text[-SEEN_OF_AN_END:]))
    return first[:_SEEN_OF_A_TEXT], last[-_SEEN_OF_A_TEXT:]


def _may_be_alike(texts: list[str], least: int) -> bool:
    """A look at each that costs a tenth of folding it: what is copied begins or ends with the same characters."""
    if len(texts) < least:
        return False
    begun = Counter([text[:_FIRST_LOOK].lower() for text in texts])
    ended = Counter([text[-_FIRST_LOOK:].lower() for text in texts])
    return max(begun.values()) >= least or max(ended.values()) >= least

"""Lending: a speaker who speaks through one edge worker alone is admitted there, without a question for each message.

What is lent is the speaker's window: while a worker has it nobody else counts that speaker's messages, here neither.
So it is exact, as long as each of these holds: a worker uses what it was lent for LEASE_NS after it last asked or
reported something, by its own clock; what another worker asks about is returned first, or its lease is over; and what
was granted before something changed by which messages are judged is returned.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count
from typing import TypeAlias

from moderation.domain.admission import MessageCheck
from moderation.domain.people import Speaker
from moderation.domain.windows import NONCES_KEPT_NS

LEASE_NS = 1_000_000_000
"""After a request was received. The worker counts from its sending, which is earlier."""
UNDISTURBED_NS = NONCES_KEPT_NS
"""For so long, or for a window where that is longer, nobody else may have asked about a speaker whose window is lent:
the worker then has counted all that counts, and knows all nonces."""
MOST_SPEAKERS = 500_000
MOST_CONNECTIONS = 1_000
"""Of one speaker: what further ones say is asked about."""
MOST_LESSEES = 1_000
"""But for those whose lease is not over."""

SpeakerKey: TypeAlias = "int | str"
"""A user's id, or the address of anonymous connections."""


def key_of(speaker: Speaker) -> SpeakerKey:
    """By which it is lent."""
    return speaker.user_id or speaker.address


class Lessee:
    """One edge worker, on whichever streams."""

    __slots__ = ("granted", "grants", "heard_ns", "returned", "worker")

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.heard_ns = 0
        self.granted = -1
        """The number of changes at the newest grant; -1: there was none."""
        self.returned = 0
        """All that was granted at a lower number is returned."""
        self.grants: dict[int, MessageCheck] = {}
        """By what it reports: the last message that was asked about, without text and nonce."""

    def lease_over_ns(self) -> int:
        """From then on it uses nothing, unless it is heard of until then."""
        return self.heard_ns + LEASE_NS

    def owes(self, now_ns: int) -> bool:
        """Whether it may use anything that was granted before the last change that it has answered."""
        return self.granted >= self.returned and now_ns < self.lease_over_ns()


class _Known:
    """What is known of a speaker."""

    __slots__ = ("asked_ns", "by", "disturbed_until_ns", "grants", "lent_at", "lessee")

    def __init__(self, by: Lessee | None, asked_ns: int) -> None:
        self.by = by
        """Who asked last."""
        self.asked_ns = asked_ns
        self.disturbed_until_ns = 0
        self.lessee: Lessee | None = None
        self.lent_at = 0
        """The number of changes when it was lent."""
        self.grants: dict[str, int] = {}
        """By connection."""

    def disturb(self, until_ns: int) -> None:
        """Somebody else was asked about it, which matters until then."""
        self.disturbed_until_ns = max(self.disturbed_until_ns, until_ns)

    def take_back(self) -> None:
        """Nobody has it any more."""
        if self.lessee is not None:
            for number in self.grants.values():
                del self.lessee.grants[number]
            self.grants.clear()
            self.lessee = None


class Lending:
    """Who has which windows. Nothing here waits."""

    def __init__(self, window_ns: int = 0, most_speakers: int = MOST_SPEAKERS) -> None:
        """`window_ns`: of the limits."""
        self._undisturbed_ns = max(UNDISTURBED_NS, window_ns)
        self._most_speakers = most_speakers
        self._speakers: OrderedDict[SpeakerKey, _Known] = OrderedDict()  # the longest quiet first
        self._lessees: OrderedDict[str, Lessee] = OrderedDict()
        self._overlooked_until_ns = 0
        """Until then somebody may have asked about a speaker who was not remembered."""
        self.changes = 0
        """How often something changed by which messages are judged."""
        self._numbers = count(1)

    def __len__(self) -> int:
        """Speakers that are remembered."""
        return len(self._speakers)

    def lessee(self, worker: str, now_ns: int) -> Lessee:
        """The worker of that name, of whom something was heard."""
        known = self._lessees.pop(worker, None) or Lessee(worker)
        self._lessees[worker] = known
        known.heard_ns = now_ns
        self._forget_lessees(now_ns)
        return known

    def note_message(self, key: SpeakerKey, lessee: Lessee | None, now_ns: int) -> None:
        """A message of that speaker was asked about, or reported; lessee None: by an edge of before."""
        known = self._speakers.get(key)
        if known is None:
            if len(self._speakers) < self._most_speakers:
                self._speakers[key] = _Known(lessee, now_ns)
            else:
                self._overlooked_until_ns = now_ns + self._undisturbed_ns
        else:
            if known.by is not lessee:
                known.disturb(known.asked_ns + self._undisturbed_ns)
                known.by = lessee
            known.asked_ns = now_ns
            self._speakers.move_to_end(key)
        self._forget_quiet(now_ns)

    def note_carried(self, key: SpeakerKey, lessee: Lessee | None, at_ns: int, now_ns: int) -> None:
        """A worker tells that it admitted a message earlier."""
        known = self._speakers.get(key)
        if known is None:
            self.note_message(key, lessee, now_ns)
        elif known.by is not lessee:
            known.disturb(at_ns + self._undisturbed_ns)

    def holder(self, key: SpeakerKey, asking: Lessee | None, now_ns: int) -> Lessee | None:
        """Who else may count the messages of that speaker just now."""
        known = self._speakers.get(key)
        if known is None or (lessee := known.lessee) is None or lessee is asking:
            return None
        is_out = known.lent_at >= lessee.returned and now_ns < lessee.lease_over_ns()
        return lessee if is_out else None

    def lend(self, message: MessageCheck, lessee: Lessee, now_ns: int) -> int:
        """Lend the window of a speaker who has just spoken to who asks, if nobody else did lately: by which number its
        connection's messages are reported; 0: it is not lent. Only where `holder` is None."""
        known = self._speakers.get(key_of(message.speaker))
        if known is None or now_ns < max(known.disturbed_until_ns, self._overlooked_until_ns):
            return 0
        if known.lessee is not lessee:
            known.take_back()
            known.lessee = lessee
        connection = message.speaker.connection
        if connection not in known.grants:
            if len(known.grants) >= MOST_CONNECTIONS:
                return 0
            known.grants[connection] = next(self._numbers)
        number = known.grants[connection]
        known.lent_at = lessee.granted = self.changes
        lessee.grants[number] = message._replace(text="", nonce="")
        return number

    def returned(self, key: SpeakerKey, lessee: Lessee) -> None:
        """The worker does not use it any more."""
        known = self._speakers.get(key)
        if known is not None and known.lessee is lessee:
            known.take_back()

    def returned_all(self, lessee: Lessee, change: int) -> None:
        """The worker has given back what was granted before that change."""
        lessee.returned = max(lessee.returned, change)

    def change(self) -> list[Lessee]:
        """Something has changed by which messages are judged. Who has to return what they have: of these some may have
        been asked before, and not have answered yet."""
        self.changes += 1
        return [lessee for lessee in self._lessees.values() if lessee.granted >= lessee.returned]

    def owing(self, change: int, now_ns: int, of: Iterable[Lessee] | None = None) -> list[Lessee]:
        """Who may still use what was granted before that change; `of`: of these, else of all."""
        lessees = self._lessees.values() if of is None else of
        return [lessee for lessee in lessees if lessee.returned < change and lessee.owes(now_ns)]

    def _forget_quiet(self, now_ns: int) -> None:
        """Forget up to two, so that the memory shrinks again. What is lent to a worker is returned long before, or its
        lease is over."""
        for _ in range(2):
            key, known = next(iter(self._speakers.items()))
            if max(known.asked_ns + self._undisturbed_ns, known.disturbed_until_ns) > now_ns:
                return
            lessee = known.lessee
            if lessee is not None and known.lent_at >= lessee.returned and now_ns < lessee.lease_over_ns():
                self._speakers.move_to_end(key)
                return
            known.take_back()
            del self._speakers[key]
            if not self._speakers:
                return

    def _forget_lessees(self, now_ns: int) -> None:
        """Those who use nothing any more."""
        while len(self._lessees) > MOST_LESSEES:
            worker, longest_silent = next(iter(self._lessees.items()))
            if now_ns < longest_silent.lease_over_ns():
                return
            del self._lessees[worker]

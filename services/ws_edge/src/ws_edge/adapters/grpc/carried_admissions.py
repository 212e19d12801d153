"""What this edge admitted lately, so that windows, nonces and places survive the replica that knew them; and what of
that counts no longer."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from msgspec import Struct

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert import speaker_to_proto
from ws_edge.protocol.identity import Life, Slug, Speaker
from ws_edge.protocol.policies import LONGEST_SLOW_MODE_S

_NONCE_AGE_S = 120.0
_LIMIT = 100_000
_RELEASED_LIMIT = 5_000


class Admitted(Struct, eq=False, gc=False):
    """One message that was admitted."""

    at_s: float
    speaker: Speaker
    life: Life
    nonce: str
    known_to: tuple[int, ...] = ()
    """The streams that judged it, or that it was carried to: it counts once for each."""
    number: int = 0
    """Of the message, by which it is released."""
    slug: str = ""
    """Of a place that is held in a room with slow mode, and counts for nothing else; empty: it is none."""
    is_released: bool = False
    """It counts no longer, and has no nonce."""

    def carry_to(self, stream: int, *, now_s: float, window_s: float) -> pb.CarriedAdmission:
        """What a stream is sent, which knows of it from then on."""
        self.known_to = (*self.known_to, stream)
        return pb.CarriedAdmission(
            speaker=speaker_to_proto(self.speaker),
            age_ms=int((now_s - self.at_s) * 1000),
            nonce=self.nonce,
            life=self.life,
            counts=not self.slug and self.at_s > now_s - window_s,
            slug=self.slug,
            id=self.number,
        )


@dataclass(slots=True)
class _OfKey:
    """What is remembered of one routing key, oldest first."""

    change: int
    """The change of homes that it was last looked at for."""
    entries: dict[Admitted, None] = field(default_factory=dict)


class CarriedAdmissions:
    """What was admitted. Bounded twice, by age and by number: the oldest are forgotten first."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._recent: deque[Admitted] = deque()
        self._with_nonce: deque[Admitted] = deque()
        self._places: OrderedDict[tuple[str, Slug], Admitted] = OrderedDict()
        """By participant and room; the oldest first."""
        self._change = 0
        # In the order in which they were last offered: those that are behind come first.
        self._by_key: OrderedDict[str, _OfKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._recent) + len(self._with_nonce) + len(self._places)

    def note(
        self,
        speaker: Speaker,
        life: Life,
        nonce: str,
        number: int,
        *,
        stream: int | None,
        now_s: float,
        window_s: float,
    ) -> None:
        """Remember one admitted message; stream None: admitted by this edge alone."""
        entry = Admitted(now_s, speaker, life, nonce, () if stream is None else (stream,), number)
        self._recent.append(entry)
        self._add(entry)
        self._age(now_s, window_s)

    def note_place(
        self, speaker: Speaker, slug: Slug, life: Life, number: int, *, stream: int | None, now_s: float
    ) -> None:
        """The message of that number holds a place, instead of the one before it in that room."""
        self._drop_place(speaker, slug)
        entry = Admitted(now_s, speaker, life, "", () if stream is None else (stream,), number, slug)
        self._places[speaker.key, slug] = entry
        self._add(entry)
        if len(self._places) > self._limit:
            self._forget(self._places.popitem(last=False)[1])

    def release(self, speaker: Speaker, slug: Slug, life: Life, nonce: str, number: int) -> None:
        """A message could not be stored, or was refused afterwards: nothing of it is carried any more."""
        of_key = self._by_key.get(speaker.routing_key)
        for entry in () if of_key is None else of_key.entries:
            if entry.slug or entry.speaker.key != speaker.key:
                continue
            if entry.number == number:
                entry.is_released = True
            if nonce and (entry.life, entry.nonce) == (life, nonce):
                entry.nonce = ""
        held = self._places.get((speaker.key, slug))
        if held is not None and held.number == number:
            self._drop_place(speaker, slug)

    def _drop_place(self, speaker: Speaker, slug: Slug) -> None:
        held = self._places.pop((speaker.key, slug), None)
        if held is not None:
            self._forget(held)

    def _add(self, entry: Admitted) -> None:
        key = entry.speaker.routing_key
        of_key = self._by_key.get(key)
        if of_key is None:
            of_key = self._by_key[key] = _OfKey(self._change)
        of_key.entries[entry] = None

    def homes_changed(self) -> None:
        """From now on the home of every key may be one that nothing was carried to."""
        self._change += 1

    def is_behind(self, key: str) -> bool:
        """Whether something is remembered that was not offered to the home of this key since the last change."""
        of_key = self._by_key.get(key)
        return of_key is not None and of_key.change != self._change

    def next_behind(self) -> str | None:
        """The key whose home is behind for longest; None: none is."""
        key = next(iter(self._by_key), None)
        return key if key is not None and self.is_behind(key) else None

    def owed_to(self, key: str, stream: int, *, now_s: float, window_s: float) -> list[pb.CarriedAdmission]:
        """What is yet to be carried to the stream of a key's home, oldest first; each is given once."""
        self._age(now_s, window_s)
        of_key = self._by_key.get(key)
        if of_key is None:
            return []
        of_key.change = self._change
        self._by_key.move_to_end(key)
        entries = [e for e in of_key.entries if stream not in e.known_to and not e.is_released]
        return [entry.carry_to(stream, now_s=now_s, window_s=window_s) for entry in entries]

    def _age(self, now_s: float, window_s: float) -> None:
        recent, with_nonce = self._recent, self._with_nonce
        while recent and (recent[0].at_s <= now_s - window_s or len(recent) > self._limit):
            entry = recent.popleft()
            if entry.nonce and entry.at_s <= now_s - window_s:
                with_nonce.append(entry)
            else:
                self._forget(entry)
        while with_nonce and (with_nonce[0].at_s <= now_s - _NONCE_AGE_S or len(with_nonce) > self._limit):
            self._forget(with_nonce.popleft())
        while self._places and next(iter(self._places.values())).at_s <= now_s - LONGEST_SLOW_MODE_S:
            self._forget(self._places.popitem(last=False)[1])

    def _forget(self, entry: Admitted) -> None:
        key = entry.speaker.routing_key
        entries = self._by_key[key].entries
        del entries[entry]
        if not entries:
            del self._by_key[key]


class ReleasedAdmissions:
    """What was released lately, for replicas that could not be told then, where it would go on to count. Bounded twice,
    by age and by number: the oldest are forgotten first."""

    def __init__(self, limit: int = _RELEASED_LIMIT) -> None:
        self._limit = limit
        self._released: deque[tuple[float, pb.ReleasedAdmission]] = deque()

    def __len__(self) -> int:
        return len(self._released)

    def note(self, released: pb.ReleasedAdmission, *, now_s: float) -> None:
        """A message counts no longer."""
        again = pb.ReleasedAdmission()
        again.CopyFrom(released)
        again.ClearField("nonce")  # it may belong to a message that was sent again since
        self._released.append((now_s, again))
        if len(self._released) > self._limit:
            self._released.popleft()
        self._age(now_s)

    def lately(self, *, now_s: float) -> list[pb.ReleasedAdmission]:
        """All that may still count somewhere, at the longest for as long as a place in slow mode."""
        self._age(now_s)
        return [released for _, released in self._released]

    def _age(self, now_s: float) -> None:
        while self._released and self._released[0][0] <= now_s - LONGEST_SLOW_MODE_S:
            self._released.popleft()

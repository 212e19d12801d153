"""What this edge admitted lately, so that windows and nonces survive the replica that counted them."""

from collections import deque
from dataclasses import dataclass, field

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.convert_moderation import to_speaker
from ws_edge.protocol.identity import Life, Speaker

_NONCE_AGE_S = 120.0
_LIMIT = 100_000


@dataclass(slots=True, eq=False)
class Admitted:
    """One message that was admitted."""

    at_s: float
    speaker: Speaker
    home: str
    life: Life
    nonce: str
    known_to: list[int] = field(default_factory=list)
    """The streams that judged it, or were told: nobody is told twice, or it would count twice."""

    def tell(self, stream: int, *, now_s: float, window_s: float) -> pb.CarriedAdmission:
        """What to say to a stream, which knows of it from then on."""
        self.known_to.append(stream)
        return pb.CarriedAdmission(
            speaker=to_speaker(self.speaker),
            age_ms=round((now_s - self.at_s) * 1000),
            nonce=self.nonce,
            life=self.life,
            counts=self.at_s > now_s - window_s,
        )


class CarriedAdmissions:
    """Bounded twice, by age and by number: the oldest are forgotten first."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._recent: deque[Admitted] = deque()
        self._with_nonce: deque[Admitted] = deque()
        self._by_home: dict[str, dict[Admitted, None]] = {}

    def __len__(self) -> int:
        return len(self._recent) + len(self._with_nonce)

    def note(
        self, speaker: Speaker, life: Life, nonce: str, *, stream: int | None, now_s: float, window_s: float
    ) -> None:
        """Remember one admitted message; stream None: admitted by this edge alone."""
        entry = Admitted(now_s, speaker, speaker.home, life, nonce, [] if stream is None else [stream])
        self._recent.append(entry)
        self._by_home.setdefault(entry.home, {})[entry] = None
        self._age(now_s, window_s)

    def homes(self) -> list[str]:
        """Everybody of whom something is remembered."""
        return list(self._by_home)

    def untold(self, home: str, stream: int, *, now_s: float, window_s: float) -> list[pb.CarriedAdmission]:
        """What the stream of a home has yet to be told, oldest first; each is given once."""
        self._age(now_s, window_s)
        entries = [entry for entry in self._by_home.get(home, ()) if stream not in entry.known_to]
        return [entry.tell(stream, now_s=now_s, window_s=window_s) for entry in entries]

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

    def _forget(self, entry: Admitted) -> None:
        of_home = self._by_home[entry.home]
        del of_home[entry]
        if not of_home:
            del self._by_home[entry.home]

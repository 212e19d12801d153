"""What this edge admitted lately, so that windows and nonces survive the replica that counted them."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.convert_moderation import to_speaker
from ws_edge.protocol.identity import Life, Speaker

_NONCE_AGE_S = 120.0
_LIMIT = 100_000


@dataclass(slots=True)
class Admitted:
    """One message that was admitted."""

    at_s: float
    speaker: Speaker
    life: Life
    nonce: str
    known_to: list[int] = field(default_factory=list)
    """The streams that judged it, or were told: nobody is told twice, or it would count twice."""

    def tell(self, stream: int, *, now_s: float, counts: bool) -> pb.CarriedAdmission:
        """What to say to a stream, which knows of it from then on."""
        self.known_to.append(stream)
        return pb.CarriedAdmission(
            speaker=to_speaker(self.speaker),
            age_ms=round((now_s - self.at_s) * 1000),
            nonce=self.nonce,
            life=self.life,
            counts=counts,
        )


class CarriedAdmissions:
    """Bounded twice, by age and by number: the oldest are forgotten first."""

    def __init__(self) -> None:
        self._recent: deque[Admitted] = deque(maxlen=_LIMIT)
        self._with_nonce: deque[Admitted] = deque(maxlen=_LIMIT)

    def note(
        self, speaker: Speaker, life: Life, nonce: str, *, stream: int | None, now_s: float, window_s: float
    ) -> Admitted:
        """Remember one admitted message; stream None: admitted by this edge alone."""
        entry = Admitted(now_s, speaker, life, nonce, [] if stream is None else [stream])
        self._recent.append(entry)
        self._age(now_s, window_s)
        return entry

    def untold(
        self, home_of: Callable[[str], int | None], *, now_s: float, window_s: float
    ) -> Iterator[tuple[int, pb.CarriedAdmission]]:
        """What the stream of each speaker's home has yet to be told, oldest first; each is given once."""
        self._age(now_s, window_s)
        for counts, admitted in ((False, self._with_nonce), (True, self._recent)):
            for entry in admitted:
                stream = home_of(entry.speaker.home)
                if stream is not None and stream not in entry.known_to:
                    yield stream, entry.tell(stream, now_s=now_s, counts=counts)

    def _age(self, now_s: float, window_s: float) -> None:
        while self._recent and self._recent[0].at_s <= now_s - window_s:
            entry = self._recent.popleft()
            if entry.nonce:
                self._with_nonce.append(entry)
        while self._with_nonce and self._with_nonce[0].at_s <= now_s - _NONCE_AGE_S:
            self._with_nonce.popleft()

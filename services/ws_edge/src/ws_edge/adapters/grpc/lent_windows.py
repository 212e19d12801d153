"""What a replica of moderation has lent: the windows of speakers who speak through this worker alone, whose messages
are admitted here without a question for each."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert import speaker_key_from_proto, speaker_key_to_proto
from ws_edge.protocol.identity import Life, Speaker, SpeakerKey

LEASE_S = 0.75
"""After something was sent that was answered, as AdmitResponse.heard_ms says. Others may be counted a second after
that, and what was admitted by then is to be reported before."""
_QUIET_S = 60.0
"""What is lent of a speaker who says nothing for so long is returned: longer than an answer may take by far, so that it
is not lent once more meanwhile."""

_NOBODY: tuple[Speaker | None, int] = (None, 0)


@dataclass(slots=True)
class _Lent:
    used_at_s: float
    grants: dict[tuple[str, Life], tuple[Speaker, int]] = field(default_factory=dict)
    """By connection and room, in which it was admitted since this was lent: as whom, and by what its messages are
    reported."""


class LentWindows:
    """Of one stream. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lent: OrderedDict[SpeakerKey, _Lent] = OrderedDict()
        """The longest quiet first."""
        self._until_s = float("-inf")
        self._admitted: list[tuple[int, int, str, str]] = []
        """By what it is reported, and of the message number, nonce and text."""
        self._returned: list[SpeakerKey] = []
        self._returned_all = 0

    def __len__(self) -> int:
        return len(self._lent)

    def forget(self) -> None:
        """The stream is another one. What was admitted and not reported is carried to the next home."""
        self._lent.clear()
        self._admitted, self._returned, self._returned_all = [], [], 0

    def has(self, speaker: Speaker, life: Life, now_s: float) -> bool:
        """Whether what that connection says there is admitted, within the limits. Who has another rank since may be
        bound by what did not bind them before."""
        lent = self._lent.get(_key_of(speaker))
        if lent is None or now_s >= self._until_s:
            return False
        known, _ = lent.grants.get((speaker.connection, life), _NOBODY)
        return known is speaker or known == speaker

    def use(self, speaker: Speaker, now_s: float) -> None:
        """A message of that speaker is admitted, or asked about."""
        key = _key_of(speaker)
        lent = self._lent.get(key)
        if lent is not None:
            lent.used_at_s = now_s
            self._lent.move_to_end(key)

    def report(self, speaker: Speaker, life: Life, number: int, nonce: str, text: str, now_s: float) -> None:
        """That was admitted, which is told before whatever is asked or released next. Only after `has`."""
        key = _key_of(speaker)
        lent = self._lent[key]
        lent.used_at_s = now_s
        self._lent.move_to_end(key)
        self._admitted.append((lent.grants[speaker.connection, life][1], number, nonce, text))

    def lend(self, speaker: Speaker, life: Life, grant: int, now_s: float) -> None:
        """The replica lends it."""
        lent = self._lent.setdefault(_key_of(speaker), _Lent(now_s))
        lent.grants[speaker.connection, life] = speaker, grant

    def renew(self, sent_s: float, now_s: float) -> None:
        """What was sent then was answered. Who has let the lease go by has nothing any more: others may have been
        counted meanwhile. Call it before what the same answer lends."""
        if now_s >= self._until_s:
            self._lent.clear()
        self._until_s = max(self._until_s, sent_s + LEASE_S)

    def recall(self, keys: Iterable[pb.SpeakerKey], change: int) -> None:
        """The replica wants these back, and where `change` is not 0 all that it lent."""
        if change:
            self._lent.clear()
            self._returned_all = change
        for key in map(speaker_key_from_proto, keys):
            self._lent.pop(key, None)
            self._returned.append(key)

    def return_quiet(self, now_s: float) -> bool:
        """Give back what is not used; whether anything is."""
        while self._lent and next(iter(self._lent.values())).used_at_s < now_s - _QUIET_S:
            self._returned.append(self._lent.popitem(last=False)[0])
        return bool(self._returned)

    def take_requests(self, size: int) -> list[pb.AdmitRequest]:
        """What is to be told: what was admitted, so many a request, and then what is given back."""
        admitted, self._admitted = self._admitted, []
        requests = [_request_of(admitted[at : at + size]) for at in range(0, len(admitted), size)]
        if self._returned or self._returned_all:
            requests = requests or [pb.AdmitRequest()]
            requests[-1].returned.extend(map(speaker_key_to_proto, self._returned))
            requests[-1].returned_all = self._returned_all
            self._returned, self._returned_all = [], 0
        return requests


def _request_of(admitted: Iterable[tuple[int, int, str, str]]) -> pb.AdmitRequest:
    request = pb.AdmitRequest()
    for lent, number, nonce, text in admitted:
        message = request.admitted.add()
        message.lent = lent
        message.id = number
        message.text = text
        if nonce:
            message.nonce = nonce
    return request


def _key_of(speaker: Speaker) -> SpeakerKey:
    return speaker.identity.user_id or speaker.address

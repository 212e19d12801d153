"""Classifiers, which people run themselves and are asked over HTTP: where they may be, what is asked and answered, and
who is not asked for a while."""

import base64
import binascii
import hashlib
import hmac
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, IntEnum, auto
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from moderation.domain.people import Rank, Speaker
from moderation.domain.rules import OnFailure, Rule, RuleAction, RuleMode

LARGEST_ANSWER_BYTES = 4096
LONGEST_REASON = 200
"""Of an answer; what is more is cut off."""
NO_ANSWER = "no answer"
"""The reason where a classifier is late, or away."""
EARLIER_SECRET_MS = 86_400_000
"""How long requests are signed with the secret of before as well."""
CALLS_OF_A_RULE = 64
CALLS = 256
"""Calls that a replica makes at once. Who would have to wait for one goes by `on_failure` at once."""
CALLS_BEHIND = CALLS // 2
"""Of them those that no message waits for, tries included: the rest is for messages that wait."""
OPENS_AFTER = 5
"""Failures in a row."""
OPEN_NS = 5_000_000_000
"""So long nobody is asked then; after that one message is, whose answer decides how it goes on."""
LINES_KEPT = 1_000
_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)
_SPECIAL = [ip_network(network) for network in ("100.64.0.0/10", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")]
"""Of which Python does not say so: shared by providers, relays of 6to4, the service of Azure in every machine there,
documentation."""
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, also by the address of version 4 that may stand in it."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        parsed = _within(parsed) or parsed
    if any(parsed in network for network in _SPECIAL):
        return False
    if isinstance(parsed, IPv6Address):
        return parsed in _GLOBAL_UNICAST and not parsed.is_private and parsed.teredo is None
    return not (
        parsed.is_private
        or parsed.is_loopback
        or parsed.is_link_local
        or parsed.is_multicast
        or parsed.is_reserved
        or parsed.is_unspecified
    )


def _within(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def host_problem(url: str, *, private: bool) -> str | None:
    """Why the host of the URL of a rule that can be used otherwise is not asked, as far as the URL itself says it, or
    None."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if private:
        return None
    if parts.scheme != "https":
        return "The url of a classifier begins with https://"
    is_literal = ":" in host or host.replace(".", "").isdigit()
    return None if not is_literal or is_public(host) else PRIVATE_ADDRESS


PRIVATE_ADDRESS = "The classifier is at no public address"


def secret_problem(secret: str) -> str | None:
    """Why nothing can be signed with it, or None."""
    return None if _key(secret) is not None else "A secret is whsec_ and base64 of 24 to 64 bytes"


def _key(secret: str) -> bytes | None:
    if not secret.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) in _SECRET_BYTES else None


class Secrets(NamedTuple):
    """What the requests of a rule are signed with."""

    newest: str = ""
    earlier: str = ""
    earlier_until_ms: int = 0
    """Unix milliseconds."""

    def __repr__(self) -> str:
        return "Secrets()"

    def changed(self, secret: str, now_ms: int) -> "Secrets":
        """With another one from now on; an empty one, or the same, changes nothing."""
        if secret in ("", self.newest):
            return self
        return Secrets(secret, self.newest, now_ms + EARLIER_SECRET_MS if self.newest else 0)

    def valid(self, now_ms: int) -> list[str]:
        """Those to sign with, the newest first."""
        return [self.newest, self.earlier] if self.earlier and now_ms < self.earlier_until_ms else [self.newest]


NO_SECRETS = Secrets()


class Subject(NamedTuple):
    """What a classifier is asked about."""

    text: str
    room: str
    author: Speaker | None
    """None: somebody tries a text."""


class Call(NamedTuple):
    """One request."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


_RANKS = {int(rank): rank.name.lower() for rank in Rank}


def call_of(rule_id: int, rule: Rule, secrets: Secrets, subject: Subject, *, call_id: str, now_ms: int) -> Call:
    """The signed request, as of Standard Webhooks."""
    author, at = subject.author, datetime.fromtimestamp(now_ms / 1000, UTC)
    told = {
        "type": "message.classify",
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "text": subject.text,
            "room": subject.room,
            "author": None if author is None else _author(author),
            "rule": {"id": rule_id, "name": rule.name},
            "test": author is None,
        },
    }
    body, timestamp = json.dumps(told, separators=(",", ":")).encode(), str(now_ms // 1000)
    signed = [signature(secret, call_id, timestamp, body) for secret in secrets.valid(now_ms)]
    return Call(
        rule.url,
        (
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("user-agent", "salon"),
            ("webhook-id", call_id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", " ".join(signed)),
        ),
        body,
    )


def signature(secret: str, call_id: str, timestamp: str, body: bytes) -> str:
    """Of one request, with a secret that has no problem."""
    key = _key(secret)
    assert key is not None
    digest = hmac.new(key, f"{call_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _author(author: Speaker) -> dict[str, Any]:
    rank = _RANKS.get(author.rank, _RANKS[Rank.USER])
    return {"user_id": author.user_id or None, "username": author.username, "rank": rank}


class ClassifierVerdict(IntEnum):
    """What a classifier says, the strictest last."""

    ALLOW = 1
    HOLD = 2
    REFUSE = 3


_VERDICTS = {verdict.name.lower(): verdict for verdict in ClassifierVerdict}


class Answer(NamedTuple):
    """What a classifier says of a text."""

    verdict: ClassifierVerdict
    reason: str = ""


def answer_of(body: bytes) -> Answer | None:
    """None: it is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, Mapping):
        return None
    verdict, reason = told.get("verdict"), told.get("reason")
    if not isinstance(verdict, str) or verdict not in _VERDICTS or not isinstance(reason, str | None):
        return None
    # Who cuts a text in the middle of an emoji sends half a surrogate pair, which nothing can store.
    return Answer(_VERDICTS[verdict], (reason or "")[:LONGEST_REASON].encode(errors="replace").decode())


def answer_without(rule: Rule) -> Answer:
    """Where there is none."""
    return Answer(ClassifierVerdict.HOLD, NO_ANSWER) if rule.on_failure is OnFailure.HOLD else ALLOWED


ALLOWED = Answer(ClassifierVerdict.ALLOW)


def rule_by(rule: Rule, answer: Answer) -> Rule | None:
    """The rule as it acts after that answer: no stricter than its own action; None: it has nothing against it."""
    if answer.verdict is ClassifierVerdict.ALLOW:
        return None
    if answer.verdict is ClassifierVerdict.REFUSE or rule.action <= RuleAction.HOLD:
        return rule
    return replace(rule, action=RuleAction.HOLD, mute_minutes=0)


def is_waited_for(rule: Rule) -> bool:
    """Whether messages wait for the answer: it may do something with them."""
    return rule.mode is RuleMode.ON and rule.action > RuleAction.FLAG


class Outcome(Enum):
    """How asking went."""

    ANSWERED = auto()
    LATE = auto()
    FAILED = auto()
    """Not reached, or what came was no answer."""
    OPEN = auto()
    """Not asked: the breaker is open."""
    FULL = auto()
    """Not asked: there are as many calls as may be."""


class Line:
    """The calls of one rule, and its breaker."""

    __slots__ = ("calls", "failures", "is_probing", "is_waited_for", "opened_ns", "url")

    def __init__(self, url: str, *, is_waited_for: bool) -> None:
        self.url = url
        self.is_waited_for = is_waited_for
        self.calls = 0
        """That are under way."""
        self.failures = 0
        """In a row."""
        self.opened_ns: int | None = None
        self.is_probing = False

    def is_open(self, now_ns: int) -> bool:
        """Whether nobody else is asked over it."""
        return self.opened_ns is not None and (self.is_probing or now_ns < self.opened_ns + OPEN_NS)


class Lines:
    """The calls to all classifiers of a replica. Times are of the clock that never jumps."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        """So far."""
        self._lines: OrderedDict[tuple[int, bool], Line] = OrderedDict()
        """By rule, those of tries apart: whoever tries texts opens no breaker for messages."""
        self._calls = self._behind = 0

    @property
    def calls(self) -> int:
        """That are under way."""
        return self._calls

    def open_breakers(self, now_ns: int) -> int:
        """How many rules no message asks just now, or one to see. One that is gone is none of them for long."""
        return sum(not is_try and line.is_open(now_ns) for (_, is_try), line in self._lines.items())

    def begin(self, rule_id: int, url: str, now_ns: int, *, is_waited_for: bool, is_try: bool = False) -> Line | None:
        """The line over which a call goes, to be ended there; None: nobody is to be asked. `is_waited_for`: by a
        message, for its verdict."""
        line = self._line_of((rule_id, is_try), url, is_waited_for=is_waited_for)
        if line.is_open(now_ns):
            self.outcomes[Outcome.OPEN] += 1
            return None
        is_full = self._calls >= CALLS or (not is_waited_for and self._behind >= CALLS_BEHIND)
        if is_full or line.calls >= CALLS_OF_A_RULE:
            self.outcomes[Outcome.FULL] += 1
            return None
        line.is_probing = line.opened_ns is not None
        line.calls += 1
        self._calls += 1
        self._behind += not is_waited_for
        return line

    def end(self, line: Line, outcome: Outcome | None, now_ns: int) -> None:
        """A call is over; None: it was broken off, which says nothing."""
        line.calls -= 1
        self._calls -= 1
        self._behind -= not line.is_waited_for
        was_probe, line.is_probing = line.is_probing, False
        if outcome is None:
            return
        self.outcomes[outcome] += 1
        if outcome is Outcome.ANSWERED:
            line.failures, line.opened_ns = 0, None
            return
        line.failures += 1
        if was_probe or (line.opened_ns is None and line.failures >= OPENS_AFTER):
            line.opened_ns = now_ns

    def _line_of(self, key: tuple[int, bool], url: str, *, is_waited_for: bool) -> Line:
        line = self._lines.get(key)
        if line is None or (line.url, line.is_waited_for) != (url, is_waited_for):
            line = self._lines[key] = Line(url, is_waited_for=is_waited_for)
        self._lines.move_to_end(key)
        if len(self._lines) > LINES_KEPT:
            self._lines.popitem(last=False)
        return line


def all_public(addresses: Iterable[str]) -> bool:
    """Whether a name leads nowhere else."""
    return all(map(is_public, addresses))

"""What reads bytes that others chose, each as a function of bytes that ends in a documented outcome or raises: tried by
hypothesis in `make test`, by atheris in `make fuzz`, and on what either found before (tests/fuzz/corpus)."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from memory_catalog import MemoryCatalog
from sanic.compat import Header
from sanic.exceptions import SanicException
from sanic.request import Request

from moderation.api.grpc import convert as moderation_convert
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.classifiers import LONGEST_REASON, answer_of
from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.policy import Links, Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rule_book import CompiledRules, RuleBook
from moderation.domain.rules import THRESHOLDS, Rule, RuleAction, RuleKind
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.windows import CarryMatcher
from moderation.errors import MalformedRequest as ModerationMalformedRequest, RuleRefused
from rooms.api.graphql.execute import execute
from rooms.api.grpc import convert as rooms_convert
from rooms.api.in_flight import InFlight
from rooms.errors import MalformedRequest as RoomsMalformedRequest
from rooms.ports import Ports
from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2
from salon.rooms.v1 import rooms_pb2
from ws_edge.adapters.grpc import convert as edge_convert
from ws_edge.adapters.jwt.keys import secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens
from ws_edge.adapters.nats import events
from ws_edge.errors import BadHandshake, InvalidToken, MalformedReference, RefusedFrame, Violation
from ws_edge.ports import Transport
from ws_edge.protocol import codec
from ws_edge.protocol.compression import accept_offer, inflate
from ws_edge.protocol.identity import Identity, Rank
from ws_edge.protocol.references import LARGEST_ID, parse_resume_point, parse_room, parse_video
from ws_edge.protocol.resume_text import ResumeTexts
from ws_edge.protocol.session import Session
from ws_edge.transport.plain_head import read_plain_head
from ws_edge.transport.upgrade import Handshake, read_handshake
from ws_edge.transport.websocket import ClientSocket, Keepalive

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
SECRET = "a secret of thirty-two bytes, no less"
GRAPHQL_CODES = {"UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "INVALID", "UNAVAILABLE"}
NOW_S = 1_800_000_000.0
FRAME_LIMIT_BYTES = 4096
ENTRY_HEADERS = (
    b"NATS/1.0\r\nNats-Sequence: 42\r\nNats-Last-Sequence: 7\r\nNats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\n\r\n"
)


def frame(data: bytes) -> None:
    """A text frame of the chat protocol: read or refused, by the codec and by a session that is told of it."""
    try:
        codec.decode(data)
    except RefusedFrame as refusal:
        assert len(refusal.nonce) <= 64
    assert len(codec.nonce_of(data)) <= 64
    session = Session(Rank.ADMIN, frames_per_window=0, now=0.0)
    session.receive(data, now=1.0)
    session.joined(2.0)
    session.receive(data, now=3.0)


class Recorder:
    """A Receiver that writes down what it is told."""

    frame_limit_bytes = FRAME_LIMIT_BYTES
    writes_soon = False

    def __init__(self) -> None:
        self.told: list[bytes | None] = []
        self.is_lost = False

    def connected(self, transport: Transport) -> None:
        """As all below, see Receiver."""

    def receive_text(self, payload: bytes) -> None:
        assert not self.is_lost
        payload.decode()
        self.told.append(payload)

    def receive_binary(self) -> None:
        assert not self.is_lost
        self.told.append(None)

    def receive_part(self) -> None:
        assert not self.is_lost

    def congestion_changed(self, is_congested: bool) -> None:
        """Nothing is congested here."""

    def lost(self) -> None:
        self.is_lost = True


class Wire(asyncio.Transport):
    """Where the answers go."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        """Nothing more is written."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """Nobody is at the other end."""

    close = abort


def websocket(data: bytes) -> None:
    """WebSocket frames behind a handshake, in parts as long as the first byte says: what is handed out, and how it
    ends, does not depend on the parts."""
    size, octets = 1 + (data[0] if data else 0), data[1:]
    asyncio.run(_compare(octets, size))


async def _compare(octets: bytes, size: int) -> None:
    whole, parts = _converse([octets]), _converse([octets[at : at + size] for at in range(0, len(octets), size)])
    assert whole == parts, (whole, parts)


def _converse(parts: Iterable[bytes]) -> tuple[list[bytes | None], int | None]:
    """What was handed out, and the close code that was sent."""
    recorder, wire = Recorder(), Wire()
    client = ClientSocket(recorder, wire, Keepalive(), set())
    client.open(b"", b"")
    for part in parts:
        _arrive(client, part)
    client.connection_lost(None)
    code = _close_code(bytes(wire.written))
    assert recorder.is_lost
    assert code is None or code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code < 5000, code
    return recorder.told, code


def _arrive(client: ClientSocket, part: bytes) -> None:
    """As the event loop has it."""
    rest = memoryview(part)
    while rest:
        room = client.get_buffer(-1)
        taken = min(len(room), len(rest))
        room[:taken] = rest[:taken]
        client.buffer_updated(taken)
        rest = rest[taken:]


def _close_code(written: bytes) -> int | None:
    """All that a server writes by itself are pongs and one close, none longer than 125 bytes."""
    at = 0
    while at < len(written):
        opcode, size = written[at] & 0x0F, written[at + 1]
        assert size <= 125
        if opcode == 8:
            assert at + 2 + size == len(written), "something follows the close"
            return int.from_bytes(written[at + 2 : at + 4], "big")
        assert opcode == 10, opcode
        at += 2 + size
    return None


def compression(data: bytes) -> None:
    """A compressed message, and an offer to compress."""
    try:
        assert len(inflate(data, FRAME_LIMIT_BYTES)) <= FRAME_LIMIT_BYTES
    except Violation as violation:
        assert violation.code in (1007, 1009)
    answer = accept_offer([data.decode("latin-1")])
    assert answer is None or answer.startswith("permessage-deflate; server_no_context_takeover")


_NOTHING: tuple[Any, Any] = None, None
"""The transport and the application of a request, which nobody asks here."""


def handshake(data: bytes) -> None:
    """An upgrade request: the target in the first line, a header in each other one. What the front door takes it reads
    as Sanic does."""
    target, *lines = data.split(b"\n")
    plain = read_plain_head(b"\r\n".join([b"GET /" + target + b" HTTP/1.1", *lines, b"", b""]))
    fields = [line.decode("latin-1").partition(":") for line in lines]
    headers = Header([(name.strip().lower(), value.strip()) for name, _, value in fields])
    try:
        request: Any = Request(b"/" + target, headers, "1.1", "GET", *_NOTHING)
    except SanicException:
        assert plain is None
        return  # Sanic refuses it with 400
    read = _read_handshake(request)
    assert plain is None or read == _read_handshake(plain[0])


def _read_handshake(request: Any) -> Handshake | int:
    """The status where it is refused."""
    try:
        read = read_handshake(request, has_compression=True)
    except BadHandshake as refusal:
        assert refusal.http_status in (400, 426)
        return refusal.http_status
    assert read.token != ""
    read.answer()
    return read


def token(data: bytes) -> None:
    """A JSON Web Token: an identity, or the one refusal, which says nothing of the token."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        identity = _finish(JwtTokens(secret_key(SECRET), clock=lambda: NOW_S).verify(text))
    except InvalidToken as refusal:
        assert len(text) < 8 or text not in str(refusal)
    else:
        check_identity(identity)


def check_identity(identity: Identity) -> None:
    """What every reader of an identity relies on."""
    assert identity.user_id is not None
    assert 1 <= identity.user_id <= LARGEST_ID
    assert identity.username.strip()
    identity.username.encode()
    assert set(identity.roles) <= {"user", "moderator", "admin", "superuser"}


def _finish(work: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def reference(data: bytes) -> None:
    """The last part of an address, and where somebody left the log."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_room, parse_video):
        with suppress(MalformedReference):
            parse(text)
    since, _, epoch = text.partition("&")
    point = parse_resume_point(since, epoch)
    assert point.since is None or 0 <= point.since <= LARGEST_ID


def resume(data: bytes) -> None:
    """What an anonymous client shows to be the same participant: as it is, and as an edge of another version with the
    same key may have signed it."""
    texts = ResumeTexts(SECRET.encode())
    signature = hmac.digest(SECRET.encode(), data, "sha256")[:16]
    for text in (data.decode("utf-8", "replace"), base64.urlsafe_b64encode(signature + data).decode()):
        former = texts.read(text, now_s=NOW_S)
        assert former is None or former.expires_at_s > NOW_S


def classifier(data: bytes) -> None:
    """What the classifier of a rule answers: a verdict with a short reason, or none."""
    answer = answer_of(data)
    assert answer is None or len(answer.reason) <= LONGEST_REASON


class _Nobody:
    """What a query of nobody has no business with: being asked is a defect, and is answered as one."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def asked(*_arguments: object, **_named: object) -> None:
            raise AssertionError(f"{name} was asked")

        return asked


def graphql(data: bytes) -> None:
    """A GraphQL request of nobody, its variables in the first line: the codes of its errors are the documented ones."""
    variables, _, query = data.partition(b"\n")
    wanted = [each.name for each in fields(Ports) if each.default is MISSING and each.default_factory is MISSING]
    parts: dict[str, Any] = dict.fromkeys(wanted, _Nobody()) | {"catalog": MemoryCatalog()}
    ports = Ports(**parts)
    asked = execute(InFlight(1), query.decode("utf-8", "replace"), variables, "", None, ports, True)
    body, status = asyncio.run(asked)
    codes = {error["extensions"]["code"] for error in json.loads(body).get("errors", ())}
    assert codes <= GRAPHQL_CODES, body
    assert status in (200, 400), status


# --- protobufs: of other services, of other versions, or of nobody ----------------------------------------------------


POLICIES = (
    Policy(slow_mode_seconds=600),
    Policy(members_only=True, min_account_minutes=1, min_follow_minutes=1),
    Policy(emote_only=True, max_length=999),
    Policy(unique=True, links=Links.REFUSE, max_shown_per_second=5),
)


@cache
def _rules() -> RuleBook:
    """One of each kind, everywhere."""
    rules = (
        Rule("terms", RuleKind.TERMS, RuleAction.FLAG, patterns=("blarg", "zonk*")),
        Rule("expressions", RuleKind.REGEX, RuleAction.FLAG, patterns=(r"free\W*nitro",)),
        Rule("links", RuleKind.LINKS, RuleAction.MUTE, allow=("example.com",), mute_minutes=5),
        *(Rule(kind.name, kind, RuleAction.FLAG, threshold=3) for kind in THRESHOLDS),
    )
    book = RuleBook()
    book.apply(RulesState(EVERYWHERE, 1, judges=True, acts=True))
    book.put(EVERYWHERE, CompiledRules(1, [KeptRule(n, EVERYWHERE, 1, rule) for n, rule in enumerate(rules)]))
    return book


def _judge(request: moderation_pb2.AdmitRequest) -> None:
    """As the stream does: every check has its verdict."""
    batch = moderation_convert.batch_from_proto(request)
    policies = PolicyCache()
    for number, message in enumerate(batch.messages):
        policies.apply(RoomPolicy(message.slug, number + 1, POLICIES[number % len(POLICIES)]))
    limits, now = Limits(10, 10, 100), Now(0, 0)
    admission = Admission(limits, SanctionCache(), LastSeenBuffer(), policies, rules=_rules())
    matcher = CarryMatcher()
    for carried in batch.carried:
        admission.carry(carried, now, matcher)
    for released in batch.released:
        admission.release(released)
    for speaker, slug in batch.seen:
        admission.report_seen(speaker, slug, now)
    verdicts = [admission.judge_arrival(arrival, now) for arrival in batch.arrivals]
    verdicts += [admission.judge_message(message, now) for message in batch.messages]
    if failure := _rules().take_failure():
        raise failure
    moderation_convert.verdicts_to_proto(verdicts, request)


def _read_admitted(response: moderation_pb2.AdmitResponse) -> None:
    edge_convert.limits_from_proto(response.limits)
    for verdict in response.verdicts:
        edge_convert.verdict_from_proto(verdict)


def _read_join(request: rooms_pb2.JoinRequest) -> None:
    rooms_convert.check_batch(len(request.items))
    rooms_convert.edge_from_proto(request.edge)
    for item in request.items:
        rooms_convert.arrival_from_proto(item)


def _read_sync(request: rooms_pb2.SyncRequest) -> None:
    for held in request.held:
        rooms_convert.held_from_proto(held)
    rooms_convert.ordinal_from_proto(request.ordinal)


def _read_ranks(request: rooms_pb2.ChangeRanksRequest) -> None:
    for change in request.changes:
        rooms_convert.rank_from_proto(change)
    rooms_convert.ordinal_from_proto(request.ordinal)


def _read_outcomes(response: rooms_pb2.JoinResponse) -> None:
    for outcome in response.outcomes:
        edge_convert.outcome_from_proto(outcome)


async def _read_sanctions(response: moderation_pb2.ListActiveResponse) -> None:
    read = edge_convert.sanctions_from_proto(response.sanctions)
    assert len(read) <= len(response.sanctions)
    assert len(edge_convert.in_force_from_proto(response).policies) <= len(response.policies)


async def _read_event(event: moderation_pb2.SanctionEvent) -> None:
    edge_convert.event_from_proto(event)


Reader = tuple[type[Any], Callable[[Any], object], tuple[type[Exception], ...]]

READERS: Mapping[str, Reader] = {
    # by the edge
    "LogEntry": (
        events_pb2.LogEntry,
        lambda m: events.decode_entry(ENTRY_HEADERS, m.SerializeToString(), 0),
        (),
    ),
    "Typing": (events_pb2.Typing, lambda m: events.decode_typing(m.SerializeToString()), ()),
    "Presence": (events_pb2.Presence, lambda m: events.decode_presence(m.SerializeToString()), ()),
    "SanctionEvent": (moderation_pb2.SanctionEvent, lambda m: asyncio.run(_read_event(m)), (ValueError,)),
    "ListActiveResponse": (moderation_pb2.ListActiveResponse, lambda m: asyncio.run(_read_sanctions(m)), ()),
    "AdmitResponse": (moderation_pb2.AdmitResponse, _read_admitted, ()),
    "JoinResponse": (rooms_pb2.JoinResponse, _read_outcomes, ()),
    "FindConnectedResponse": (
        rooms_pb2.FindConnectedResponse,
        edge_convert.rank_from_proto,
        (),
    ),
    "ListParticipantsResponse": (rooms_pb2.ListParticipantsResponse, edge_convert.snapshot_from_proto, ()),
    # by moderation
    "AdmitRequest": (moderation_pb2.AdmitRequest, _judge, ()),
    "ActRequest": (moderation_pb2.ActRequest, moderation_convert.order_from_act, (ModerationMalformedRequest,)),
    "ExecuteRequest": (
        moderation_pb2.ExecuteRequest,
        moderation_convert.order_from_proto,
        (ModerationMalformedRequest, RuleRefused),
    ),
    "ListActiveRequest": (
        moderation_pb2.ListActiveRequest,
        moderation_convert.query_from_proto,
        (ModerationMalformedRequest,),
    ),
    "ListAuditRequest": (
        moderation_pb2.ListAuditRequest,
        lambda m: (moderation_convert.reader_from_proto(m), moderation_convert.audit_query_from_proto(m)),
        (ModerationMalformedRequest,),
    ),
    "its own SanctionEvent": (
        moderation_pb2.SanctionEvent,
        lambda m: moderation_convert.decode_event(m.SerializeToString()),
        (ValueError,),
    ),
    # by rooms
    "JoinRequest": (rooms_pb2.JoinRequest, _read_join, (RoomsMalformedRequest,)),
    "SyncRequest": (rooms_pb2.SyncRequest, _read_sync, (RoomsMalformedRequest,)),
    "HeartbeatRequest": (
        rooms_pb2.HeartbeatRequest,
        lambda m: rooms_convert.sequences_from_proto(m.positions),
        (RoomsMalformedRequest,),
    ),
    "ExecuteGraphQLRequest": (
        rooms_pb2.ExecuteGraphQLRequest,
        lambda m: rooms_convert.viewer_from_proto(m.viewer),
        (RoomsMalformedRequest,),
    ),
    "ChangeRanksRequest": (
        rooms_pb2.ChangeRanksRequest,
        _read_ranks,
        (RoomsMalformedRequest,),
    ),
    "ReadEmotesRequest": (
        rooms_pb2.ReadEmotesRequest,
        lambda m: rooms_convert.slugs_from_proto(m.slugs),
        (RoomsMalformedRequest,),
    ),
    "ListBlockedRequest": (
        rooms_pb2.ListBlockedRequest,
        lambda m: rooms_convert.user_ids_from_proto(m.user_ids),
        (RoomsMalformedRequest,),
    ),
    # by the edge
    "Reactions": (events_pb2.Reactions, lambda m: events.decode_reactions(m.SerializeToString()), ()),
}
"""Who reads what, and what they may raise."""


def read_protobuf(name: str, payload: bytes) -> None:
    """Bytes that are said to be such a message."""
    kind, read, refusals = READERS[name]
    try:
        message = kind.FromString(payload)
    except DecodeError:
        return
    with suppress(*refusals):
        read(message)


def protobuf(data: bytes) -> None:
    """The first byte chooses the message and its reader."""
    if data:
        names = tuple(READERS)
        read_protobuf(names[data[0] % len(names)], data[1:])


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "classifier": classifier,
    "compression": compression,
    "frame": frame,
    "graphql": graphql,
    "handshake": handshake,
    "protobuf": protobuf,
    "reference": reference,
    "resume": resume,
    "token": token,
    "websocket": websocket,
}

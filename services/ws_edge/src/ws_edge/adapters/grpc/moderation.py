"""The moderation service over gRPC: every key has its home replica."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc

from chassis.grpc_channel import open_channel
from chassis.grpc_security import GrpcSecurity
from chassis.tasks import Tasks
from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.admission_stream import AdmissionStream, PendingMessage, next_number
from ws_edge.adapters.grpc.calls import call
from ws_edge.adapters.grpc.carried_admissions import CarriedAdmissions, ReleasedAdmissions
from ws_edge.adapters.grpc.convert import (
    UNAVAILABLE,
    act_from_proto,
    act_to_proto,
    held_from_proto,
    hold_to_proto,
    in_force_from_proto,
    rank_to_proto,
    reported_warning_from_proto,
    request_to_proto,
    result_from_proto,
    revocations_from_proto,
    sanctions_from_proto,
    speaker_to_proto,
    warning_report_to_proto,
)
from ws_edge.adapters.grpc.convert_cases import ban_from_proto, report_answer_from_proto, report_to_proto
from ws_edge.adapters.grpc.convert_feed import feed_part_from_proto, feed_state_from_proto
from ws_edge.adapters.grpc.homes import choose_behind_names, is_literal, look_up, split
from ws_edge.errors import ModerationUnavailable
from ws_edge.ports import (
    REVOCATIONS_PER_READ,
    AdmissionLimits,
    CommandRefusal,
    CommandRequest,
    CommandResult,
    Decision,
    HoldRefusal,
    HoldRequest,
    HoldResult,
    InForce,
    ReportAnswer,
    Verdict,
    WarningStep,
)
from ws_edge.protocol.commands import ChangeSanction, Report
from ws_edge.protocol.feed import FeedPart, FeedState
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.identity import Life, Slug, Speaker, target_routing_key
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.sanctions import BanNotice, Sanction
from ws_edge.protocol.warnings import RoomWarning

if TYPE_CHECKING:
    from salon.moderation.v1.moderation_pb2_grpc import ModerationServiceAsyncStub

_COMMAND_DEADLINE_S = 5.0
_PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED.name
_UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.name
_READ_DEADLINE_S = 2.0
_BAN_DEADLINE_S = 1.0
_REVOCATIONS_DEADLINE_S = 1.0
_LOOK_UP_EVERY_S = 5.0
_HOMES_LIMIT = 100_000
_HOMES_AT_ONCE = 100
_BEFORE_ANY_IS_HEARD = AdmissionLimits(messages_per_window=10, window_s=10.0, messages_per_address=100)


class GrpcModeration:
    """Implements Moderation. `addresses`: host:port of every replica; a name stands for all its addresses, looked up
    every five seconds. Homes go by these texts, so every edge has to have the same ones."""

    def __init__(self, addresses: Sequence[str], security: GrpcSecurity | None = None, *, worker: str = "") -> None:
        """`worker`: the incarnation of this process; empty: every message is asked about."""
        self._worker = worker
        self._security = security or GrpcSecurity()
        self._addresses = list(dict.fromkeys(address.lower() for address in addresses))
        self._limits = _BEFORE_ANY_IS_HEARD
        self._streams: dict[str, AdmissionStream] = {}
        self._up: dict[str, AdmissionStream] = {}
        self._replicas: dict[str, list[str]] = {}
        """What is known to stand behind each of the addresses."""
        self._reachable: dict[str, list[str]] = {}
        """What of that is up."""
        self._homes: dict[str, AdmissionStream] = {}
        self._speaking: dict[str, tuple[AdmissionStream, int]] = {}
        self._carried = CarriedAdmissions()
        self._released = ReleasedAdmissions()
        self._is_behind = asyncio.Event()
        self._revocations_asked = 0
        self._tasks = Tasks()

    @property
    def limits(self) -> AdmissionLimits:
        """See ports.Moderation."""
        return self._limits

    @property
    def is_connected(self) -> bool:
        """At least one replica answers."""
        return bool(self._up)

    async def start(self) -> None:
        """Begin to open streams; replicas may come up later."""
        self._loop = asyncio.get_running_loop()
        self._tasks.spawn(self._follow_addresses(), "moderation addresses")
        self._tasks.spawn(self._catch_up(), "moderation carried")

    async def stop(self) -> None:
        """Close every stream; what waits is answered as unavailable."""
        await self._tasks.stop()
        self._streams.clear()

    def admit(
        self,
        speaker: Speaker,
        slug: Slug,
        log: LogRef,
        nonce: str,
        done: Callable[[Verdict], None],
        *,
        text: str = "",
        without_policy: bool = False,
    ) -> None:
        """See ports.Moderation."""
        key = speaker.routing_key
        if self._carried.is_behind(key):
            self._carry_to_home_of(key)
        self._ask(PendingMessage(speaker, slug, log, nonce, done, key, without_policy), text)

    def has_lent(self, speaker: Speaker, life: Life) -> bool:
        """See ports.Moderation."""
        key = speaker.routing_key
        stream = self._homes.get(key)
        return stream is not None and key not in self._speaking and stream.has_lent(speaker, life)

    def report_admitted(self, speaker: Speaker, life: Life, nonce: str, text: str) -> int:
        """See ports.Moderation."""
        number, stream = next_number(), self._homes[speaker.routing_key]
        now_s, window_s = self._loop.time(), self._limits.window_s
        self._carried.note(speaker, life, nonce, number, stream=stream.serial, now_s=now_s, window_s=window_s)
        stream.report_admitted(speaker, life, number, nonce, text)
        return number

    def ask_text(
        self,
        speaker: Speaker,
        slug: Slug,
        log: LogRef,
        nonce: str,
        done: Callable[[Verdict], None],
        *,
        text: str,
        number: int,
    ) -> None:
        """See ports.Moderation."""
        self._ask(PendingMessage(speaker, slug, log, nonce, done, _key_of_room(slug), admitted_as=number), text)

    def _ask(self, pending: PendingMessage, text: str) -> None:
        """While something of a key is unanswered the rest follows it, or a new home might answer earlier."""
        key = pending.key
        speaking = self._speaking.get(key)
        stream = self._home_of(key) if speaking is None else speaking[0]
        if stream is None:
            self._loop.call_soon(pending.done, UNAVAILABLE)
            return
        if len(self._up) > 1 and not pending.admitted_as:
            pending.text_elsewhere = self._home_of(_key_of_room(pending.slug)) is not stream
        self._speaking[key] = (stream, 1 if speaking is None else speaking[1] + 1)
        stream.ask_message(pending, text)

    def note_admitted(self, speaker: Speaker, life: Life, nonce: str, *, slow_in: Slug | None = None) -> int:
        """See ports.Moderation."""
        number = next_number()
        self._note(speaker, life, nonce, None, number, slow_in)
        return number

    def release(self, speaker: Speaker, slug: Slug, life: Life, nonce: str, number: int) -> None:
        """See ports.Moderation. Told to every replica: homes may have moved since, and move back."""
        released = pb.ReleasedAdmission(slug=slug, life=life, nonce=nonce, id=number)
        speaker_to_proto(speaker, released.speaker)
        self._carried.release(speaker, slug, life, nonce, number)
        self._released.note(released, now_s=self._loop.time())
        for stream in self._up.values():
            stream.release([released])

    async def check_arrival(self, speaker: Speaker, slug: Slug, *, final: bool) -> bool:
        """See ports.Moderation."""
        stream = self._home_of(speaker.routing_key)
        if stream is None:
            raise ModerationUnavailable("no replica")
        return await stream.ask_arrival(speaker, slug, final=final)

    def report_seen(self, speaker: Speaker, slug: Slug) -> None:
        """See ports.Moderation."""
        stream = self._home_of(speaker.routing_key)
        if stream is not None:
            stream.report_seen(speaker, slug)

    async def hold(self, request: HoldRequest) -> HoldResult | HoldRefusal:
        """See ports.Moderation."""
        execute = self._stub_for(_key_of_room(request.slug)).Execute
        answer = await call(execute, hold_to_proto(request), _COMMAND_DEADLINE_S, ModerationUnavailable)
        result = held_from_proto(answer)
        if result is None:
            raise ModerationUnavailable("an answer of a later version")
        return result

    async def execute(self, request: CommandRequest) -> CommandResult | CommandRefusal | Decided:
        """See ports.Moderation. Not repeated elsewhere when the answer is lost: it may have been carried out."""
        target = request.target
        stub = self._stub_for(request.slug if target is None else target_routing_key(target.user_id, target.username))
        try:
            answer = await call(stub.Execute, request_to_proto(request), _COMMAND_DEADLINE_S, ModerationUnavailable)
        except ModerationUnavailable as reason:
            change = request.command
            if reason.args != (_UNIMPLEMENTED,) or not isinstance(change, ChangeSanction) or change.purge:
                raise
            # A service of before; it has changed nothing.
            old = await call(stub.Act, act_to_proto(request, change), _COMMAND_DEADLINE_S, ModerationUnavailable)
            return act_from_proto(old)
        return result_from_proto(answer)

    async def report_warning(
        self, speaker: Speaker, slug: Slug, warning_id: int, step: WarningStep
    ) -> RoomWarning | None:
        """See ports.Moderation. Said to the replica that judges the speaker's messages."""
        request = warning_report_to_proto(speaker, slug, warning_id, step)
        execute = self._stub_for(speaker.routing_key).Execute
        return reported_warning_from_proto(await call(execute, request, _COMMAND_DEADLINE_S, ModerationUnavailable))

    async def find_ban(self, speaker: Speaker, slug: Slug) -> BanNotice | None:
        """See ports.Moderation."""
        request = pb.FindBanRequest(speaker=speaker_to_proto(speaker), slug=slug)
        find = self._stub_for(speaker.routing_key).FindBan
        return ban_from_proto(await call(find, request, _BAN_DEADLINE_S, ModerationUnavailable))

    async def file_report(self, speaker: Speaker, slug: Slug, log: LogRef, report: Report) -> ReportAnswer:
        """See ports.Moderation."""
        request = report_to_proto(speaker, slug, log, report)
        execute = self._stub_for(speaker.routing_key).Execute
        return report_answer_from_proto(await call(execute, request, _COMMAND_DEADLINE_S, ModerationUnavailable))

    async def open_feed(self, speaker: Speaker, slug: Slug, since: int | None) -> FeedState | None:
        """See ports.Moderation."""
        token_rank = rank_to_proto(speaker.identity.rank_by_token)
        request = pb.OpenFeedRequest(reader=speaker_to_proto(speaker), slug=slug, since=since, token_rank=token_rank)
        try:
            stub = self._stub_for(_key_of_room(slug))
            return feed_state_from_proto(await call(stub.OpenFeed, request, _READ_DEADLINE_S, ModerationUnavailable))
        except ModerationUnavailable as reason:
            if reason.args != (_PERMISSION_DENIED,):
                raise
            return None

    async def read_feeds(self, slugs: Sequence[Slug], after: int) -> FeedPart:
        """See ports.Moderation. Any replica knows."""
        request = pb.ReadFeedsRequest(slugs=slugs, after_id=after)
        stub = self._stub_for(_key_of_room(slugs[0]))
        return feed_part_from_proto(await call(stub.ReadFeeds, request, _READ_DEADLINE_S, ModerationUnavailable))

    async def active(self, slugs: Sequence[Slug]) -> InForce:
        """See ports.Moderation."""
        if not slugs:
            return InForce([])  # the contract has another meaning for a request without any
        request = pb.ListActiveRequest(
            slugs=slugs,
            room_only=True,
            with_policies=True,
            with_pins=True,
            with_warnings=True,
            with_roles=True,
            with_holds=True,
        )
        return in_force_from_proto(await self._list_active(slugs[0], request))

    async def active_everywhere(self) -> list[Sanction]:
        """See ports.Moderation."""
        answer = await self._list_active("", pb.ListActiveRequest())
        return sanctions_from_proto(answer.sanctions)

    async def revocations_after(self, version: int) -> list[Revocation]:
        """See ports.Moderation. After a failure another replica is asked the next time: one that hangs is not to keep
        what the others know. Where all that are up are of before nothing is revoked."""
        request = pb.ListRevocationsRequest(after_version=version, first=REVOCATIONS_PER_READ)
        streams = list(self._up.values())
        if not streams:
            raise ModerationUnavailable("no replica")
        for _ in streams:
            stub = streams[self._revocations_asked % len(streams)].stub
            try:
                answer = await call(stub.ListRevocations, request, _REVOCATIONS_DEADLINE_S, ModerationUnavailable)
            except ModerationUnavailable as reason:
                self._revocations_asked += 1
                if reason.args != (_UNIMPLEMENTED,):
                    raise
            else:
                return revocations_from_proto(answer.revocations)
        return []

    async def _list_active(self, key: str, request: pb.ListActiveRequest) -> pb.ListActiveResponse:
        return await call(self._stub_for(key).ListActive, request, _READ_DEADLINE_S, ModerationUnavailable)

    def _home_of(self, key: str) -> AdmissionStream | None:
        stream = self._homes.get(key)
        if stream is None and (address := choose_behind_names(key, self._reachable)) is not None:
            if len(self._homes) >= _HOMES_LIMIT:
                self._homes.clear()
            stream = self._homes[key] = self._up[address]
        return stream

    def _stub_for(self, key: str) -> "ModerationServiceAsyncStub":
        stream = self._home_of(key)
        if stream is None:
            raise ModerationUnavailable("no replica")
        return stream.stub

    def _stream_opened(self, stream: AdmissionStream, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._up[stream.address] = stream
        stream.release(self._released.lately(now_s=self._loop.time()))
        self._homes_changed()

    def _stream_closed(self, stream: AdmissionStream) -> None:
        if self._up.get(stream.address) is stream:
            del self._up[stream.address]
        self._homes_changed()

    def _homes_changed(self) -> None:
        """The new homes learn what they have to count: each before it is asked about a speaker, and all in time."""
        self._reachable = {name: [ip for ip in behind if ip in self._up] for name, behind in self._replicas.items()}
        self._homes.clear()
        self._carried.homes_changed()
        self._is_behind.set()

    async def _catch_up(self) -> None:
        """In slices: there may be as many speakers as an edge has connections."""
        while True:
            await self._is_behind.wait()
            for _ in range(_HOMES_AT_ONCE):
                key = self._carried.next_behind()
                if key is None or not self._carry_to_home_of(key):
                    self._is_behind.clear()
                    break
            await asyncio.sleep(0)

    def _carry_to_home_of(self, key: str) -> bool:
        """False: no replica is up."""
        stream = self._home_of(key)
        if stream is None:
            return False
        now_s, window_s = self._loop.time(), self._limits.window_s
        stream.carry(self._carried.owed_to(key, stream.serial, now_s=now_s, window_s=window_s))
        return True

    def _settle(self, stream: AdmissionStream, pending: PendingMessage, verdict: Verdict) -> None:
        key = pending.key
        unanswered = self._speaking[key][1] - 1
        if unanswered:
            self._speaking[key] = (stream, unanswered)
        else:
            del self._speaking[key]
        if verdict.decision in (Decision.ADMITTED, Decision.HELD) and not pending.admitted_as:
            slow_in = pending.slug if verdict.place else None
            # To another home one that waits must not look like one that was admitted: that may be published.
            nonce = pending.nonce if verdict.decision is Decision.ADMITTED else ""
            self._note(pending.speaker, pending.log.life, nonce, stream, verdict.number, slow_in)
        pending.done(verdict)

    def _note(
        self,
        speaker: Speaker,
        life: Life,
        nonce: str,
        stream: AdmissionStream | None,
        number: int,
        slow_in: Slug | None,
    ) -> None:
        now_s, window_s = self._loop.time(), self._limits.window_s
        serial = None if stream is None else stream.serial
        self._carried.note(speaker, life, nonce, number, stream=serial, now_s=now_s, window_s=window_s)
        if slow_in is not None:
            self._carried.note_place(speaker, slow_in, life, number, stream=serial, now_s=now_s)
        # Its home may have changed, or come back, while the verdict was on its way.
        if self._home_of(speaker.routing_key) is not stream:
            self._carry_to_home_of(speaker.routing_key)

    async def _follow_addresses(self) -> None:
        while True:
            found = await asyncio.gather(*map(look_up, self._addresses))
            # A name that cannot be looked up just now keeps what stood behind it.
            behind = zip(self._addresses, found, strict=True)
            self._set_replicas({address: ips or self._replicas.get(address, []) for address, ips in behind})
            if all(is_literal(address) for address in self._addresses):
                return
            await asyncio.sleep(_LOOK_UP_EVERY_S)

    def _set_replicas(self, replicas: Mapping[str, list[str]]) -> None:
        if replicas == self._replicas:
            return
        self._replicas = dict(replicas)
        # Each address with what the operator calls it: that is whom its certificate names.
        addresses = {ip: split(name)[0] for name, behind in replicas.items() for ip in behind}
        for address in self._streams.keys() - addresses.keys():
            self._streams.pop(address).leave()
        self._homes_changed()
        for address, host in addresses.items():
            if address not in self._streams:
                stream = AdmissionStream(
                    address,
                    open_channel(address, self._security, server_name=host),
                    opened=self._stream_opened,
                    closed=self._stream_closed,
                    settle=self._settle,
                    worker=self._worker,
                )
                self._streams[address] = stream
                self._tasks.spawn(stream.run(), f"moderation stream {address}")


def _key_of_room(slug: Slug) -> str:
    """By which the home of a room is chosen."""
    return f"r:{slug}"

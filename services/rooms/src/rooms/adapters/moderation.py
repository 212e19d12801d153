"""The Moderation port over gRPC: any replica answers, and one that is away makes no call fail.

Where one address is given, such as a name with several replicas behind it, gRPC shares the calls among them and sends
again what one of them did not take. A list of addresses is tried in turn here, beginning with the one that answered
last: gRPC takes several names for no target (`dns:` looks up one, `ipv4:` takes numbers alone), and of several numbers
it would ask one that hangs again and again, each time until the deadline.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import TypeVar

import grpc
import grpc.aio
import structlog

from chassis.grpc_channel import open_channel, retry_policy
from chassis.grpc_security import GrpcSecurity
from chassis.traces import trace_headers
from rooms.domain.people import Rank, Slug, UserId, Viewer
from rooms.domain.sanctions import Sanction, SanctionAction, SanctionScope, Target
from rooms.errors import InvalidInput, ModerationUnavailable, NotPermitted, Refusal, SanctionNotFound
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc

_ALL_REPLICAS_S = 4.0
"""For all of them together: a GraphQL request has 5 s."""
_DEADLINE_S = 2.0
"""At most, for one replica."""
_ATTEMPTS = 4
"""Of a call, where one address is all."""
_SLUGS_A_CALL = 1000
_TARGETS_A_CALL = 1000
_T = TypeVar("_T")
_log = structlog.get_logger()
_REFUSALS: dict[grpc.StatusCode, type[Refusal]] = {
    grpc.StatusCode.NOT_FOUND: SanctionNotFound,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
}
"""What any replica would answer."""


class GrpcModeration:
    """Construct inside a running loop; end with `close`. `addresses`: host:port, or other targets of gRPC."""

    def __init__(self, addresses: Sequence[str], security: GrpcSecurity | None = None) -> None:
        secured = security or GrpcSecurity()
        options = [retry_policy(_ATTEMPTS)] if len(addresses) == 1 else []
        self._channels = [open_channel(address, secured, options=options) for address in addresses]
        self._stubs = [moderation_pb2_grpc.ModerationServiceStub(channel) for channel in self._channels]
        self._deadline_s = min(_DEADLINE_S, _ALL_REPLICAS_S / len(self._stubs))
        self._first = 0

    async def close(self) -> None:
        """Drop the connections."""
        for channel in self._channels:
            await channel.close()

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        """See ports.Moderation. A replica of an older version answers with those of all others as well."""
        found: dict[int, Sanction] = {}
        for some, aimed in product(_parts(slugs, _SLUGS_A_CALL), _parts(targets, _TARGETS_A_CALL)):
            request = pb.ListActiveRequest(
                slugs=some,
                target_user_ids=[target.user_id for target in aimed if target.user_id is not None],
                target_usernames=[target.username for target in aimed if target.username is not None],
                without_addresses=True,
            )
            answer = await self._ask(
                lambda stub, r=request: stub.ListActive(r, timeout=self._deadline_s, metadata=_trace())  # type: ignore[misc] # mypy cannot infer a lambda's default
            )
            found |= {sanction.id: _sanction_from_proto(sanction) for sanction in answer.sanctions}
        return list(found.values())

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        """The history, newest first."""
        if first == 0:
            return []
        request = pb.ListSanctionsRequest(slug=slug or "", active=active, first=first, before_id=before_id or 0)
        answer = await self._ask(lambda stub: stub.ListSanctions(request, timeout=self._deadline_s, metadata=_trace()))
        return [_sanction_from_proto(sanction) for sanction in answer.sanctions]

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        """End one sanction."""
        moderator = pb.Speaker(user_id=viewer.user_id, username=viewer.username, rank=pb.Rank.ValueType(viewer.rank))
        request = pb.LiftSanctionRequest(id=sanction_id, moderator=moderator)
        answer = await self._ask(lambda stub: stub.LiftSanction(request, timeout=self._deadline_s, metadata=_trace()))
        return _sanction_from_proto(answer.sanction)

    async def _ask(self, call: Callable[["moderation_pb2_grpc.ModerationServiceAsyncStub"], Awaitable[_T]]) -> _T:
        """Lifting twice lifts once, so every call may be tried on the next address."""
        for place in [*range(self._first, len(self._stubs)), *range(self._first)]:
            try:
                answer = await call(self._stubs[place])
            except grpc.aio.AioRpcError as problem:
                if refusal := _REFUSALS.get(problem.code()):
                    self._first = place
                    raise refusal from None
                _log.warning("moderation_away", status=problem.code().name)
            else:
                self._first = place
                return answer
        raise ModerationUnavailable


def _parts(all_of_them: Sequence[_T], longest: int) -> Iterator[Sequence[_T]]:
    return (all_of_them[start : start + longest] for start in range(0, len(all_of_them), longest))


def _trace() -> tuple[tuple[str, str], ...]:
    return tuple(trace_headers().items())


def _sanction_from_proto(sanction: pb.Sanction) -> Sanction:
    return Sanction(
        id=sanction.id,
        action=SanctionAction.BAN if sanction.action == pb.ACTION_BAN else SanctionAction.MUTE,
        target_user_id=UserId(sanction.target_user_id) if sanction.target_user_id else None,
        target_username=sanction.target_username or None,
        scope=SanctionScope.EVERYWHERE if sanction.scope == pb.SCOPE_EVERYWHERE else SanctionScope.ROOM,
        slug=Slug(sanction.slug) if sanction.slug else None,
        reason=sanction.reason or None,
        moderator_user_id=UserId(sanction.moderator_user_id),
        moderator_rank=Rank(sanction.moderator_rank or Rank.MODERATOR),
        created_at=_time_from_proto(sanction.created_at_ms),
        expires_at=_time_from_proto(sanction.expires_at_ms) if sanction.expires_at_ms else None,
        lifted_at=_time_from_proto(sanction.lifted_at_ms) if sanction.lifted_at_ms else None,
    )


def _time_from_proto(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

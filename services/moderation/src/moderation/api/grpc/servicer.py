"""The calls of the contract; each converts, asks a use case, and converts back."""

from collections.abc import AsyncIterator

import grpc.aio

from moderation.api.grpc.admit import AdmitContext, AdmitStreams
from moderation.api.grpc.convert import asked_from, moderator_from, order_from
from moderation.api.grpc.sanction_convert import event_to_message, sanction_to_message, sanctions_to_messages
from moderation.domain.order import NotPermitted
from moderation.ports import Clock, Store
from moderation.usecases.desk import Desk
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

_LARGEST_PAGE = 100


SERVICE = pb.DESCRIPTOR.services_by_name["ModerationService"].full_name


class ModerationServicer(pb_grpc.ModerationServiceServicer):
    """Exceptions go through: the interceptor turns them into status codes."""

    def __init__(self, streams: AdmitStreams, desk: Desk, store: Store, clock: Clock) -> None:
        self._streams = streams
        self._desk = desk
        self._store = store
        self._clock = clock

    async def Admit(  # type: ignore[override]  # noqa: N802 - the contract's name; grpc.aio knows this form as well
        self, request_iterator: AsyncIterator[pb.AdmitRequest], context: AdmitContext
    ) -> None:
        """One stream of an edge worker, read and written by hand: half the cost of generators."""
        await self._streams.serve(context)

    async def Act(  # noqa: N802
        self, request: pb.ActRequest, context: grpc.aio.ServicerContext[pb.ActRequest, pb.ActResponse]
    ) -> pb.ActResponse:
        """Impose or lift; a refusal by the rules is an answer, not an error."""
        try:
            event = await self._desk.act(order_from(request))
        except NotPermitted:
            return pb.ActResponse(permitted=False)
        return pb.ActResponse(permitted=True, event=event_to_message(event))

    async def ListActive(  # noqa: N802
        self,
        request: pb.ListActiveRequest,
        context: grpc.aio.ServicerContext[pb.ListActiveRequest, pb.ListActiveResponse],
    ) -> pb.ListActiveResponse:
        """From the database, which is right even where events were missed."""
        found = await self._store.in_force(asked_from(request), now_ms=self._clock.now().wall_ms)
        return pb.ListActiveResponse(sanctions=sanctions_to_messages(found))

    async def ListSanctions(  # noqa: N802
        self,
        request: pb.ListSanctionsRequest,
        context: grpc.aio.ServicerContext[pb.ListSanctionsRequest, pb.ListSanctionsResponse],
    ) -> pb.ListSanctionsResponse:
        """One page, newest first."""
        found = await self._store.page(
            request.slug or None,
            only_in_force=request.active,
            first=min(max(request.first, 0), _LARGEST_PAGE),
            before_id=request.before_id or None,
            now_ms=self._clock.now().wall_ms,
        )
        return pb.ListSanctionsResponse(sanctions=sanctions_to_messages(found))

    async def LiftSanction(  # noqa: N802
        self,
        request: pb.LiftSanctionRequest,
        context: grpc.aio.ServicerContext[pb.LiftSanctionRequest, pb.LiftSanctionResponse],
    ) -> pb.LiftSanctionResponse:
        """NOT_FOUND and PERMISSION_DENIED come from the interceptor."""
        sanction = await self._desk.lift(request.id, moderator_from(request.moderator))
        return pb.LiftSanctionResponse(sanction=sanction_to_message(sanction))

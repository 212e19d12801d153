"""The calls of the contract; each converts, asks a use case, and converts back."""

from collections.abc import AsyncIterator

import grpc.aio

from moderation.api.grpc.admit import AdmitContext, AdmitStreams
from moderation.api.grpc.convert import (
    REFUSED,
    audit_query_from_proto,
    audit_to_proto,
    event_to_proto,
    hit_to_proto,
    hold_to_proto,
    holder_to_proto,
    kept_from_proto,
    kept_rule_to_proto,
    log_from_proto,
    moderator_from_proto,
    order_from_act,
    order_from_proto,
    pin_to_proto,
    policy_to_proto,
    query_from_proto,
    reader_from_proto,
    receipt_to_proto,
    refusal_to_proto,
    revocation_to_proto,
    roles_to_proto,
    sanction_to_proto,
    slug_from_proto,
    speaker_from_proto,
    tried_text,
    tried_to_proto,
    undoable_to_proto,
    verification_to_proto,
    warning_to_proto,
)
from moderation.api.grpc.convert_cases import (
    add_case,
    ban_to_proto,
    kept_report_to_proto,
    person_from_proto,
    report_state_from_proto,
    request_state_from_proto,
    unban_request_to_proto,
)
from moderation.api.grpc.convert_feed import (
    feed_part_to_proto,
    feed_slugs_from_proto,
    feed_state_to_proto,
    since_from_proto,
)
from moderation.domain.holds import HoldOrder
from moderation.domain.kept_rules import EVERYWHERE
from moderation.errors import MalformedRequest, NotPermitted
from moderation.ports import Ports
from moderation.usecases.cases import get_case, slug_of_note
from moderation.usecases.execute import execute, hold, lift
from moderation.usecases.feed import open_feed, read_feed
from moderation.usecases.queries import (
    list_active,
    list_audit,
    list_held,
    list_history,
    list_revocations,
    list_role_holders,
    list_undoable,
    verify_audit,
)
from moderation.usecases.reports import list_reports, slug_of_report
from moderation.usecases.rules import list_hits, list_rules, try_text
from moderation.usecases.unban_requests import find_ban, list_unban_requests, slug_of_unban_request
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["ModerationService"].full_name


class ModerationServicer(pb_grpc.ModerationServiceServicer):
    """Exceptions go through: the interceptor turns them into status codes."""

    def __init__(self, ports: Ports, streams: AdmitStreams) -> None:
        self._ports = ports
        self._streams = streams

    async def Admit(  # type: ignore[override]  # noqa: N802 - the contract's name; grpc.aio knows this form as well
        self, request_iterator: AsyncIterator[pb.AdmitRequest], context: AdmitContext
    ) -> None:
        """One stream of an edge worker."""
        await self._streams.serve(context)

    async def Act(  # noqa: N802
        self, request: pb.ActRequest, context: grpc.aio.ServicerContext[pb.ActRequest, pb.ActResponse]
    ) -> pb.ActResponse:
        """Impose or lift; a refusal by the table of rights is an answer, not an error."""
        try:
            receipt = await execute(self._ports, order_from_act(request))
        except NotPermitted:
            return pb.ActResponse(permitted=False)
        event = None if receipt.event is None else event_to_proto(receipt.event)
        return pb.ActResponse(permitted=True, event=event)

    async def Execute(  # noqa: N802
        self, request: pb.ExecuteRequest, context: grpc.aio.ServicerContext[pb.ExecuteRequest, pb.ExecuteResponse]
    ) -> pb.ExecuteResponse:
        """Carry out a command; what is refused, or not there, is an answer as well."""
        try:
            order = order_from_proto(request)
            if isinstance(order, HoldOrder):
                receipt = await hold(self._ports, order)
            else:
                receipt = await execute(self._ports, order)
        except REFUSED as refusal:
            return refusal_to_proto(refusal)
        return receipt_to_proto(receipt, order)

    async def ListActive(  # noqa: N802
        self,
        request: pb.ListActiveRequest,
        context: grpc.aio.ServicerContext[pb.ListActiveRequest, pb.ListActiveResponse],
    ) -> pb.ListActiveResponse:
        """What is in force."""
        query = query_from_proto(request)
        found = await list_active(self._ports, query, kept_from_proto(request))
        rules = self._ports.rules
        return pb.ListActiveResponse(
            sanctions=map(sanction_to_proto, found.sanctions),
            policies=map(policy_to_proto, found.policies),
            pins=map(pin_to_proto, found.pins),
            warnings=map(warning_to_proto, found.warnings or ()),
            has_warnings=request.with_warnings and found.warnings is not None,
            holds=map(hold_to_proto, found.holds),
            has_holds=request.with_holds,
            ruled_slugs=filter(rules.acts_in, query.slugs) if request.with_policies else (),
            ruled_everywhere=request.with_policies and rules.acts_in(EVERYWHERE),
            roles=map(roles_to_proto, found.roles),
        )

    async def ListRoomRoles(  # noqa: N802
        self,
        request: pb.ListRoomRolesRequest,
        context: grpc.aio.ServicerContext[pb.ListRoomRolesRequest, pb.ListRoomRolesResponse],
    ) -> pb.ListRoomRolesResponse:
        """One page, by user id."""
        owner, holders, of_nobody = await list_role_holders(
            self._ports,
            request.slug,
            first=request.first,
            after_user_id=request.after_user_id,
            user_id=request.user_id,
        )
        return pb.ListRoomRolesResponse(
            owner_user_id=owner,
            holders=map(holder_to_proto, holders),
            holders_of_nobody=map(holder_to_proto, of_nobody),
        )

    async def ListRevocations(  # noqa: N802
        self,
        request: pb.ListRevocationsRequest,
        context: grpc.aio.ServicerContext[pb.ListRevocationsRequest, pb.ListRevocationsResponse],
    ) -> pb.ListRevocationsResponse:
        """A part, in the order of their versions."""
        found = await list_revocations(self._ports, request.after_version, first=request.first)
        return pb.ListRevocationsResponse(revocations=map(revocation_to_proto, found))

    async def ListSanctions(  # noqa: N802
        self,
        request: pb.ListSanctionsRequest,
        context: grpc.aio.ServicerContext[pb.ListSanctionsRequest, pb.ListSanctionsResponse],
    ) -> pb.ListSanctionsResponse:
        """One page, newest first."""
        found = await list_history(
            self._ports,
            request.slug or None,
            only_in_force=request.active,
            first=request.first,
            before_id=request.before_id or None,
        )
        return pb.ListSanctionsResponse(sanctions=map(sanction_to_proto, found))

    async def LiftSanction(  # noqa: N802
        self,
        request: pb.LiftSanctionRequest,
        context: grpc.aio.ServicerContext[pb.LiftSanctionRequest, pb.LiftSanctionResponse],
    ) -> pb.LiftSanctionResponse:
        """NOT_FOUND and PERMISSION_DENIED come from the interceptor."""
        sanction = await lift(self._ports, request.id, moderator_from_proto(request.moderator))
        return pb.LiftSanctionResponse(sanction=sanction_to_proto(sanction))

    async def ListAudit(  # noqa: N802
        self,
        request: pb.ListAuditRequest,
        context: grpc.aio.ServicerContext[pb.ListAuditRequest, pb.ListAuditResponse],
    ) -> pb.ListAuditResponse:
        """One page, newest first. PERMISSION_DENIED comes from the interceptor, as below."""
        query, reader = audit_query_from_proto(request), reader_from_proto(request)
        before_id = request.before_id or None
        found = await list_audit(self._ports, reader, query, first=request.first, before_id=before_id)
        return pb.ListAuditResponse(entries=(audit_to_proto(record, undone_by) for record, undone_by in found))

    async def VerifyAudit(  # noqa: N802
        self,
        request: pb.VerifyAuditRequest,
        context: grpc.aio.ServicerContext[pb.VerifyAuditRequest, pb.VerifyAuditResponse],
    ) -> pb.VerifyAuditResponse:
        """A part of a chain."""
        reader, slug = reader_from_proto(request), request.slug or None
        return verification_to_proto(await verify_audit(self._ports, reader, slug, after_id=request.after_id))

    async def ListUndoable(  # noqa: N802
        self,
        request: pb.ListUndoableRequest,
        context: grpc.aio.ServicerContext[pb.ListUndoableRequest, pb.ListUndoableResponse],
    ) -> pb.ListUndoableResponse:
        """What somebody did that is still there."""
        found = await list_undoable(
            self._ports,
            reader_from_proto(request),
            request.actor_user_id,
            since_ms=request.since_ms,
            before_id=request.before_id or None,
        )
        return undoable_to_proto(*found)

    async def ListRules(  # noqa: N802
        self, request: pb.ListRulesRequest, context: grpc.aio.ServicerContext[pb.ListRulesRequest, pb.ListRulesResponse]
    ) -> pb.ListRulesResponse:
        """All of a slug."""
        rules = await list_rules(self._ports, moderator_from_proto(request.actor), slug_from_proto(request.slug))
        return pb.ListRulesResponse(rules=map(kept_rule_to_proto, rules))

    async def TestText(  # noqa: N802
        self, request: pb.TestTextRequest, context: grpc.aio.ServicerContext[pb.TestTextRequest, pb.TestTextResponse]
    ) -> pb.TestTextResponse:
        """What would become of it."""
        actor, slug, text = moderator_from_proto(request.actor), slug_from_proto(request.slug), tried_text(request)
        return tried_to_proto(*await try_text(self._ports, actor, slug, text))

    async def ListRuleHits(  # noqa: N802
        self,
        request: pb.ListRuleHitsRequest,
        context: grpc.aio.ServicerContext[pb.ListRuleHitsRequest, pb.ListRuleHitsResponse],
    ) -> pb.ListRuleHitsResponse:
        """One page, newest first."""
        actor = moderator_from_proto(request.actor)
        first, before_id = request.first, request.before_id or None
        found = await list_hits(self._ports, actor, request.rule_id, first=first, before_id=before_id)
        return pb.ListRuleHitsResponse(hits=map(hit_to_proto, found))

    async def ListReports(  # noqa: N802
        self,
        request: pb.ListReportsRequest,
        context: grpc.aio.ServicerContext[pb.ListReportsRequest, pb.ListReportsResponse],
    ) -> pb.ListReportsResponse:
        """One page, newest first."""
        found = await list_reports(
            self._ports,
            moderator_from_proto(request.reader),
            slug_from_proto(request.slug) or None,
            report_state_from_proto(request.state),
            first=request.first,
            before_id=request.before_id or None,
        )
        return pb.ListReportsResponse(reports=map(kept_report_to_proto, found))

    async def FindSlug(  # noqa: N802
        self, request: pb.FindSlugRequest, context: grpc.aio.ServicerContext[pb.FindSlugRequest, pb.FindSlugResponse]
    ) -> pb.FindSlugResponse:
        """For who has to know the room before the rank in it."""
        match request.WhichOneof("what"):
            case "report_id":
                return pb.FindSlugResponse(slug=await slug_of_report(self._ports, request.report_id))
            case "note_id":
                return pb.FindSlugResponse(slug=await slug_of_note(self._ports, request.note_id))
            case "unban_request_id":
                slug = await slug_of_unban_request(self._ports, request.unban_request_id)
                return pb.FindSlugResponse(slug=slug or "")
            case _:
                raise MalformedRequest("what")

    async def FindBan(  # noqa: N802
        self, request: pb.FindBanRequest, context: grpc.aio.ServicerContext[pb.FindBanRequest, pb.FindBanResponse]
    ) -> pb.FindBanResponse:
        """For who is turned away at the door."""
        slug = slug_from_proto(request.slug)
        ban, may_request = await find_ban(self._ports, speaker_from_proto(request.speaker), slug)
        return ban_to_proto(ban, may_request=may_request)

    async def ListUnbanRequests(  # noqa: N802
        self,
        request: pb.ListUnbanRequestsRequest,
        context: grpc.aio.ServicerContext[pb.ListUnbanRequestsRequest, pb.ListUnbanRequestsResponse],
    ) -> pb.ListUnbanRequestsResponse:
        """One page, newest first."""
        found = await list_unban_requests(
            self._ports,
            moderator_from_proto(request.reader),
            slug_from_proto(request.slug) or None,
            request_state_from_proto(request.state),
            mine=request.mine,
            first=request.first,
            before_id=request.before_id or None,
        )
        return pb.ListUnbanRequestsResponse(requests=map(unban_request_to_proto, found))

    async def GetCase(  # noqa: N802
        self, request: pb.GetCaseRequest, context: grpc.aio.ServicerContext[pb.GetCaseRequest, pb.GetCaseResponse]
    ) -> pb.GetCaseResponse:
        """What is known of one person."""
        case = await get_case(
            self._ports,
            moderator_from_proto(request.reader),
            slug_from_proto(request.slug),
            person_from_proto(request.user_id, request.username),
            log_from_proto(request),
            token_rank=request.token_rank,
        )
        answer = pb.GetCaseResponse(sanctions=map(sanction_to_proto, case.sanctions))
        add_case(answer, case)
        return answer

    async def OpenFeed(  # noqa: N802
        self, request: pb.OpenFeedRequest, context: grpc.aio.ServicerContext[pb.OpenFeedRequest, pb.OpenFeedResponse]
    ) -> pb.OpenFeedResponse:
        """What a moderator begins with."""
        reader, slug = moderator_from_proto(request.reader), slug_from_proto(request.slug)
        since, token_rank = since_from_proto(request), request.token_rank
        return feed_state_to_proto(await open_feed(self._ports, reader, slug, since, token_rank=token_rank))

    async def ReadFeeds(  # noqa: N802
        self,
        request: pb.ReadFeedsRequest,
        context: grpc.aio.ServicerContext[pb.ReadFeedsRequest, pb.ReadFeedsResponse],
    ) -> pb.ReadFeedsResponse:
        """What came since."""
        slugs = feed_slugs_from_proto(request)
        return feed_part_to_proto(await read_feed(self._ports, slugs, request.after_id))

    async def ListHeld(  # noqa: N802
        self, request: pb.ListHeldRequest, context: grpc.aio.ServicerContext[pb.ListHeldRequest, pb.ListHeldResponse]
    ) -> pb.ListHeldResponse:
        """One page, newest first."""
        reader, slug = reader_from_proto(request), slug_from_proto(request.slug)
        first, before_id = request.first, request.before_id or None
        found = await list_held(self._ports, reader, slug, first=first, before_id=before_id)
        return pb.ListHeldResponse(holds=(hold_to_proto(each, with_text=True) for each in found))

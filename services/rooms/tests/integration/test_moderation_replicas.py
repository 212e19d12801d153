"""The Moderation port on replicas that answer, hang and refuse."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import pytest

from chassis.traces import hold_trace
from rooms.adapters.moderation import GrpcModeration
from rooms.api.graphql.execute import DEADLINE_S
from rooms.domain.audit import AuditQuery, PolicyFieldChange, RoomLog, Undoable, Undone, Verification
from rooms.domain.cases import Case, KeptMessage, Note, PastWarning, WarningState
from rooms.domain.people import Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.reports import Report, ReportCategory, ReportResolution, ReportState
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.domain.rules import (
    KeptRule,
    Rule,
    RuleAction,
    RuleExemption,
    RuleHit,
    RuleKind,
    RuleMode,
    RuleOnFailure,
    TextHit,
    TriedText,
)
from rooms.domain.sanctions import Target
from rooms.domain.tokens import RevokedTokens
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState
from rooms.errors import (
    ActionNotFound,
    AlreadyDecided,
    AlreadyRequested,
    AlreadyUndone,
    CannotUndo,
    InvalidInput,
    ModerationUnavailable,
    NoteNotFound,
    NothingToUndo,
    NotPermitted,
    Refusal,
    ReportNotFound,
    RequestedTooSoon,
    RuleNotFound,
    SanctionNotFound,
    TooManyNotes,
    TooManyRevocations,
    TooManyRoles,
    UnbanRequestNotFound,
)
from rooms.ports import RoleChange
from salon.moderation.v1 import (
    cases_pb2,
    moderation_pb2 as pb,
    moderation_pb2_grpc,
    reports_pb2,
    rules_pb2,
    unban_requests_pb2,
)

pytestmark = pytest.mark.integration
ADMIN = Viewer(UserId(1), "admin", Rank.ADMIN)
LIVE, ANA = Slug("live"), Target(UserId(5), None)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Replica(moderation_pb2_grpc.ModerationServiceServicer):
    """Answers with nothing, refuses with a status, or hangs."""

    status: grpc.StatusCode | None = None
    hangs: bool = False
    asked: int = 0
    listed: list[pb.ListActiveRequest] = field(default_factory=list)
    pages: list[pb.ListRoomRolesRequest] = field(default_factory=list)
    page: pb.ListRoomRolesResponse = field(default_factory=pb.ListRoomRolesResponse)
    lifting: list[pb.LiftSanctionRequest] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    executed: pb.ExecuteResponse = field(default_factory=pb.ExecuteResponse)
    entries: list[pb.AuditEntry] = field(default_factory=list)
    rules: list[rules_pb2.KeptRule] = field(default_factory=list)
    tried: pb.TestTextResponse = field(default_factory=pb.TestTextResponse)
    holds: list[pb.Hold] = field(default_factory=list)
    hits: list[rules_pb2.RuleHit] = field(default_factory=list)
    reports: list[reports_pb2.KeptReport] = field(default_factory=list)
    unban_requests: list[unban_requests_pb2.UnbanRequest] = field(default_factory=list)
    slug: str = "live"
    case: pb.GetCaseResponse = field(default_factory=pb.GetCaseResponse)

    async def ListActive(self, request: pb.ListActiveRequest, context: Any) -> pb.ListActiveResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.listed.append(request)
        return pb.ListActiveResponse()

    async def LiftSanction(self, request: pb.LiftSanctionRequest, context: Any) -> pb.LiftSanctionResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.lifting.append(request)
        return pb.LiftSanctionResponse()

    async def ListSanctions(self, request: pb.ListSanctionsRequest, context: Any) -> pb.ListSanctionsResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return pb.ListSanctionsResponse()

    async def Act(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms imposes nothing")

    async def Execute(self, request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return self.executed

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return pb.ListAuditResponse(entries=self.entries)

    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Any) -> pb.VerifyAuditResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return pb.VerifyAuditResponse(
            checked=2, broken_id=8, problem="row", last_id=7, last_digest="ab", more=True, unchained=1
        )

    async def ListUndoable(self, request: pb.ListUndoableRequest, context: Any) -> pb.ListUndoableResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        found = (pb.ListUndoableResponse.Action(action_id=9, slug="live"), pb.ListUndoableResponse.Action(action_id=8))
        return pb.ListUndoableResponse(actions=found, left=3, last_id=8)

    async def ListRevocations(self, request: pb.ListRevocationsRequest, context: Any) -> pb.ListRevocationsResponse:  # noqa: N802
        raise AssertionError("rooms does not ask for them")

    async def ListRules(self, request: pb.ListRulesRequest, context: Any) -> pb.ListRulesResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return pb.ListRulesResponse(rules=self.rules)

    async def TestText(self, request: pb.TestTextRequest, context: Any) -> pb.TestTextResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return self.tried

    async def OpenFeed(self, request: pb.OpenFeedRequest, context: Any) -> pb.OpenFeedResponse:  # noqa: N802 - the contract's name
        raise AssertionError("edges ask for the feed")

    async def ReadFeeds(self, request: pb.ReadFeedsRequest, context: Any) -> pb.ReadFeedsResponse:  # noqa: N802 - the contract's name
        raise AssertionError("edges ask for the feed")

    async def ListRuleHits(self, request: pb.ListRuleHitsRequest, context: Any) -> pb.ListRuleHitsResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return pb.ListRuleHitsResponse(hits=self.hits)

    async def ListHeld(self, request: pb.ListHeldRequest, context: Any) -> pb.ListHeldResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return pb.ListHeldResponse(holds=self.holds)

    async def ListRoomRoles(self, request: pb.ListRoomRolesRequest, context: Any) -> pb.ListRoomRolesResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.pages.append(request)
        return self.page

    async def ListReports(self, request: pb.ListReportsRequest, context: Any) -> pb.ListReportsResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return pb.ListReportsResponse(reports=self.reports)

    async def FindBan(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms lets nobody in")

    async def FindSlug(self, request: pb.FindSlugRequest, context: Any) -> pb.FindSlugResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return pb.FindSlugResponse(slug=self.slug)

    async def GetCase(self, request: pb.GetCaseRequest, context: Any) -> pb.GetCaseResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.requests.append(request)
        return self.case

    async def ListUnbanRequests(  # noqa: N802 - the contract's name
        self, request: pb.ListUnbanRequestsRequest, context: Any
    ) -> pb.ListUnbanRequestsResponse:
        await self._meet(context)
        self.requests.append(request)
        return pb.ListUnbanRequestsResponse(requests=self.unban_requests)

    def Admit(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms admits nobody")

    async def _meet(self, context: Any) -> None:
        self.asked += 1
        self.traces.append(dict(context.invocation_metadata()).get("traceparent"))
        if self.hangs:
            await asyncio.Event().wait()
        if self.status is not None:
            await context.abort(self.status, "the words of the replica")


Start = Callable[..., Awaitable[GrpcModeration]]
"""Takes the replicas; `is_one_target`: they are several addresses of one target, as where a name has several."""


@pytest.fixture
async def ask() -> AsyncIterator[Start]:
    """The port on these replicas."""
    servers: list[grpc.aio.Server] = []
    ports: list[GrpcModeration] = []

    async def start(*replicas: Replica, is_one_target: bool = False) -> GrpcModeration:
        addresses = []
        for replica in replicas:
            server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            moderation_pb2_grpc.add_ModerationServiceServicer_to_server(replica, server)
            addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            servers.append(server)
        ports.append(GrpcModeration([f"ipv4:{','.join(addresses)}"] if is_one_target else addresses))
        return ports[-1]

    yield start
    for port in ports:
        await port.close()
    for server in servers:
        await server.stop(0)


async def test_all_replicas_are_tried_within_the_deadline_of_a_graphql_request(ask: Start) -> None:
    replicas = [Replica(hangs=True) for _ in range(3)]
    moderation = await ask(*replicas)
    began = time.monotonic()
    with pytest.raises(ModerationUnavailable):
        await moderation.list_active([LIVE], [ANA])
    assert time.monotonic() - began < DEADLINE_S
    assert [replica.asked for replica in replicas] == [1, 1, 1]


async def test_the_replica_that_answered_last_is_asked_first(ask: Start) -> None:
    hanging, good = Replica(hangs=True), Replica()
    moderation = await ask(hanging, good)
    for _ in range(3):
        assert await moderation.list_active([LIVE], [ANA]) == []
    assert (hanging.asked, good.asked) == (1, 3)


@pytest.mark.parametrize("is_one_target", [True, False])
async def test_a_replica_that_is_away_makes_no_call_fail(ask: Start, is_one_target: bool) -> None:
    replicas = [Replica(status=grpc.StatusCode.UNAVAILABLE), Replica(), Replica()]
    moderation = await ask(*replicas, is_one_target=is_one_target)
    for _ in range(6):
        assert await moderation.list_active([LIVE], [ANA]) == []
    assert sum(len(replica.listed) for replica in replicas) == 6


async def test_replicas_behind_one_name_share_the_calls(ask: Start) -> None:
    replicas = [Replica(), Replica()]
    moderation = await ask(*replicas, is_one_target=True)
    async with asyncio.timeout(60):
        while not all(replica.asked for replica in replicas):
            await moderation.list_active([LIVE], [ANA])


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (grpc.StatusCode.NOT_FOUND, SanctionNotFound),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
    ],
)
async def test_a_refusal_is_final_and_no_outage(ask: Start, status: grpc.StatusCode, refusal: type[Refusal]) -> None:
    refusing, other = Replica(status=status), Replica()
    moderation = await ask(refusing, other)
    with pytest.raises(refusal) as told:
        await moderation.lift_sanction(5, ADMIN)
    assert "replica" not in str(told.value)
    assert other.asked == 0


async def test_the_audit_log_is_read_checked_and_asked_for_what_is_to_be_undone(ask: Start) -> None:
    replica = Replica()
    moderation = await ask(replica)
    reader = pb.Speaker(user_id=1, username="admin", rank=pb.RANK_ADMIN)
    bare = pb.AuditEntry(action_id=7, actor_user_id=9, actor_rank=99, action="other", scope=pb.SCOPE_EVERYWHERE)  # type: ignore[arg-type]
    full = pb.AuditEntry(
        action_id=8,
        at_ms=1_000,
        actor_user_id=9,
        actor_rank=pb.RANK_MODERATOR,
        action="delete",
        target_username="Anonymous_1",
        scope=pb.SCOPE_ROOM,
        slug="live",
        message_id=5,
        message_text="",
        rule="words",
        policy_changes=[pb.PolicyFieldChange(field="max_length", before="1", after="2")],
    )
    replica.entries = [full, bare]
    query = AuditQuery(LIVE, UserId(9), UserId(5), "ana", "ban")
    first, second = await moderation.list_audit(ADMIN, query, first=2, before_id=9)
    assert (first.actor_rank, first.slug, first.message_text, first.is_everywhere) == (Rank.MODERATOR, LIVE, "", False)
    assert (first.rule, second.rule) == ("words", None)
    assert first.policy_changes == (PolicyFieldChange("max_length", "1", "2"),)
    assert (second.actor_rank, second.slug, second.message_text, second.is_everywhere) == (None, None, None, True)
    found = await moderation.verify_audit(ADMIN, LIVE, after_id=6)
    assert found == Verification(2, 8, "row", 7, "ab", more=True, unchained=1)
    undoable = await moderation.list_undoable(ADMIN, UserId(9), since_ms=5, before_id=None)
    assert undoable == Undoable(((9, LIVE), (8, None)), 3, 8)
    assert replica.requests == [
        pb.ListAuditRequest(
            reader=reader,
            slug="live",
            actor_user_id=9,
            target_user_id=5,
            target_username="ana",
            action="ban",
            first=2,
            before_id=9,
        ),
        pb.VerifyAuditRequest(reader=reader, slug="live", after_id=6),
        pb.ListUndoableRequest(reader=reader, actor_user_id=9, since_ms=5),
    ]


async def test_an_undo_is_asked_of_the_next_replica_with_the_same_nonce(ask: Start) -> None:
    away, replica = Replica(status=grpc.StatusCode.UNAVAILABLE), Replica()
    undone = pb.Undone(action_id=7, not_undone=["messages"])
    replica.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, action_id=8, undone=undone)
    moderation = await ask(away, replica)
    log = RoomLog(RoomId(1), Life(3), 5)
    assert await moderation.undo(ADMIN, 7, LIVE, log) == Undone(8, 7, ("messages",))
    assert await moderation.undo(ADMIN, 7, None, None) == Undone(8, 7, ("messages",))
    first, second = replica.requests
    assert (first.slug, first.log, first.undo) == (
        "live",
        pb.LogRef(partition=5, room_id=1, life=3),
        pb.UndoAction(action_id=7),
    )
    assert (second.slug, second.HasField("log")) == ("", False)
    assert len({first.nonce, second.nonce, ""}) == 3


@pytest.mark.parametrize(
    ("outcome", "refusal"),
    [
        (pb.ExecuteResponse.OUTCOME_NOT_PERMITTED, NotPermitted),
        (pb.ExecuteResponse.OUTCOME_NOT_FOUND, ActionNotFound),
        (pb.ExecuteResponse.OUTCOME_CANNOT_UNDO, CannotUndo),
        (pb.ExecuteResponse.OUTCOME_ALREADY_UNDONE, AlreadyUndone),
        (pb.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO, NothingToUndo),
    ],
)
async def test_an_undo_that_changes_nothing_says_why(
    ask: Start, outcome: pb.ExecuteResponse.Outcome.ValueType, refusal: type[Refusal]
) -> None:
    replica = Replica(executed=pb.ExecuteResponse(outcome=outcome))
    moderation = await ask(replica)
    with pytest.raises(refusal):
        await moderation.undo(ADMIN, 7, LIVE, None)


async def test_every_call_carries_the_trace_it_belongs_to_with_a_span_of_its_own_and_none_where_there_is_none(
    ask: Start,
) -> None:
    away, replica = Replica(status=grpc.StatusCode.UNAVAILABLE), Replica()
    moderation = await ask(away, replica)
    with hold_trace(TRACE):
        await moderation.list_active([LIVE], [ANA])
        await moderation.list_sanctions(slug=None, active=False, first=1, before_id=None)
        await moderation.lift_sanction(5, ADMIN)
    carried = [*away.traces, *replica.traces]
    assert [str(trace)[:36] for trace in carried] == [TRACE[:36]] * 4
    assert len({TRACE, *carried}) == 5
    await moderation.list_active([LIVE], [ANA])
    assert replica.traces[3:] == [None]


async def test_only_what_is_aimed_at_the_people_asked_for_is_read_without_addresses_and_in_parts(ask: Start) -> None:
    replica = Replica()
    moderation = await ask(replica)
    people = [Target(UserId(number), None) for number in range(1, 1_500)]
    await moderation.list_active([LIVE], [*people, Target(None, "Anonymous_3f2a")])
    first, second = replica.listed
    assert [len(first.target_user_ids), len(second.target_user_ids)] == [1_000, 499]
    assert [list(first.target_usernames), list(second.target_usernames)] == [[], ["Anonymous_3f2a"]]
    assert all(list(r.slugs) == ["live"] and r.without_addresses for r in replica.listed)
    await moderation.list_active([LIVE], [])
    assert len(replica.listed) == 2


RULE = Rule(
    name="words",
    kind=RuleKind.TERMS,
    action=RuleAction.MUTE,
    mode=RuleMode.DRY_RUN,
    patterns=("a", "b*"),
    allow=(),
    threshold=0,
    minutes=5,
    exempt_from=RuleExemption.USER,
    told="No",
)
RULE_SENT = rules_pb2.Rule(
    name="words",
    kind=rules_pb2.RULE_KIND_TERMS,
    action=rules_pb2.RULE_ACTION_MUTE,
    mode=rules_pb2.RULE_MODE_DRY_RUN,
    patterns=["a", "b*"],
    mute_minutes=5,
    exempt_from=rules_pb2.RULE_EXEMPTION_USER,
    told="No",
)
KEPT = KeptRule(7, LIVE, 3, RULE, UserId(1), datetime(2026, 1, 1, tzinfo=UTC), hits=5, acted=4)
KEPT_SENT = rules_pb2.KeptRule(
    id=7, slug="live", version=3, rule=RULE_SENT, changed_by=1, changed_at_ms=1_767_225_600_000, hits=5, acted=4
)
ACTOR = pb.Speaker(user_id=1, username="admin", rank=pb.RANK_ADMIN)


async def test_a_rule_is_made_replaced_and_deleted_once_whichever_replica_carries_it_out(ask: Start) -> None:
    """The nonce is the same for all replicas that are asked, and another one for each command."""
    away = Replica(status=grpc.StatusCode.UNAVAILABLE)
    done = Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, rule=KEPT_SENT))
    moderation = await ask(away, done)
    assert await moderation.make_rule(LIVE, RULE, ADMIN) == KEPT
    assert await moderation.make_rule(None, RULE, ADMIN) == KEPT
    assert await moderation.replace_rule(7, RULE, ADMIN) == KEPT
    await moderation.delete_rule(7, ADMIN)
    made, everywhere, replaced, deleted = done.requests
    assert made == pb.ExecuteRequest(actor=ACTOR, slug="live", nonce=made.nonce, save_rule=pb.SaveRule(rule=RULE_SENT))
    assert (everywhere.slug, replaced.save_rule.rule_id, deleted.delete_rule.rule_id) == ("", 7, 7)
    assert len({request.nonce for request in done.requests}) == 4
    assert {len(request.nonce) for request in done.requests} == {32}


async def test_a_rule_that_asks_a_classifier_is_sent_with_its_secret_and_read_without(ask: Start) -> None:
    asks = replace(
        RULE, kind=RuleKind.CLASSIFIER, patterns=(), url="https://c.example.com/", on_failure=RuleOnFailure.HOLD
    )
    sent = rules_pb2.Rule()
    sent.CopyFrom(RULE_SENT)
    del sent.patterns[:]
    sent.kind, sent.url = rules_pb2.RULE_KIND_CLASSIFIER, "https://c.example.com/"
    sent.on_failure = rules_pb2.RULE_ON_FAILURE_HOLD
    kept_sent = rules_pb2.KeptRule(id=7, slug="live", version=3, rule=sent)
    replica = Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, rule=kept_sent))
    moderation = await ask(replica)
    with_secret = replace(asks, secret="whsec_a")
    assert (await moderation.make_rule(LIVE, with_secret, ADMIN)).rule == asks
    assert (await moderation.replace_rule(7, with_secret, ADMIN)).rule == asks
    for request in replica.requests:
        assert (request.save_rule.rule, request.save_rule.secret) == (sent, "whsec_a")
    later = rules_pb2.KeptRule()
    later.CopyFrom(kept_sent)
    later.rule.on_failure = 99  # type: ignore[assignment] # of a later version
    assert await (await ask(Replica(rules=[later]))).list_rules(LIVE, ADMIN) == []


@pytest.mark.parametrize(
    ("answer", "refusal", "text"),
    [
        (pb.ExecuteResponse(outcome=25, problem="(: no"), InvalidInput, "(: no"),  # type: ignore[arg-type] # as on the wire
        (pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND), RuleNotFound, RuleNotFound.text),
        (pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_PERMITTED), NotPermitted, NotPermitted.text),
        (pb.ExecuteResponse(outcome=99), NotPermitted, NotPermitted.text),  # type: ignore[arg-type] # of a later version
        (pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, repeated=True), RuleNotFound, RuleNotFound.text),
    ],
)
async def test_what_a_rule_is_refused_for(
    ask: Start, answer: pb.ExecuteResponse, refusal: type[Refusal], text: str
) -> None:
    moderation = await ask(Replica(executed=answer))
    with pytest.raises(refusal) as told:
        await moderation.make_rule(LIVE, RULE, ADMIN)
    assert str(told.value) == text


async def test_rules_tried_texts_and_hits_are_read_and_what_a_later_version_says_is_left_out(ask: Start) -> None:
    later = rules_pb2.KeptRule(id=8, rule=rules_pb2.Rule(kind=99))  # type: ignore[arg-type] # of a later version
    hit = rules_pb2.RuleHit(id=1, rule_id=7, slug="live", text="a", username="x", action=rules_pb2.RULE_ACTION_FLAG)
    replica = Replica(rules=[KEPT_SENT, later], hits=[hit])
    replica.tried.hits.add(rule_id=7, rule_name="words", action=rules_pb2.RULE_ACTION_FLAG, mode=rules_pb2.RULE_MODE_ON)
    replica.tried.decisive_rule_id = 7
    moderation = await ask(replica)
    assert await moderation.list_rules(LIVE, ADMIN) == [KEPT]
    assert await moderation.try_text(LIVE, "a", ADMIN) == TriedText(
        [TextHit(7, "words", None, RuleAction.FLAG, RuleMode.ON)], 7
    )
    assert await moderation.list_rule_hits(7, ADMIN, first=9, before_id=None) == [
        RuleHit(1, 7, LIVE, datetime(1970, 1, 1, tzinfo=UTC), None, "x", "a", None, RuleAction.FLAG, acted=False)
    ]
    gone = await ask(Replica(status=grpc.StatusCode.NOT_FOUND))
    with pytest.raises(RuleNotFound):
        await gone.list_rule_hits(7, ADMIN, first=9, before_id=None)


REPORT_SENT = reports_pb2.KeptReport(
    id=7,
    slug="live",
    at_ms=1_000,
    category=reports_pb2.REPORT_CATEGORY_HATE,
    note="again",
    reporter_user_id=6,
    reporter_username="bob",
    target_user_id=5,
    target_username="ana",
    message_id=773,
    message_text="buy now",
    message_at_ms=1_000,
    before_ids=[515],
    after_ids=[1029],
    state=reports_pb2.REPORT_STATE_ACTIONED,
    closed_at_ms=1_000,
    closed_by_user_id=9,
)
SECOND = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
REPORT = Report(
    7,
    LIVE,
    SECOND,
    ReportCategory.HATE,
    "again",
    UserId(6),
    "bob",
    UserId(5),
    "ana",
    773,
    "buy now",
    SECOND,
    (515,),
    (1029,),
    ReportState.ACTIONED,
    SECOND,
    UserId(9),
)


async def test_reports_are_read_and_resolved_and_what_a_later_version_says_is_read_as_what_is_nearest(
    ask: Start,
) -> None:
    later = reports_pb2.KeptReport(id=8, slug="live", category=99, state=99)  # type: ignore[arg-type]
    executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, report=REPORT_SENT)
    replica = Replica(reports=[REPORT_SENT, later], executed=executed)
    moderation = await ask(replica)
    found = await moderation.list_reports(ADMIN, slug=LIVE, state=ReportState.OPEN, first=9, before_id=None)
    assert found[0] == REPORT
    assert (found[1].category, found[1].state, found[1].message_at) == (ReportCategory.OTHER, ReportState.EXPIRED, None)
    await moderation.list_reports(ADMIN, slug=None, state=None, first=9, before_id=8)
    assert await moderation.slug_of_report(7) == LIVE
    assert await moderation.resolve_report(ADMIN, LIVE, 7, ReportResolution.ACTIONED, "muted") == REPORT
    listed, everywhere, asked, resolved = replica.requests
    assert (listed.slug, listed.state, listed.first, listed.before_id) == ("live", 1, 9, 0)
    assert (everywhere.slug, everywhere.state, everywhere.before_id) == ("", 0, 8)
    assert asked == pb.FindSlugRequest(report_id=7)
    sent = reports_pb2.ResolveReport(report_id=7, resolution=reports_pb2.REPORT_STATE_ACTIONED)
    assert (resolved.resolve_report, resolved.slug, resolved.reason, len(resolved.nonce)) == (sent, "live", "muted", 32)


async def test_a_report_that_is_not_there_or_is_decided(ask: Start) -> None:
    gone = await ask(Replica(status=grpc.StatusCode.NOT_FOUND))
    with pytest.raises(ReportNotFound):
        await gone.slug_of_report(7)
    late = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_ALREADY_DECIDED, decided_by_user_id=9)
    moderation = await ask(Replica(executed=late))
    with pytest.raises(AlreadyDecided, match="User 9"):
        await moderation.resolve_report(ADMIN, LIVE, 7, ReportResolution.DISMISSED, "")


ASKED_SENT = unban_requests_pb2.UnbanRequest(
    id=7,
    sanction_id=3,
    slug="live",
    user_id=5,
    username="ana",
    text="sorry",
    at_ms=1_000,
    state=unban_requests_pb2.UNBAN_REQUEST_STATE_DENIED,
    closed_at_ms=1_000,
    closed_by_user_id=9,
    note="no",
)
ASKED = UnbanRequest(7, 3, LIVE, UserId(5), "ana", "sorry", SECOND, UnbanRequestState.DENIED, SECOND, UserId(9), "no")


async def test_unban_requests_are_made_read_and_decided(ask: Start) -> None:
    later = unban_requests_pb2.UnbanRequest(id=8, state=99)  # type: ignore[arg-type] # of a later version
    executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, unban_request=ASKED_SENT)
    replica = Replica(unban_requests=[ASKED_SENT, later], executed=executed)
    moderation = await ask(replica)
    assert await moderation.request_unban(ADMIN, 3, "sorry") == ASKED
    found = await moderation.list_unban_requests(
        ADMIN, slug=LIVE, state=UnbanRequestState.OPEN, mine=True, first=9, before_id=None
    )
    assert found[0] == ASKED
    assert (found[1].slug, found[1].state, found[1].text) == (None, UnbanRequestState.LAPSED, None)
    await moderation.list_unban_requests(ADMIN, slug=None, state=None, mine=False, first=9, before_id=8)
    assert await moderation.slug_of_unban_request(7) == LIVE
    replica.slug = ""
    assert await moderation.slug_of_unban_request(8) is None
    assert await moderation.decide_unban_request(ADMIN, LIVE, 7, UnbanDecision.APPROVE, "fine") == ASKED
    await moderation.decide_unban_request(ADMIN, None, 8, UnbanDecision.DENY, "")
    asked, listed, everywhere, _, _, approved, denied = replica.requests
    assert asked.request_unban == unban_requests_pb2.RequestUnban(sanction_id=3, text="sorry")
    assert (listed.slug, listed.state, listed.mine, listed.before_id) == ("live", 1, True, 0)
    assert (everywhere.slug, everywhere.state, everywhere.mine, everywhere.before_id) == ("", 0, False, 8)
    sent = unban_requests_pb2.DecideUnbanRequest(
        unban_request_id=7, decision=unban_requests_pb2.UNBAN_REQUEST_STATE_APPROVED
    )
    assert (approved.decide_unban_request, approved.slug, approved.reason) == (sent, "live", "fine")
    assert denied.decide_unban_request.decision == unban_requests_pb2.UNBAN_REQUEST_STATE_DENIED
    assert denied.slug == ""


@pytest.mark.parametrize(
    ("answer", "refusal", "text"),
    [
        (pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_ALREADY_REQUESTED), AlreadyRequested, "asked already"),
        (
            pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_REQUESTED_TOO_SOON, retry_after_ms=60_001),
            RequestedTooSoon,
            "in 2 minutes",
        ),
        (pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND), SanctionNotFound, "Sanction"),
    ],
)
async def test_why_an_unban_is_not_requested(
    ask: Start, answer: pb.ExecuteResponse, refusal: type[Refusal], text: str
) -> None:
    moderation = await ask(Replica(executed=answer))
    with pytest.raises(refusal, match=text):
        await moderation.request_unban(ADMIN, 3, "sorry")


async def test_an_unban_request_that_is_not_there(ask: Start) -> None:
    gone = await ask(Replica(status=grpc.StatusCode.NOT_FOUND))
    with pytest.raises(UnbanRequestNotFound):
        await gone.slug_of_unban_request(7)


NOTE_SENT = cases_pb2.Note(
    id=7, slug="live", target_user_id=5, text="watch out", author_user_id=9, author_username="mo", at_ms=1_000
)
NOTE = Note(7, LIVE, UserId(5), None, "watch out", UserId(9), "mo", SECOND)


async def test_a_case_is_read_and_notes_are_written_and_deleted(ask: Start) -> None:
    warning = cases_pb2.PastWarning(
        id=3, reason="No", moderator_user_id=9, at_ms=1_000, state=cases_pb2.PastWarning.STATE_LAPSED
    )
    later = cases_pb2.PastWarning(id=4, state=99)  # type: ignore[arg-type] # of a later version
    sent = pb.GetCaseResponse(
        warnings=[warning, later],
        notes=[NOTE_SENT],
        reports=[REPORT_SENT],
        names=["ana"],
        last_seen_ms=1_000,
        messages=[cases_pb2.KeptMessage(id=773, at_ms=1_000, text="hello")],
    )
    executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, note=NOTE_SENT)
    replica = Replica(case=sent, executed=executed)
    moderation = await ask(replica)
    log = RoomLog(RoomId(7), Life(21), 3)
    found = await moderation.get_case(ADMIN, LIVE, ANA, log, token_rank=Rank.ADMIN)
    begun = datetime(1970, 1, 1, tzinfo=UTC)
    assert found == Case(
        [],
        [
            PastWarning(3, "No", UserId(9), SECOND, WarningState.LAPSED),
            PastWarning(4, "", UserId(0), begun, WarningState.WITHDRAWN),
        ],
        [NOTE],
        [REPORT],
        ("ana",),
        None,
        SECOND,
        [KeptMessage(773, SECOND, "hello")],
    )
    replica.case = pb.GetCaseResponse(without_messages=True, first_seen_ms=1_000)
    guest = Target(None, "Anonymous_a")
    bare = await moderation.get_case(ADMIN, LIVE, guest, None, token_rank=Rank.USER)
    assert (bare.messages, bare.first_seen) == (None, SECOND)
    assert await moderation.add_note(ADMIN, LIVE, guest, "watch out") == NOTE
    assert await moderation.slug_of_note(7) == LIVE
    await moderation.delete_note(ADMIN, LIVE, 7)
    of_user, of_guest, added, _, deleted = replica.requests
    assert (of_user.user_id, of_user.log) == (5, pb.LogRef(partition=3, room_id=7, life=21))
    assert (of_guest.username, of_guest.HasField("log")) == ("Anonymous_a", False)
    assert (of_user.token_rank, of_guest.token_rank) == (pb.RANK_ADMIN, pb.RANK_USER)
    assert added.add_note == cases_pb2.AddNote(target_username="Anonymous_a", text="watch out")
    assert deleted.delete_note == cases_pb2.DeleteNote(note_id=7)


async def test_a_note_that_is_not_there_or_one_too_many(ask: Start) -> None:
    full = await ask(Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_TOO_MANY_NOTES)))
    with pytest.raises(TooManyNotes):
        await full.add_note(ADMIN, LIVE, ANA, "x")
    deleted_since = await ask(Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE)))
    with pytest.raises(NoteNotFound):
        await deleted_since.add_note(ADMIN, LIVE, ANA, "x")
    gone = await ask(Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_NOT_FOUND)))
    with pytest.raises(NoteNotFound):
        await gone.delete_note(ADMIN, LIVE, 7)


def change(role: RoomRole | None = RoomRole.VIP, rank: Rank | None = Rank.MODERATOR) -> RoleChange:
    return RoleChange(LIVE, UserId(7), Viewer(UserId(7), "ana", Rank.OWNER), UserId(5), rank, role)


async def test_a_role_is_given_in_the_words_of_an_owner_and_what_came_of_it_is_read(ask: Start) -> None:
    holder = pb.RoomRoleHolder(user_id=5, role=pb.ROOM_ROLE_VIP, given_by_user_id=7, given_at_ms=1_000)
    replica = Replica(executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, role=holder))
    moderation = await ask(replica)
    given = await moderation.set_role(change())
    assert given == RoleHolder(UserId(5), RoomRole.VIP, UserId(7), datetime.fromtimestamp(1, UTC))
    assert replica.requests == [
        pb.ExecuteRequest(
            actor=pb.Speaker(user_id=7, username="ana", rank=pb.RANK_MODERATOR, owner=True),
            slug="live",
            nonce=replica.requests[0].nonce,
            target_rank=pb.RANK_MODERATOR,
            set_room_role=pb.SetRoomRole(target_user_id=5, role=pb.ROOM_ROLE_VIP, owner_user_id=7),
        )
    ]
    replica.executed = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE)
    assert await moderation.set_role(change(None, None)) is None
    assert (replica.requests[1].set_room_role.role, replica.requests[1].target_rank) == (0, 0)


@pytest.mark.parametrize(
    ("outcome", "refusal"),
    [
        (pb.ExecuteResponse.OUTCOME_NOT_PERMITTED, NotPermitted),
        (pb.ExecuteResponse.OUTCOME_TOO_MANY_ROLES, TooManyRoles),
        (99, NotPermitted),
    ],
)
async def test_a_role_that_is_not_given_says_why(ask: Start, outcome: Any, refusal: type[Refusal]) -> None:
    moderation = await ask(Replica(executed=pb.ExecuteResponse(outcome=outcome)))
    with pytest.raises(refusal) as said:
        await moderation.set_role(change())
    assert type(said.value) is refusal


async def test_roles_are_read_by_pages_without_those_of_a_later_version(ask: Start) -> None:
    later: Any = 9
    holders = [pb.RoomRoleHolder(user_id=5, role=pb.ROOM_ROLE_MODERATOR), pb.RoomRoleHolder(user_id=6, role=later)]
    replica = Replica(page=pb.ListRoomRolesResponse(owner_user_id=7, holders=holders))
    moderation = await ask(replica)
    page = await moderation.list_roles(LIVE, first=9, after=3, user_id=UserId(5))
    assert (page.owner, [(one.user_id, one.role) for one in page.holders]) == (7, [(5, RoomRole.MODERATOR)])
    assert replica.pages == [pb.ListRoomRolesRequest(slug="live", first=9, after_user_id=3, user_id=5)]
    replica.page = pb.ListRoomRolesResponse()
    assert await moderation.list_roles(LIVE, first=9) == RolePage(None, [], [])


async def test_an_owner_lifts_a_sanction_in_words_that_a_replica_of_before_knows(ask: Start) -> None:
    replica = Replica()
    await (await ask(replica)).lift_sanction(3, Viewer(UserId(7), "ana", Rank.OWNER))
    assert replica.lifting[0].moderator == pb.Speaker(user_id=7, username="ana", rank=pb.RANK_MODERATOR, owner=True)


async def test_tokens_are_revoked_in_the_words_of_an_admin_and_a_refusal_says_why(ask: Start) -> None:
    revocation = pb.TokenRevocation(user_id=5, before_ms=1_500, until_ms=9_000, version=1)
    replica = Replica(
        executed=pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, action_id=8, revocation=revocation)
    )
    moderation = await ask(replica)
    before, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (1_500, 9_000))
    of_user = await moderation.revoke_tokens(ADMIN, UserId(5), Rank.USER, before=before, reason="Stolen")
    assert of_user == RevokedTokens(8, before, until)
    replica.executed.revocation.CopyFrom(pb.TokenRevocation(jti="a", until_ms=9_000))
    assert await moderation.revoke_token(ADMIN, "a", reason="") == RevokedTokens(8, None, until)
    first, second = replica.requests
    assert (first.target_rank, first.reason, first.revoke_tokens) == (
        pb.RANK_USER,
        "Stolen",
        pb.RevokeTokens(user_id=5, before_ms=1_500),
    )
    assert (second.target_rank, second.revoke_token) == (pb.RANK_UNSPECIFIED, pb.RevokeToken(jti="a"))
    assert len({first.nonce, second.nonce, ""}) == 3
    full = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_TOO_MANY_REVOCATIONS)
    with pytest.raises(TooManyRevocations):
        await (await ask(Replica(executed=full))).revoke_token(ADMIN, "a", reason="")


async def test_held_messages_are_read_with_their_texts(ask: Start) -> None:
    by_rule = pb.Hold(
        id=12,
        slug="live",
        user_id=5,
        username="ana",
        text="see evil.com",
        reply_to=515,
        held_at_ms=1_000,
        expires_at_ms=301_000,
        reason=pb.HoldReason(rule_id=3, rule_name="words"),
    )
    replica = Replica(holds=[by_rule, pb.Hold(id=11, slug="live", username="Anonymous_x", text="x")])
    reader = Viewer(UserId(7), "ana", Rank.MODERATOR)
    first, second = await (await ask(replica)).list_held(LIVE, reader, first=9, before_id=None)
    assert (first.id, first.user_id, first.username, first.text, first.reply_to, first.rule) == (
        12,
        5,
        "ana",
        "see evil.com",
        515,
        "words",
    )
    assert (second.user_id, second.reply_to, second.rule) == (None, None, None)
    (request,) = replica.requests
    assert (request.slug, request.first, request.before_id, request.reader.user_id) == ("live", 9, 0, 7)

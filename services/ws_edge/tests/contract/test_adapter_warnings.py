"""Warnings between the contract and the words of the edge."""

import pytest
from structlog.testing import capture_logs

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert import (
    in_force_from_proto,
    request_to_proto,
    result_from_proto,
    verdict_from_proto,
    warning_report_to_proto,
    warnings_from_proto,
)
from ws_edge.ports import CommandRequest, CommandResult, Decision, InForce, Verdict, WarningStep
from ws_edge.protocol.commands import IssueWarning, Target
from ws_edge.protocol.identity import Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.warnings import RoomWarning

TOLD = pb.Warning(
    id=17,
    slug="live",
    target_user_id=5,
    reason="No links",
    moderator_user_id=9,
    moderator_rank=pb.RANK_MODERATOR,
    created_at_ms=1_000,
    version=3,
    open=True,
    delivered=True,
)
KNOWN = RoomWarning(17, Slug("live"), UserId(5), None, "No links", Rank.MODERATOR, 1_000, is_delivered=True)
ANA = Speaker(Identity(UserId(5), "ana", None, (), Rank.USER, None), "10.0.0.1", "e:1")
GUEST = pb.Warning(id=18, slug="live", target_username="Anonymous_a", moderator_rank=pb.RANK_ADMIN)


async def test_warnings_are_read_with_what_is_in_force_where_the_service_knows_any() -> None:
    assert in_force_from_proto(pb.ListActiveResponse()) == InForce([])
    told = pb.ListActiveResponse(warnings=[TOLD, GUEST], has_warnings=True)
    guest = RoomWarning(18, Slug("live"), None, "Anonymous_a", "", Rank.ADMIN, 0, is_open=False)
    assert in_force_from_proto(told) == InForce([], warnings=[KNOWN, guest])
    assert in_force_from_proto(pb.ListActiveResponse(has_warnings=True)).warnings == []


async def test_one_of_a_rank_of_a_later_version_is_left_out_and_logged() -> None:
    later = pb.Warning(id=19, moderator_rank=99)  # type: ignore[arg-type]
    with capture_logs():
        assert warnings_from_proto([later, TOLD]) == [KNOWN]


def test_a_pending_warning_is_a_refusal_of_its_own() -> None:
    told = pb.Verdict(decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_WARNING_PENDING)
    assert verdict_from_proto(told) == Verdict(Decision.WARNING_PENDING)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (Target(UserId(5), None), pb.IssueWarning(target_user_id=5)),
        (Target(None, "Anonymous_a"), pb.IssueWarning(target_username="Anonymous_a")),
    ],
)
def test_a_warning_as_it_is_asked_for(target: Target, sent: pb.IssueWarning) -> None:
    log = LogRef(RoomId(1), Life(2))
    request = CommandRequest(ANA, Slug("live"), log, IssueWarning(target), target, None, "No links", "n", "e", 4)
    message = request_to_proto(request)
    assert (message.issue_warning, message.reason, message.slug) == (sent, "No links", "live")


async def test_what_it_came_to_has_the_warning() -> None:
    answer = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, warning=TOLD)
    assert result_from_proto(answer) == CommandResult(None, None, is_repeated=False, warning=KNOWN)


@pytest.mark.parametrize(
    ("step", "sent"),
    [
        (WarningStep.DELIVER, pb.WarningReport.STEP_DELIVER),
        (WarningStep.ACKNOWLEDGE, pb.WarningReport.STEP_ACKNOWLEDGE),
        (WarningStep.LAPSE, pb.WarningReport.STEP_LAPSE),
    ],
)
def test_a_report_is_in_the_name_of_the_speaker(step: WarningStep, sent: pb.WarningReport.Step.ValueType) -> None:
    message = warning_report_to_proto(ANA, Slug("live"), 17, step)
    assert (message.actor.user_id, message.slug, message.nonce) == (5, "live", "")
    assert message.report_warning == pb.WarningReport(warning_id=17, step=sent)

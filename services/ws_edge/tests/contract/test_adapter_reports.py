"""Reports, and what banned users are told, between the contract and the words of the edge."""

import pytest

from salon.moderation.v1 import moderation_pb2 as pb, reports_pb2
from ws_edge.adapters.grpc.convert_cases import ban_from_proto, report_answer_from_proto, report_to_proto
from ws_edge.ports import ReportAnswer, ReportOutcome
from ws_edge.protocol.commands import Report, Target
from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.sanctions import BanNotice

ANA = Speaker(Identity(UserId(5), "ana", None, (), Rank.USER, None), "10.0.0.1", "e:1")
LOG = LogRef(RoomId(1), Life(2), 3)


@pytest.mark.parametrize(
    ("report", "sent"),
    [
        (
            Report(MessageId(42), None, "spam", "again"),
            reports_pb2.FileReport(message_id=42, category=reports_pb2.REPORT_CATEGORY_SPAM, note="again"),
        ),
        (
            Report(None, Target(UserId(7), None), "violence", ""),
            reports_pb2.FileReport(target_user_id=7, category=reports_pb2.REPORT_CATEGORY_VIOLENCE),
        ),
        (
            Report(None, Target(None, "Anonymous_a"), "other", ""),
            reports_pb2.FileReport(target_username="Anonymous_a", category=reports_pb2.REPORT_CATEGORY_OTHER),
        ),
    ],
)
def test_a_report_as_it_is_sent(report: Report, sent: reports_pb2.FileReport) -> None:
    message = report_to_proto(ANA, Slug("live"), LOG, report)
    assert (message.file_report, message.slug, message.actor.user_id, message.nonce) == (sent, "live", 5, "")
    assert message.log == pb.LogRef(partition=3, room_id=1, life=2)


@pytest.mark.parametrize(
    ("outcome", "known"),
    [
        (pb.ExecuteResponse.OUTCOME_DONE, ReportOutcome.REPORTED),
        (pb.ExecuteResponse.OUTCOME_NOT_FOUND, ReportOutcome.NOT_FOUND),
        (pb.ExecuteResponse.OUTCOME_NOT_PERMITTED, ReportOutcome.NOT_PERMITTED),
        (99, ReportOutcome.NOT_PERMITTED),
    ],
)
def test_what_became_of_it(outcome: pb.ExecuteResponse.Outcome.ValueType, known: ReportOutcome) -> None:
    assert report_answer_from_proto(pb.ExecuteResponse(outcome=outcome)) == ReportAnswer(known)


def test_who_files_too_many_is_told_how_long_to_wait() -> None:
    answer = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_TOO_MANY_REPORTS, retry_after_ms=2_140)
    assert report_answer_from_proto(answer) == ReportAnswer(ReportOutcome.TOO_MANY, 2_140)


def test_what_a_banned_user_is_told() -> None:
    assert ban_from_proto(pb.FindBanResponse()) is None
    for_good = pb.FindBanResponse(sanction_id=17, may_request_unban=True)
    assert ban_from_proto(for_good) == BanNotice(17, "", None, can_appeal=True)
    for_a_time = pb.FindBanResponse(sanction_id=17, reason="spam", expires_at_ms=1_764_264_780_000)
    assert ban_from_proto(for_a_time) == BanNotice(17, "spam", 1_764_264_780_000, can_appeal=False)

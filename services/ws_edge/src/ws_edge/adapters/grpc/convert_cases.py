"""Reports, and what banned users are told, between the contract and the words of the edge."""

from salon.moderation.v1 import moderation_pb2, reports_pb2
from ws_edge.adapters.grpc.convert import log_to_proto, speaker_to_proto
from ws_edge.ports import ReportAnswer, ReportOutcome
from ws_edge.protocol.commands import Report, Target
from ws_edge.protocol.identity import Slug, Speaker
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.sanctions import BanNotice

_REPORT_OUTCOMES = {
    moderation_pb2.ExecuteResponse.OUTCOME_DONE: ReportOutcome.REPORTED,
    moderation_pb2.ExecuteResponse.OUTCOME_NOT_FOUND: ReportOutcome.NOT_FOUND,
    moderation_pb2.ExecuteResponse.OUTCOME_TOO_MANY_REPORTS: ReportOutcome.TOO_MANY,
}


def report_to_proto(speaker: Speaker, slug: Slug, log: LogRef, report: Report) -> moderation_pb2.ExecuteRequest:
    """What the speaker tells moderators."""
    target = report.target or Target(None, None)
    filed = reports_pb2.FileReport(
        message_id=report.message_id or 0,
        target_user_id=target.user_id or 0,
        target_username=target.username or "",
        category=reports_pb2.ReportCategory.Value(f"REPORT_CATEGORY_{report.category.upper()}"),
        note=report.note,
    )
    return moderation_pb2.ExecuteRequest(
        actor=speaker_to_proto(speaker),
        slug=slug,
        log=log_to_proto(log),
        file_report=filed,
    )


def report_answer_from_proto(answer: moderation_pb2.ExecuteResponse) -> ReportAnswer:
    """What became of it; an outcome of a later version is a refusal."""
    return ReportAnswer(_REPORT_OUTCOMES.get(answer.outcome, ReportOutcome.NOT_PERMITTED), answer.retry_after_ms)


def ban_from_proto(answer: moderation_pb2.FindBanResponse) -> BanNotice | None:
    """What keeps a banned user out; None: no ban is aimed at them."""
    if not answer.sanction_id:
        return None
    return BanNotice(answer.sanction_id, answer.reason, answer.expires_at_ms or None, answer.may_request_unban)

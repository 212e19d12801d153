"""domain/reports.py, and reports as they come and go over gRPC."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from moderation.api.grpc.convert import order_from_proto, receipt_to_proto, refusal_to_proto
from moderation.api.grpc.convert_cases import kept_report_to_proto, report_state_from_proto
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import (
    MOST_REPORTS,
    REPORTS_WINDOW_MS,
    RESOLUTIONS,
    STEPS,
    Neighbours,
    Report,
    ReportCategory,
    ReportedMessage,
    ReportOrder,
    ReportState,
    ReportStep,
    ResolveCommand,
    ResolveOrder,
    decide_report,
    demand_other,
    demand_within_limit,
    may_read_reports,
    may_report,
)
from moderation.errors import AlreadyDecided, MalformedRequest, NotPermitted, ReportNotFound, TooManyReports
from salon.moderation.v1 import moderation_pb2 as pb, reports_pb2

ANA, BOB, GUEST = Target(5, ""), Target(6, ""), Target(0, "Anonymous_10.0.0.6")
LOG = LogRef(3, 7, 21)
MESSAGE = ReportedMessage(773, 900, "buy now", Neighbours((515, 516), (1029,)))
OPEN = ReportState.OPEN


def order(by: int = 6, *, rank: Rank = Rank.USER, message_id: int = 773, target: Target | None = None) -> ReportOrder:
    return ReportOrder(Moderator(by, rank), "bob", "live", LOG, message_id, target, ReportCategory.SPAM, "again")


def report(*, target: Target = ANA, state: ReportState = OPEN, closed_by: int = 0, slug: str = "live") -> Report:
    return Report(
        1, slug, 6, "bob", ReportCategory.SPAM, "again", target, "ana", MESSAGE, 1_000, state, None, closed_by
    )


def command(
    rank: Rank = Rank.MODERATOR, *, by: int = 9, resolution: ReportState = ReportState.ACTIONED
) -> ResolveCommand:
    return ResolveCommand(Moderator(by, rank), "live", 1, resolution, "muted")


# --- states -----------------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_only_an_open_report_goes_anywhere() -> None:
    assert set(STEPS) == set(ReportState) == {OPEN, *STEPS[OPEN].values()}
    assert set(STEPS[OPEN]) == set(ReportStep)
    assert [state for state in ReportState if STEPS[state]] == [OPEN]
    assert all(STEPS[OPEN][step] is state for state, step in RESOLUTIONS.items())


@given(st.lists(st.tuples(st.sampled_from(ReportStep), st.integers(1, 9)), max_size=6))
def test_the_first_step_holds_and_whatever_follows_changes_nothing(steps: Sequence[tuple[ReportStep, int]]) -> None:
    known = report()
    for at, (step, by) in enumerate(steps, start=2_000):
        after = known.after(step, by=by, now_ms=at)
        if known.state is OPEN:
            assert (after.state, after.closed_by, after.closed_at_ms) == (STEPS[OPEN][step], by, at)
        else:
            assert after is known
        known = after


# --- who, and how many ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "target", "may"),
    [(6, None, True), (6, ANA, True), (6, GUEST, True), (6, BOB, False), (0, None, False), (0, ANA, False)],
)
def test_who_is_signed_in_reports_anybody_but_themselves(by: int, target: Target | None, *, may: bool) -> None:
    assert may_report(order(by, target=target)) is may


def test_nobody_reports_what_they_said_themselves() -> None:
    demand_other(order(), LoggedMessage(773, 900, 5, "ana", "buy now", ""))
    demand_other(order(), LoggedMessage(773, 900, 0, "Anonymous_10.0.0.6", "buy now", ""))
    with pytest.raises(NotPermitted):
        demand_other(order(), LoggedMessage(773, 900, 6, "bob", "buy now", ""))


@given(st.lists(st.integers(0, 2 * REPORTS_WINDOW_MS), max_size=12))
def test_never_more_than_five_in_any_ten_minutes_and_waiting_as_told_is_enough(times: Sequence[int]) -> None:
    filed: list[int] = []
    for now_ms in sorted(times):
        last = filed[-MOST_REPORTS:]
        if len([at for at in filed if at > now_ms - REPORTS_WINDOW_MS]) < MOST_REPORTS:
            demand_within_limit(last, now_ms=now_ms)
            filed.append(now_ms)
            continue
        with pytest.raises(TooManyReports) as refusal:
            demand_within_limit(last, now_ms=now_ms)
        assert 0 < refusal.value.retry_after_ms <= REPORTS_WINDOW_MS
        demand_within_limit(last, now_ms=now_ms + refusal.value.retry_after_ms)
    for at in filed:
        assert len([other for other in filed if at <= other < at + REPORTS_WINDOW_MS]) <= MOST_REPORTS


@pytest.mark.parametrize(
    ("rank", "slug", "may"),
    [
        (Rank.USER, "live", False),
        (Rank.MODERATOR, "live", True),
        (Rank.MODERATOR, None, False),
        (Rank.OWNER, None, False),
        (Rank.ADMIN, None, True),
    ],
)
def test_moderators_read_the_reports_of_a_room_and_admins_all(rank: Rank, slug: str | None, *, may: bool) -> None:
    assert may_read_reports(rank, slug) is may


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_moderator_resolves_an_open_report(resolution: ReportState) -> None:
    decided = decide_report(command(resolution=resolution), report(), now_ms=2_000)
    assert (decided.state, decided.closed_by, decided.closed_at_ms) == (resolution, 9, 2_000)


@pytest.mark.parametrize(
    ("asked", "known", "refusal"),
    [
        (command(Rank.USER), report(), NotPermitted),
        (command(Rank.USER), None, NotPermitted),
        (command(by=0), report(), NotPermitted),
        (command(by=5), report(), NotPermitted),
        (command(), None, ReportNotFound),
        (command(), report(slug="other"), ReportNotFound),
        (command(), report(state=ReportState.DISMISSED, closed_by=8), AlreadyDecided),
        (command(), report(state=ReportState.EXPIRED), AlreadyDecided),
    ],
)
def test_what_is_refused(asked: ResolveCommand, known: Report | None, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        decide_report(asked, known, now_ms=2_000)


def test_who_comes_too_late_is_told_who_decided() -> None:
    with pytest.raises(AlreadyDecided) as told:
        decide_report(command(), report(state=ReportState.DISMISSED, closed_by=8), now_ms=2_000)
    assert told.value.by == 8


# --- gRPC -------------------------------------------------------------------------------------------------------------

ResolveReport = reports_pb2.ResolveReport
BY_BOB = pb.Speaker(user_id=6, username="bob", rank=pb.RANK_USER)


def filed(**fields: object) -> pb.ExecuteRequest:
    log = pb.LogRef(partition=3, room_id=7, life=21)
    found = reports_pb2.FileReport(category=reports_pb2.REPORT_CATEGORY_SPAM, **fields)  # type: ignore[arg-type]
    return pb.ExecuteRequest(actor=BY_BOB, slug="live", log=log, file_report=found)


def test_a_report_as_it_comes() -> None:
    assert order_from_proto(filed(message_id=773, note="again")) == order()
    of_user = order_from_proto(filed(target_user_id=5, target_username="ignored", note="again"))
    assert of_user == order(message_id=0, target=ANA)
    of_guest = order_from_proto(filed(target_username="Anonymous_10.0.0.6", note="again"))
    assert of_guest == order(message_id=0, target=GUEST)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (filed(), "target_user_id"),
        (filed(target_user_id=-1), "target_user_id"),
        (filed(message_id=-1), "message_id"),
        (filed(message_id=2**53), "message_id"),
        (filed(message_id=1, note="x" * 501), "note"),
        (filed(target_username="x" * 256), "target_username"),
        (pb.ExecuteRequest(actor=BY_BOB, slug="live", file_report=reports_pb2.FileReport(message_id=1)), "category"),
        (pb.ExecuteRequest(actor=BY_BOB, file_report=filed(message_id=1).file_report), "slug"),
        (
            pb.ExecuteRequest(actor=BY_BOB, slug="live", resolve_report=ResolveReport(report_id=0)),
            "report_id",
        ),
        (
            pb.ExecuteRequest(actor=BY_BOB, slug="live", resolve_report=ResolveReport(report_id=1)),
            "resolution",
        ),
    ],
)
def test_what_breaks_the_contract_is_named(request_: pb.ExecuteRequest, field: str) -> None:
    with pytest.raises(MalformedRequest, match=field):
        order_from_proto(request_)


@pytest.mark.parametrize("state", [reports_pb2.REPORT_STATE_OPEN, reports_pb2.REPORT_STATE_EXPIRED])
def test_nobody_resolves_a_report_to_be_open_or_expired(state: reports_pb2.ReportState.ValueType) -> None:
    asked = ResolveReport(report_id=1, resolution=state)
    with pytest.raises(MalformedRequest, match="resolution"):
        order_from_proto(pb.ExecuteRequest(actor=BY_BOB, slug="live", resolve_report=asked))


def test_a_decision_as_it_comes_and_what_it_came_to() -> None:
    asked = ResolveReport(report_id=1, resolution=reports_pb2.REPORT_STATE_ACTIONED)
    actor = pb.Speaker(user_id=9, username="mo", rank=pb.RANK_MODERATOR)
    request = pb.ExecuteRequest(actor=actor, slug="live", reason="muted", nonce="n", resolve_report=asked)
    resolve = order_from_proto(request)
    assert resolve == ResolveOrder(command(), origin=Origin("", 0, "n"))
    answer = receipt_to_proto(Receipt(4, report=report()), resolve)
    assert (answer.action_id, answer.report) == (4, kept_report_to_proto(report()))


def test_a_report_as_it_is_shown() -> None:
    assert kept_report_to_proto(report()) == reports_pb2.KeptReport(
        id=1,
        slug="live",
        at_ms=1_000,
        category=reports_pb2.REPORT_CATEGORY_SPAM,
        note="again",
        reporter_user_id=6,
        reporter_username="bob",
        target_user_id=5,
        target_username="ana",
        message_id=773,
        message_text="buy now",
        message_at_ms=900,
        before_ids=[515, 516],
        after_ids=[1029],
        state=reports_pb2.REPORT_STATE_OPEN,
    )
    of_person = Report(2, "live", 6, "bob", ReportCategory.OTHER, "", GUEST, GUEST.username, None, 1_000)
    assert not kept_report_to_proto(of_person).HasField("message_text")


def test_states_and_refusals_on_the_wire() -> None:
    assert report_state_from_proto(reports_pb2.REPORT_STATE_UNSPECIFIED) is None
    assert report_state_from_proto(reports_pb2.REPORT_STATE_DISMISSED) is ReportState.DISMISSED
    with pytest.raises(MalformedRequest):
        report_state_from_proto(99)  # type: ignore[arg-type]
    too_many, late = refusal_to_proto(TooManyReports(2_140)), refusal_to_proto(AlreadyDecided(8))
    assert (too_many.outcome, too_many.retry_after_ms) == (pb.ExecuteResponse.OUTCOME_TOO_MANY_REPORTS, 2_140)
    assert (late.outcome, late.decided_by_user_id) == (pb.ExecuteResponse.OUTCOME_ALREADY_DECIDED, 8)

"""domain/unban_requests.py and unban_decisions.py, and unban requests as they come and go over gRPC."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from moderation.api.grpc.convert import order_from_proto, receipt_to_proto, refusal_to_proto
from moderation.api.grpc.convert_cases import request_state_from_proto, unban_request_to_proto
from moderation.domain.commands import Receipt
from moderation.domain.erasures import Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.unban_decisions import decide_request
from moderation.domain.unban_requests import (
    ASKED_AGAIN_AFTER_MS,
    DECISIONS,
    STEPS,
    DecideCommand,
    DecideOrder,
    RequestState,
    RequestStep,
    UnbanOrder,
    UnbanRequest,
    demand_may_request,
    may_read_requests,
)
from moderation.errors import (
    AlreadyDecided,
    AlreadyRequested,
    MalformedRequest,
    NotPermitted,
    RequestedTooSoon,
    SanctionNotFound,
    UnbanRequestNotFound,
)
from salon.moderation.v1 import moderation_pb2 as pb, unban_requests_pb2

OPEN, DENIED = RequestState.OPEN, RequestState.DENIED
ANA = Target(5, "")


def ban(
    *, kind: Action = Action.BAN, target: Target = ANA, rank: Rank = Rank.ADMIN, slug: str | None = "live"
) -> Sanction:
    return Sanction(3, kind, target, frozenset(), slug, "", 9, rank, 0, 100_000)


def request(
    state: RequestState = OPEN, *, closed_at_ms: int | None = None, slug: str | None = "live", closed_by: int = 0
) -> UnbanRequest:
    return UnbanRequest(1, 3, slug, 5, "ana", "sorry", 1_000, state, closed_at_ms, closed_by)


def command(
    rank: Rank = Rank.ADMIN,
    *,
    by: int = 8,
    decision: RequestState = RequestState.APPROVED,
    slug: str | None = "live",
) -> DecideCommand:
    return DecideCommand(Moderator(by, rank), slug, 1, decision, "welcome back")


# --- states -----------------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_only_an_open_request_goes_anywhere() -> None:
    assert set(STEPS) == set(RequestState) == {OPEN, *STEPS[OPEN].values()}
    assert set(STEPS[OPEN]) == set(RequestStep)
    assert [state for state in RequestState if STEPS[state]] == [OPEN]
    assert all(STEPS[OPEN][step] is state for state, step in DECISIONS.items())


@given(st.lists(st.tuples(st.sampled_from(RequestStep), st.integers(0, 9)), max_size=6))
def test_the_first_step_holds_and_whatever_follows_changes_nothing(steps: Sequence[tuple[RequestStep, int]]) -> None:
    known = request()
    for at, (step, by) in enumerate(steps, start=2_000):
        after = known.after(step, now_ms=at, by=by, note="x")
        if known.state is OPEN:
            assert (after.state, after.closed_by, after.closed_at_ms, after.note) == (STEPS[OPEN][step], by, at, "x")
        else:
            assert after is known
        known = after


# --- who may ask, and when --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_id", "sanction"),
    [
        (5, None),
        (6, ban()),
        (0, ban(target=Target(0, "Anonymous_10.0.0.5"))),
        (5, ban(kind=Action.MUTE)),
        (5, replace(ban(), lifted_at_ms=1)),
        (5, replace(ban(), expires_at_ms=2_000)),
    ],
)
def test_only_who_a_ban_in_force_is_aimed_at_may_ask(user_id: int, sanction: Sanction | None) -> None:
    with pytest.raises(SanctionNotFound):
        demand_may_request(user_id, sanction, None, now_ms=2_000)


def test_one_open_request_a_ban_and_again_a_day_after_one_was_denied() -> None:
    demand_may_request(5, ban(), None, now_ms=2_000)
    with pytest.raises(AlreadyRequested):
        demand_may_request(5, ban(), request(), now_ms=2_000)
    for_good = replace(ban(), expires_at_ms=None)
    denied = request(DENIED, closed_at_ms=2_000)
    with pytest.raises(RequestedTooSoon) as refusal:
        demand_may_request(5, for_good, denied, now_ms=3_000)
    assert refusal.value.retry_after_ms == ASKED_AGAIN_AFTER_MS - 1_000
    demand_may_request(5, for_good, denied, now_ms=2_000 + ASKED_AGAIN_AFTER_MS)
    demand_may_request(5, ban(), request(RequestState.EXPIRED, closed_at_ms=2_000), now_ms=2_001)


def test_the_same_text_again_is_the_same_request_while_that_is_open() -> None:
    assert request().is_same(UnbanOrder(5, "ana", 3, "sorry"))
    assert not request().is_same(UnbanOrder(5, "ana", 3, "please"))
    assert not request().is_same(UnbanOrder(6, "bob", 3, "sorry"))
    assert not request(DENIED).is_same(UnbanOrder(5, "ana", 3, "sorry"))


@pytest.mark.parametrize(
    ("rank", "slug", "may"),
    [(Rank.USER, "live", False), (Rank.MODERATOR, "live", True), (Rank.OWNER, None, False), (Rank.ADMIN, None, True)],
)
def test_moderators_read_the_requests_of_a_room_and_admins_all(rank: Rank, slug: str | None, *, may: bool) -> None:
    assert may_read_requests(rank, slug) is may


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize(("rank", "author"), [(Rank.ADMIN, Rank.ADMIN), (Rank.OWNER, Rank.OWNER), (Rank.SUPERUSER, 4)])
def test_who_may_ban_there_decides(decision: RequestState, rank: Rank, author: int) -> None:
    decided = decide_request(command(rank, decision=decision), request(), ban(rank=Rank(author)), now_ms=2_000)
    assert (decided.state, decided.closed_by, decided.note) == (decision, 8, "welcome back")


@pytest.mark.parametrize(
    ("asked", "known", "sanction", "refusal"),
    [
        (command(Rank.MODERATOR), request(), ban(), NotPermitted),
        (command(Rank.OWNER), request(), ban(), NotPermitted),
        (command(by=0), request(), ban(), NotPermitted),
        (command(by=5), request(), ban(), NotPermitted),
        (command(Rank.OWNER, slug=None), request(slug=None), ban(slug=None, rank=Rank.OWNER), NotPermitted),
        (command(Rank.USER), None, None, NotPermitted),
        (command(by=0), None, None, NotPermitted),
        (command(), None, None, UnbanRequestNotFound),
        (command(), request(), None, UnbanRequestNotFound),
        (command(slug="other"), request(), ban(), UnbanRequestNotFound),
        (command(), request(DENIED, closed_by=7), ban(), AlreadyDecided),
        (command(), request(), replace(ban(), lifted_at_ms=1), AlreadyDecided),
    ],
)
def test_what_is_refused(
    asked: DecideCommand, known: UnbanRequest | None, sanction: Sanction | None, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        decide_request(asked, known, sanction, now_ms=2_000)


# --- gRPC -------------------------------------------------------------------------------------------------------------

BY_ANA = pb.Speaker(user_id=5, username="ana", rank=pb.RANK_USER)
ADMIN = pb.Speaker(user_id=8, username="adele", rank=pb.RANK_ADMIN)
APPROVED = unban_requests_pb2.UNBAN_REQUEST_STATE_APPROVED


def asked(sanction_id: int = 3, text: str = "sorry") -> pb.ExecuteRequest:
    return pb.ExecuteRequest(
        actor=BY_ANA, request_unban=unban_requests_pb2.RequestUnban(sanction_id=sanction_id, text=text)
    )


def decision(
    request_id: int = 1,
    state: unban_requests_pb2.UnbanRequestState.ValueType = APPROVED,
    *,
    slug: str = "live",
    reason: str = "welcome back",
) -> pb.ExecuteRequest:
    decide = unban_requests_pb2.DecideUnbanRequest(unban_request_id=request_id, decision=state)
    return pb.ExecuteRequest(actor=ADMIN, slug=slug, nonce="n", reason=reason, decide_unban_request=decide)


def test_a_request_and_a_decision_as_they_come_and_what_they_came_to() -> None:
    assert order_from_proto(asked()) == UnbanOrder(5, "ana", 3, "sorry")
    assert order_from_proto(decision()) == DecideOrder(command(), origin=Origin("", 0, "n"))
    everywhere = order_from_proto(decision(slug=""))
    assert everywhere == DecideOrder(command(slug=None), origin=Origin("", 0, "n"))
    answer = receipt_to_proto(Receipt(4, unban_request=request()), everywhere)
    assert answer.unban_request == unban_request_to_proto(request())


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (asked(0), "sanction_id"),
        (asked(text=""), "text"),
        (asked(text=" \n"), "text"),
        (asked(text="x" * 501), "text"),
        (decision(0), "unban_request_id"),
        (decision(state=unban_requests_pb2.UNBAN_REQUEST_STATE_UNSPECIFIED), "decision"),
        (decision(state=unban_requests_pb2.UNBAN_REQUEST_STATE_OPEN), "decision"),
        (decision(state=unban_requests_pb2.UNBAN_REQUEST_STATE_LAPSED), "decision"),
        (decision(reason="x" * 501), "reason"),
    ],
)
def test_what_breaks_the_contract_is_named(message: pb.ExecuteRequest, field: str) -> None:
    with pytest.raises(MalformedRequest, match=field):
        order_from_proto(message)


def test_a_request_as_it_is_shown() -> None:
    assert unban_request_to_proto(request(DENIED, closed_at_ms=2_000, closed_by=8)) == unban_requests_pb2.UnbanRequest(
        id=1,
        sanction_id=3,
        slug="live",
        user_id=5,
        username="ana",
        text="sorry",
        at_ms=1_000,
        state=unban_requests_pb2.UNBAN_REQUEST_STATE_DENIED,
        closed_at_ms=2_000,
        closed_by_user_id=8,
    )
    assert unban_request_to_proto(request(slug=None)).slug == ""


def test_states_and_refusals_on_the_wire() -> None:
    assert request_state_from_proto(unban_requests_pb2.UNBAN_REQUEST_STATE_UNSPECIFIED) is None
    with pytest.raises(MalformedRequest):
        request_state_from_proto(99)  # type: ignore[arg-type]
    early = refusal_to_proto(RequestedTooSoon(2_140))
    assert (early.outcome, early.retry_after_ms) == (pb.ExecuteResponse.OUTCOME_REQUESTED_TOO_SOON, 2_140)
    assert refusal_to_proto(AlreadyRequested()).outcome == pb.ExecuteResponse.OUTCOME_ALREADY_REQUESTED
    for missing in (SanctionNotFound(), UnbanRequestNotFound()):
        assert refusal_to_proto(missing).outcome == pb.ExecuteResponse.OUTCOME_NOT_FOUND

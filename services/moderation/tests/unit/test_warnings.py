"""domain/warnings.py, and what admission, rights and gRPC make of warnings."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from moderation.api.grpc.convert import encode_warnings, order_from_proto, receipt_to_proto, verdicts_to_proto
from moderation.domain import warnings as module
from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.commands import Receipt
from moderation.domain.erasures import Origin
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.policy import Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_warn
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.verdicts import ADMITTED, ADMITTED_WITH_PLACE, REPEATED, Decision, Verdict
from moderation.domain.warnings import (
    STEPS,
    RoomWarning,
    WarningCache,
    WarningCommand,
    WarningOrder,
    WarningReport,
    WarningState,
    WarningStep,
)
from moderation.errors import MalformedRequest
from salon.moderation.v1 import moderation_pb2 as pb

ANA, GUEST = Target(5, ""), Target(0, "Anonymous_10.0.0.6")
ISSUED, ACKNOWLEDGED = WarningState.ISSUED, WarningState.ACKNOWLEDGED
PENDING = Verdict(Decision.WARNING_PENDING)


def warning(
    number: int = 1,
    *,
    target: Target = ANA,
    slug: str = "live",
    state: WarningState = ISSUED,
    version: int = 1,
    rank: Rank = Rank.MODERATOR,
) -> RoomWarning:
    return RoomWarning(number, slug, target, "No links", 9, rank, 1_000, state, version)


def user(rank: Rank = Rank.USER, user_id: int = 5) -> Speaker:
    return Speaker(user_id, "ana", "10.0.0.5", rank, "e:1")


def guest(name: str = "Anonymous_10.0.0.6") -> Speaker:
    return Speaker(0, name, "10.0.0.6", Rank.ANONYMOUS, "e:2")


# --- states ---------------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_every_step_leads_somewhere_from_where_it_begins() -> None:
    reached, new = {ISSUED}, [ISSUED]
    while new:
        found = set(STEPS[new.pop()].values()) - reached
        reached |= found
        new += found
    assert reached == set(WarningState) == set(STEPS)
    assert set(STEPS[ISSUED]) == set(WarningStep)
    assert {state for state in WarningState if STEPS[state]} == {state for state in WarningState if state.is_open}


@given(st.lists(st.sampled_from(WarningStep), max_size=8))
def test_what_is_no_step_of_a_state_changes_nothing_and_nothing_follows_on_the_end(
    steps: Sequence[WarningStep],
) -> None:
    known = warning()
    for version, step in enumerate(steps, start=2):
        after = known.after(step, version)
        if step in STEPS[known.state]:
            assert (after.state, after.version) == (STEPS[known.state][step], version)
        else:
            assert after is known
        assert known.is_open or after is known
        known = after


# --- what a replica knows ---------------------------------------------------------------------------------------------


def test_a_warning_is_pending_for_its_target_in_its_room_until_it_is_closed() -> None:
    cache = WarningCache()
    assert not cache.is_pending(user(), "live")
    cache.apply([warning(1), warning(2, target=GUEST), warning(2, target=GUEST, state=WarningState.DELIVERED)])
    assert len(cache) == 2
    assert cache.is_pending(user(), "live")
    assert cache.is_pending(guest(), "live")
    assert not cache.is_pending(user(), "other")
    assert not cache.is_pending(user(user_id=6), "live")
    assert not cache.is_pending(guest("Anonymous_10.0.0.7"), "live")
    cache.apply([warning(1, state=ACKNOWLEDGED)])
    assert not cache.is_pending(user(), "live")
    cache.apply([warning(2, target=GUEST, state=WarningState.LAPSED), warning(3, state=WarningState.EXPIRED)])
    assert len(cache) == 0


@pytest.mark.parametrize("author", [Rank.MODERATOR, Rank.OWNER, Rank.ADMIN])
def test_a_warning_binds_by_the_order_of_ranks_and_a_vip_as_a_user(author: Rank) -> None:
    cache = WarningCache()
    cache.apply([warning(rank=author)])
    order = [Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER]
    bound = [rank for rank in order if cache.is_pending(user(rank), "live")]
    assert bound == order[: order.index(author)]
    assert cache.is_pending(user(Rank.USER)._replace(vip=True), "live")
    assert cache.is_pending(user()._replace(rank=77), "live"), "a rank of a later version counts as a user's"


def test_one_of_several_is_enough_and_none_binds_an_equal_or_higher_rank() -> None:
    cache = WarningCache()
    cache.apply([warning(1), warning(2, rank=Rank.ADMIN)])
    assert not cache.is_pending(user(Rank.ADMIN), "live")
    assert cache.is_pending(user(Rank.MODERATOR), "live")
    cache.apply([warning(2, state=ACKNOWLEDGED)])
    assert not cache.is_pending(user(Rank.MODERATOR), "live")
    assert cache.is_pending(user(), "live")


def test_an_answer_that_is_older_than_what_is_known_does_not_bring_a_closed_one_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CLOSED_REMEMBERED", 2)
    cache = WarningCache()
    cache.read([warning(1, version=7)])
    cache.apply([warning(1, state=ACKNOWLEDGED, version=9)])
    cache.read([warning(1, version=8)])
    assert (len(cache), cache.read_up_to) == (0, 8)
    cache.read([])
    assert cache.read_up_to == 8
    cache.apply([warning(n, state=ACKNOWLEDGED) for n in (2, 3)])
    cache.apply([warning(1)])
    assert len(cache) == 1


# --- admission --------------------------------------------------------------------------------------------------------


class Subject:
    """An admission in a room with slow mode where the user has a warning."""

    def __init__(self) -> None:
        self.sanctions, self.policies, self.warnings = SanctionCache(), PolicyCache(), WarningCache()
        self.policies.apply(RoomPolicy("live", 1, Policy(slow_mode_seconds=30)))
        self.warnings.apply([warning()])
        parts = (self.sanctions, LastSeenBuffer(), self.policies, self.warnings)
        self.admission = Admission(Limits(1, 10, 100), *parts)

    def say(self, nonce: str = "", *, slug: str = "live", without_policy: bool = False) -> Verdict:
        check = MessageCheck(user(), slug, 1, nonce, 1, without_policy)
        return self.admission.judge_message(check, Now(0, 0))


def test_a_message_before_the_warning_is_acknowledged_is_refused_and_takes_no_place_and_no_window() -> None:
    subject = Subject()
    assert [subject.say("n"), subject.say("n"), subject.say()] == [PENDING] * 3
    subject.warnings.apply([warning(state=ACKNOWLEDGED)])
    assert subject.say("n") == ADMITTED_WITH_PLACE


def test_sanctions_and_repetitions_come_first_and_another_room_is_free() -> None:
    subject = Subject()
    assert subject.say(slug="other") == ADMITTED
    subject = Subject()
    subject.warnings.apply([warning(state=ACKNOWLEDGED)])
    assert subject.say("n") == ADMITTED_WITH_PLACE
    subject.warnings.apply([warning(2)])
    assert (subject.say("n"), subject.say("other")) == (REPEATED, PENDING)
    mute = Sanction(1, Action.MUTE, ANA, frozenset(), "live", "", 9, Rank.ADMIN, 0, None)
    subject.sanctions.apply([mute], ())
    assert subject.say("n").decision is Decision.SANCTIONED


def test_a_check_without_policy_is_of_somebody_whose_warnings_another_check_looks_for() -> None:
    assert Subject().say(without_policy=True) == ADMITTED


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rank", "by", "target", "target_rank", "may"),
    [
        (Rank.USER, 9, ANA, None, False),
        (Rank.MODERATOR, 9, ANA, None, True),
        (Rank.MODERATOR, 9, ANA, Rank.USER, True),
        (Rank.MODERATOR, 9, GUEST, Rank.ANONYMOUS, True),
        (Rank.MODERATOR, 9, ANA, Rank.MODERATOR, False),
        (Rank.MODERATOR, 9, ANA, Rank.ADMIN, False),
        (Rank.ADMIN, 9, ANA, Rank.MODERATOR, True),
        (Rank.ADMIN, 9, Target(9, ""), None, False),
        (Rank.ADMIN, 0, ANA, None, False),
    ],
)
def test_who_may_warn_whom(rank: Rank, by: int, target: Target, target_rank: Rank | None, may: bool) -> None:
    assert may_warn(WarningCommand(Moderator(by, rank), target, target_rank, "live", "No links")) is may


# --- gRPC -------------------------------------------------------------------------------------------------------------

MODERATOR = pb.Speaker(user_id=9, username="mo", rank=pb.RANK_MODERATOR)
TO_ANA = pb.IssueWarning(target_user_id=5)


def test_a_warning_and_what_became_of_it_as_they_come_and_go() -> None:
    request = pb.ExecuteRequest(
        actor=MODERATOR, slug="live", reason="No links", nonce="n", edge="e", token=4, target_rank=pb.RANK_USER
    )
    request.issue_warning.CopyFrom(TO_ANA)
    command = WarningCommand(Moderator(9, Rank.MODERATOR), ANA, Rank.USER, "live", "No links")
    assert order_from_proto(request) == WarningOrder(command, Origin("e", 4, "n"))
    told = pb.Warning(
        id=1,
        slug="live",
        target_user_id=5,
        reason="No links",
        moderator_user_id=9,
        moderator_rank=pb.RANK_MODERATOR,
        created_at_ms=1_000,
        version=1,
        open=True,
    )
    order = WarningOrder(command)
    assert receipt_to_proto(Receipt(1, warning=warning()), order).warning == told
    closed = pb.WarningEvent.FromString(encode_warnings([warning(target=GUEST, state=ACKNOWLEDGED)])).warnings[0]
    assert (closed.open, closed.delivered, closed.target_username) == (False, True, "Anonymous_10.0.0.6")


@pytest.mark.parametrize(
    ("step", "meant"),
    [
        (pb.WarningReport.STEP_DELIVER, WarningStep.DELIVER),
        (pb.WarningReport.STEP_ACKNOWLEDGE, WarningStep.ACKNOWLEDGE),
        (pb.WarningReport.STEP_LAPSE, WarningStep.LAPSE),
    ],
)
def test_a_report_is_the_actors_own(step: pb.WarningReport.Step.ValueType, meant: WarningStep) -> None:
    report = pb.WarningReport(warning_id=7, step=step)
    by_user = pb.ExecuteRequest(actor=pb.Speaker(user_id=5, username="ana"), report_warning=report)
    by_guest = pb.ExecuteRequest(actor=pb.Speaker(username="Anonymous_10.0.0.6"), report_warning=report)
    assert order_from_proto(by_user) == WarningReport(7, ANA, meant)
    assert order_from_proto(by_guest) == WarningReport(7, GUEST, meant)


@pytest.mark.parametrize(
    "malformed",
    [
        pb.ExecuteRequest(actor=MODERATOR, slug="", reason="x", issue_warning=TO_ANA),
        pb.ExecuteRequest(actor=MODERATOR, slug="live", reason="", issue_warning=TO_ANA),
        pb.ExecuteRequest(actor=MODERATOR, slug="live", reason=" \n", issue_warning=TO_ANA),
        pb.ExecuteRequest(actor=MODERATOR, slug="live", reason="x" * 501, issue_warning=TO_ANA),
        pb.ExecuteRequest(actor=MODERATOR, slug="live", reason="x", issue_warning=pb.IssueWarning()),
        pb.ExecuteRequest(actor=MODERATOR, report_warning=pb.WarningReport(warning_id=7)),
        pb.ExecuteRequest(actor=MODERATOR, report_warning=pb.WarningReport(step=pb.WarningReport.STEP_LAPSE)),
        pb.ExecuteRequest(
            actor=MODERATOR, report_warning=pb.WarningReport(warning_id=2**53, step=pb.WarningReport.STEP_LAPSE)
        ),
    ],
)
def test_what_breaks_the_contract_is_the_callers_mistake(malformed: pb.ExecuteRequest) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(malformed)


def test_the_refusal_is_told_in_words_that_edges_of_before_refuse_by() -> None:
    request = pb.AdmitRequest(messages=[pb.MessageCheck(id=3)])
    (verdict,) = verdicts_to_proto([PENDING], request).verdicts
    assert verdict == pb.Verdict(
        id=3, decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_WARNING_PENDING
    )

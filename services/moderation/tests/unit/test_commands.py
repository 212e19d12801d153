"""A nonce names one command: what else is sent with it in the same two minutes is another one, and is not answered with
what that brought."""

from dataclasses import replace

import pytest

from moderation.domain.audit import AuditRecord
from moderation.domain.cases import AddNote, DeleteNote, NoteOrder
from moderation.domain.commands import ErasureOrder, Order, SanctionOrder, is_repeated
from moderation.domain.erasures import ErasureCommand, ErasureKind
from moderation.domain.kept_rules import DeleteRule, RuleOrder, SaveRule
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, PinCommand, PinOrder
from moderation.domain.policy import PolicyChanges, PolicyCommand, PolicyOrder, ShieldCommand, ShieldOrder
from moderation.domain.reports import ReportState, ResolveCommand, ResolveOrder
from moderation.domain.revocations import RevocationCommand, RevocationOrder
from moderation.domain.roles import RoleCommand, RoleOrder
from moderation.domain.rules import Rule, RuleAction, RuleKind
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.unban_requests import DecideCommand, DecideOrder, RequestState
from moderation.domain.undo import UndoCommand, UndoOrder
from moderation.domain.warnings import WarningCommand, WarningOrder

CHAIR, ANA = Moderator(9, Rank.ADMIN), Target(5, "")
RULE = Rule(name="words", kind=RuleKind.TERMS, action=RuleAction.REFUSE, patterns=("blarg",))
ORDERS: dict[int, Order] = {
    **{int(action): SanctionOrder(Command(CHAIR, action, ANA, None, Scope.ROOM, "live", 0, "")) for action in Action},
    **{int(kind): ErasureOrder(ErasureCommand(kind, CHAIR, "live", None, "")) for kind in ErasureKind},
    11: PolicyOrder(PolicyCommand(CHAIR, "live", PolicyChanges(emote_only=True), "")),
    20: WarningOrder(WarningCommand(CHAIR, ANA, None, "live", "calm down")),
    **{int(action): PinOrder(PinCommand(action, CHAIR, "live", 257, "")) for action in PinAction},
    23: UndoOrder(UndoCommand(CHAIR, "live", 7, "")),
    24: RuleOrder(SaveRule(CHAIR, "live", RULE, 0, "")),
    25: RuleOrder(DeleteRule(CHAIR, "live", 3, "")),
    26: RoleOrder(RoleCommand(CHAIR, "live", ANA, None, None, 9, "")),
    27: ShieldOrder(ShieldCommand(CHAIR, "live", 15, "")),
    30: NoteOrder(AddNote(CHAIR, "boss", "live", ANA, "calm")),
    31: NoteOrder(DeleteNote(CHAIR, "live", 7)),
}
"""By the number of their rows."""
OF_WHATEVER_ROOM = (23, 24, 25)


@pytest.mark.parametrize("number", ORDERS)
def test_the_same_command_is_known_by_its_kind_and_its_room(number: int) -> None:
    order = ORDERS[number]
    for other in ORDERS:
        row = AuditRecord(1, other, 0, "", 9, int(Rank.ADMIN), 0, int(Scope.ROOM), "live", "", 0)
        assert is_repeated(order, row) is (other == number)
    elsewhere = AuditRecord(1, number, 0, "", 9, int(Rank.ADMIN), 0, int(Scope.ROOM), "other", "", 0)
    assert is_repeated(order, elsewhere) is (number in OF_WHATEVER_ROOM)


def test_a_decision_about_a_report_or_an_unban_request_is_known_by_what_it_is_about() -> None:
    resolve = ResolveOrder(ResolveCommand(CHAIR, "live", 7, ReportState.ACTIONED, ""))
    decide = DecideOrder(DecideCommand(CHAIR, "live", 7, RequestState.DENIED, ""))
    row = AuditRecord(1, 28, 0, "", 9, int(Rank.ADMIN), 0, int(Scope.ROOM), "live", "", 0)
    assert not is_repeated(resolve, row)
    assert not is_repeated(decide, row)
    assert is_repeated(resolve, replace(row, details={"report_id": 7}))
    assert not is_repeated(resolve, replace(row, details={"report_id": 8}))
    assert is_repeated(decide, replace(row, details={"unban_request_id": 7}))


def test_a_revocation_is_known_by_whether_it_is_of_a_user_or_of_one_token() -> None:
    of_user = RevocationOrder(RevocationCommand(CHAIR, 5, "", ""))
    row = AuditRecord(1, 38, 5, "", 9, int(Rank.ADMIN), 0, int(Scope.EVERYWHERE), "", "", 0)
    assert is_repeated(of_user, row)
    assert not is_repeated(of_user, replace(row, action=39))

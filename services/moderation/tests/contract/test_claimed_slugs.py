"""What happened in a slug before it was somebody's room is not theirs: who makes a room of a free slug neither reads
nor decides it. On both databases."""

from typing import Any, Final

import pytest
from room_log import Clock, connection_to, ports_of

from chassis.database import Database
from moderation.domain.audit import AuditQuery
from moderation.domain.cases import AddNote, DeleteNote, NoteOrder, Seen
from moderation.domain.commands import SanctionOrder
from moderation.domain.kept_rules import RuleOrder, SaveRule
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import ReportCategory, ReportOrder, ReportState, ResolveCommand, ResolveOrder
from moderation.domain.rule_hits import HitBatch, HitCount, RuleHit
from moderation.domain.rules import Rule, RuleAction, RuleKind
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.unban_requests import DecideCommand, DecideOrder, RequestState, UnbanOrder
from moderation.domain.undo import UndoCommand, UndoOrder
from moderation.domain.visits import Visit
from moderation.errors import ActionNotFound, NoteNotFound, ReportNotFound, UnbanRequestNotFound
from moderation.ports import Ports
from moderation.usecases.cases import change_note, get_case
from moderation.usecases.execute import execute
from moderation.usecases.feed import open_feed
from moderation.usecases.queries import list_audit
from moderation.usecases.reports import list_reports, resolve_report
from moderation.usecases.rules import list_hits
from moderation.usecases.unban_requests import decide_unban_request, list_unban_requests

pytestmark = pytest.mark.integration
BEFORE_MS, MADE_MS, NOW_MS = 1_000_000, 2_000_000, 3_000_000
STAFF, FORMER = Moderator(8, Rank.MODERATOR), Moderator(3, Rank.OWNER)
OWNERS = [Moderator(9, Rank.OWNER, MADE_MS), Moderator(7, Rank.MODERATOR, MADE_MS)]
"""By createChatRoom, and by a role in that room."""
ANA = Target(5, "")
PAGE: Final[Any] = {"first": 50, "before_id": None}


class Room:
    """The time, and a report, an unban request, a note, a hit and a warning or ban at each of two times."""

    def __init__(self, database: Database) -> None:
        self.now_ms = BEFORE_MS
        self.ports: Ports = ports_of(database, connection_to("nats://127.0.0.1:1"), Clock(lambda: self.now_ms))
        self.rule_id = 0

    async def happen(self, user_id: int, at_ms: int) -> tuple[int, int, int, int]:
        """Ids of the report, the unban request, the note and the action of the ban."""
        store, target = self.ports.store, Target(user_id, "")
        self.now_ms = at_ms
        reporter = Moderator(user_id + 100, Rank.USER)
        order = ReportOrder(reporter, "bob", "live", None, 0, ANA, ReportCategory.SPAM, f"at {at_ms}")
        report = (await execute(self.ports, order)).report
        ban = Command(FORMER, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam")
        banned = await execute(self.ports, SanctionOrder(ban))
        assert banned.event is not None
        asking = UnbanOrder(user_id, "ana", banned.event.imposed[0].id, f"please, at {at_ms}")
        request = (await execute(self.ports, asking)).unban_request
        note = (await change_note(self.ports, NoteOrder(AddNote(STAFF, "mo", "live", ANA, f"at {at_ms}")))).note
        if not self.rule_id:
            rule = Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("blarg",))
            order_of_rule = RuleOrder(SaveRule(FORMER, "live", rule))
            saved = await store.change_rules(order_of_rule, now_ms=at_ms)
            assert saved.rule is not None
            self.rule_id = saved.rule.id
        hit = RuleHit(self.rule_id, "live", at_ms, 5, "ana", f"blarg {at_ms}", "blarg", RuleAction.REFUSE, True)
        await store.write_hits(HitBatch({self.rule_id: HitCount(1, 1)}, [hit]))
        await store.write_visits({Visit(5, "live", f"ana{at_ms}"): (at_ms, at_ms)})
        assert report is not None
        assert request is not None
        assert note is not None
        return report.id, request.id, note.id, banned.action_id


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


@pytest.mark.parametrize("reader", OWNERS)
async def test_who_makes_a_room_of_a_free_slug_reads_nothing_of_before(room: Room, reader: Moderator) -> None:
    await room.happen(10, BEFORE_MS)
    await room.happen(11, MADE_MS)
    room.now_ms, ports = NOW_MS, room.ports
    for asking, times in ((reader, [MADE_MS]), (STAFF, [MADE_MS, BEFORE_MS])):
        reports = await list_reports(ports, asking, "live", None, **PAGE)
        assert [each.created_at_ms for each in reports] == times
        requests = await list_unban_requests(ports, asking, "live", None, mine=False, **PAGE)
        assert [each.created_at_ms for each in requests] == times
        rows = await list_audit(ports, asking, AuditQuery("live"), **PAGE)
        assert sorted({record.at_ms for record, _ in rows}, reverse=True) == times
        case = await get_case(ports, asking, "live", ANA, None, token_rank=asking.rank)
        assert [each.created_at_ms for each in case.notes] == times
        assert [each.created_at_ms for each in case.reports] == times
        assert case.seen == Seen(tuple(f"ana{at_ms}" for at_ms in times), times[-1], times[0])
        state = await open_feed(ports, asking, "live", 0, token_rank=asking.rank)
        assert sorted({event.at_ms for event in state.events}, reverse=True) == times
        assert len(state.items.reports) == len(state.items.unban_requests) == len(times)
        hits = await list_hits(
            ports, Moderator(asking.user_id, Rank.ADMIN, asking.owned_since_ms), room.rule_id, **PAGE
        )
        assert [each.hit.at_ms for each in hits] == times
    mine = await list_unban_requests(ports, Moderator(10, Rank.OWNER, MADE_MS), "live", None, mine=True, **PAGE)
    assert [each.created_at_ms for each in mine] == [BEFORE_MS]


@pytest.mark.parametrize("by", OWNERS)
async def test_nor_do_they_decide_or_undo_anything_of_before(room: Room, by: Moderator) -> None:
    report, request, note, action = await room.happen(10, BEFORE_MS)
    room.now_ms, ports = NOW_MS, room.ports
    with pytest.raises(ReportNotFound):
        await resolve_report(ports, ResolveOrder(ResolveCommand(by, "live", report, ReportState.DISMISSED, "")))
    with pytest.raises(UnbanRequestNotFound):
        await decide_unban_request(ports, DecideOrder(DecideCommand(by, "live", request, RequestState.DENIED, "")))
    with pytest.raises(NoteNotFound):
        await change_note(ports, NoteOrder(DeleteNote(by, "live", note)))
    if by.rank is Rank.OWNER:
        with pytest.raises(ActionNotFound):
            await execute(ports, UndoOrder(UndoCommand(by, "live", action, "")))
    assert [each.state for each in await list_reports(ports, STAFF, "live", None, **PAGE)] == [ReportState.OPEN]

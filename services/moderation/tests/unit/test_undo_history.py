"""An undo leaves things as if what it undoes had never been done: any history of two people, of whom one is undone, on
one target and one field, against the same history without that one."""

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, example, given, settings, strategies as st

from moderation.domain.audit import AuditRecord
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import Policy, PolicyChanges
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, Sanction, Scope
from moderation.domain.undo import DoneAction, UndoCommand, decide_undo, fields_named, is_taken_away
from moderation.errors import AlreadyUndone, NothingToUndo

ANA = Target(5, "")
ROGUE, OTHER, CHAIR = 9, 8, 7
BAN, UNBAN, POLICY, UNDO = 1, 3, 11, 23
MINUTE = 60_000


@dataclass(frozen=True)
class Act:
    """What somebody does: ban or unban for some minutes, set the slow mode, or undo the n-th row before."""

    by: int
    what: str
    value: int = 0
    scope: Scope = Scope.ROOM
    after_ms: int = 1


@dataclass
class World:
    """Sanctions of one target, and one field of a policy, as the store keeps them."""

    now_ms: int = 1_000_000
    rows: list[AuditRecord] = field(default_factory=list)
    sanctions: dict[int, Sanction] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def in_force(self) -> list[Sanction]:
        return [sanction for sanction in self.sanctions.values() if sanction.is_in_force(self.now_ms)]

    def state(self) -> tuple[list[tuple[Action, str, int | None, int]], int]:
        """What holds, whatever ids it has."""
        held = [(s.kind, str(s.slug), s.expires_at_ms, s.moderator_user_id) for s in self.in_force()]
        return sorted(held, key=str), self.policy.slow_mode_seconds

    def do(self, act: Act) -> int | None:
        """The row that it brings."""
        self.now_ms += act.after_ms
        if act.what == "undo":
            return self.undo(act.by, self.rows[-1 - act.value].id) if act.value < len(self.rows) else None
        if act.what == "slow":
            changes = PolicyChanges(slow_mode_seconds=act.value)
            return self._change_policy(changes, self._row(act.by, POLICY))
        action = Action.BAN if act.what == "ban" else Action.UNBAN
        command = Command(Moderator(act.by, Rank.ADMIN), action, ANA, None, act.scope, "live", act.value, "")
        change = decide(command, self.in_force(), addresses=frozenset())
        row = self._row(act.by, int(action), scope=int(act.scope), lifted_ids=self._lift(change.lifted))
        if change.imposes:
            ends = command.expires_at_ms(self.now_ms)
            made = Sanction(
                0, Action.BAN, ANA, frozenset(), command.holds_in, "", act.by, Rank.ADMIN, self.now_ms, ends
            )
            row = replace(row, imposed_id=self._impose(made))
        return self._add(row)

    def undo(self, by: int, action_id: int, since_ms: int | None = None) -> int | None:
        record = next(row for row in self.rows if row.id == action_id)
        done = self.done(record)
        command = UndoCommand(Moderator(by, Rank.ADMIN), "live", action_id, "", since_ms)
        try:
            undoing = decide_undo(command, done, now_ms=self.now_ms)
        except (NothingToUndo, AlreadyUndone):
            return None
        row = self._row(by, UNDO, undoes_id=action_id, scope=record.scope, lifted_ids=self._lift(undoing.lifts))
        again = [self._impose(replace(sanction, lifted_at_ms=None)) for sanction in undoing.imposes]
        details = {"imposed_ids": again, "again_of": [sanction.id for sanction in undoing.imposes]}
        row = replace(row, details=details)
        return self._change_policy(undoing.changes, row) if undoing.changes else self._add(row)

    def line(self, action_id: int) -> list[AuditRecord]:
        """A row, what it undoes, what that undoes, and so on."""
        by_id = {row.id: row for row in self.rows}
        line = [by_id[action_id]]
        while line[-1].undoes_id is not None:
            line.append(by_id[line[-1].undoes_id])
        return line

    def brings_back(self, action_id: int) -> int:
        """Whose action holds again once that undo is undone; 0: it is none, or none does."""
        line = self.line(action_id)
        return 0 if len(line) % 2 else line[-1].actor_user_id

    def undo_all(self, actor: int) -> None:
        """As rooms does, the newest first."""
        undone = {row.undoes_id for row in self.rows}
        for row in reversed([row for row in self.rows if row.actor_user_id == actor and row.id not in undone]):
            if not is_taken_away(self.line(row.id), actor, 0):
                self.now_ms += 1
                self.undo(CHAIR, row.id, 0)

    def done(self, record: AuditRecord) -> DoneAction:
        details, named = record.details or {}, fields_named(record)
        return DoneAction(
            record,
            is_undone=any(row.undoes_id == record.id for row in self.rows),
            later=[row for row in self.rows if row.id > record.id],
            sanctions=self.sanctions,
            in_force=frozenset(sanction.id for sanction in self.in_force()),
            fields=named,
            before=details["before"] if named else PolicyChanges(),
            after=details["after"] if named else PolicyChanges(),
            policy=self.policy if named else None,
        )

    def _row(self, by: int, action: int, **more: object) -> AuditRecord:
        made = AuditRecord(
            len(self.rows) + 1, action, 5, "", by, int(Rank.ADMIN), 0, int(Scope.ROOM), "live", "", self.now_ms
        )
        return replace(made, **more)  # type: ignore[arg-type]

    def _add(self, row: AuditRecord) -> int:
        self.rows.append(row)
        return row.id

    def _change_policy(self, changes: PolicyChanges, row: AuditRecord) -> int:
        before = PolicyChanges(slow_mode_seconds=self.policy.slow_mode_seconds)
        self.policy = self.policy.changed(changes)
        return self._add(replace(row, details={**(row.details or {}), "before": before, "after": changes}))

    def _lift(self, sanctions: tuple[Sanction, ...]) -> tuple[int, ...]:
        for sanction in sanctions:
            self.sanctions[sanction.id] = replace(sanction, lifted_at_ms=self.now_ms)
        return tuple(sanction.id for sanction in sanctions)

    def _impose(self, sanction: Sanction) -> int:
        number = len(self.sanctions) + 1
        self.sanctions[number] = replace(sanction, id=number)
        return number


WHO = st.sampled_from([ROGUE, OTHER])
LATER = st.sampled_from([1, 1, 6 * MINUTE])
SCOPES = st.sampled_from([Scope.ROOM, Scope.ROOM, Scope.EVERYWHERE])
ACTS = st.one_of(
    st.builds(Act, WHO, st.just("ban"), st.sampled_from([0, 1, 10]), SCOPES, LATER),
    st.builds(Act, WHO, st.just("unban"), st.just(0), SCOPES, LATER),
    st.builds(Act, WHO, st.just("slow"), st.sampled_from([0, 30, 60]), st.just(Scope.ROOM), LATER),
)
UNDOS = st.builds(Act, WHO, st.just("undo"), st.integers(0, 4), st.just(Scope.ROOM), LATER)
PROOF = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@PROOF
@given(st.lists(ACTS, max_size=8))
@example([Act(ROGUE, "ban"), Act(ROGUE, "ban", 10)])
@example([Act(OTHER, "ban"), Act(ROGUE, "ban", 1), Act(ROGUE, "unban")])
@example([Act(OTHER, "ban"), Act(ROGUE, "ban", 1), Act(ROGUE, "unban", after_ms=6 * MINUTE)])
@example([Act(ROGUE, "slow", 30), Act(ROGUE, "slow", 600), Act(ROGUE, "slow", 600)])
@example([Act(OTHER, "ban"), Act(ROGUE, "unban", scope=Scope.EVERYWHERE), Act(ROGUE, "ban", 1)])
@example([Act(OTHER, "ban"), Act(ROGUE, "unban"), Act(OTHER, "ban", 10), Act(ROGUE, "unban")])
def test_when_all_is_undone_that_somebody_did_it_is_as_if_they_had_done_nothing(acts: list[Act]) -> None:
    real, without = World(), World()
    for act in acts:
        real.do(act)
        if act.by == ROGUE:
            without.now_ms += act.after_ms
        else:
            without.do(act)
    real.undo_all(ROGUE)
    without.now_ms = real.now_ms
    assert real.state() == without.state()


@PROOF
@given(st.lists(st.one_of(ACTS, UNDOS), max_size=8))
@example([Act(ROGUE, "ban"), Act(ROGUE, "undo", 0), Act(OTHER, "undo", 0)])
@example([Act(OTHER, "ban"), Act(ROGUE, "undo", 0)])
def test_so_it_is_where_they_have_undone_things_and_were_undone(acts: list[Act]) -> None:
    """Against the same rows but for those of the one, and but for what others did to these. Who undoes the undo that
    took an action away has decided for that action themselves."""
    real, without = World(), World()
    names: dict[int, int | None] = {}
    for act in acts:
        aim = real.rows[-1 - act.value].id if act.what == "undo" and act.value < len(real.rows) else 0
        if act.by == OTHER and aim and real.brings_back(aim) == ROGUE:
            continue
        made = real.do(act)
        without.now_ms = real.now_ms
        if act.by == ROGUE or (act.what == "undo" and names.get(aim) is None):
            twin = None
        else:
            twin = without.undo(act.by, names[aim] or 0) if aim else without.do(replace(act, after_ms=0))
        if made is not None:
            names[made] = twin
    real.undo_all(ROGUE)
    without.now_ms = real.now_ms
    assert real.state() == without.state()

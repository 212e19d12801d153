"""A small world behind the schema: the ports in memory, and a way to ask."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from memory_catalog import MemoryCatalog
from memory_emotes import MemoryBlocks, MemoryEmotes

from rooms.api.graphql.execute import EXECUTION_LIMIT, execute
from rooms.api.in_flight import InFlight
from rooms.domain.audit import AuditEntry, AuditQuery, RoomLog, Undoable, Undone, Verification
from rooms.domain.cases import Case, Note
from rooms.domain.holds import HeldMessage
from rooms.domain.leases import Outage
from rooms.domain.people import Life, ParticipantKey, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.presence import Changes
from rooms.domain.reports import Report, ReportResolution, ReportState
from rooms.domain.roles import RoleHolder, RolePage
from rooms.domain.rooms import (
    CreationPolicy,
    LifeEnded,
    Participant,
    ParticipantState,
    Room,
    RoomPolicy,
    RoomSettings,
)
from rooms.domain.rules import (
    KeptRule,
    Rule,
    RuleAction,
    RuleExemption,
    RuleHit,
    RuleKind,
    RuleMode,
    TextHit,
    TriedText,
)
from rooms.domain.sanctions import Sanction, SanctionAction, SanctionScope, Target
from rooms.domain.tokens import RevokedTokens
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState
from rooms.errors import (
    InvalidInput,
    ModerationUnavailable,
    NoteNotFound,
    NotPermitted,
    ReportNotFound,
    RuleNotFound,
    SanctionNotFound,
    UnbanRequestNotFound,
)
from rooms.ports import Ports, RoleChange

NOW = datetime(2025, 11, 27, 16, 30, 0, 123456, tzinfo=UTC)


@dataclass
class FakeModeration:
    """Sanctions and rules in memory; who may lift one follows the rank of its author."""

    sanctions: list[Sanction] = field(default_factory=list)
    rules: dict[int, KeptRule] = field(default_factory=dict)
    rule_hits: list[RuleHit] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    aimed: list[Target] = field(default_factory=list)
    roles: dict[Slug, RolePage] = field(default_factory=dict)
    is_away: bool = False
    audit: list[AuditEntry] = field(default_factory=list)
    audit_queries: list[AuditQuery] = field(default_factory=list)
    verification: Verification = field(default_factory=lambda: Verification(0, None, None, None, None, more=False))
    undoable: Undoable = field(default_factory=lambda: Undoable((), 0, None))
    refusals: dict[int, Exception] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)
    unban_requests: dict[int, UnbanRequest] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    case: Case | None = None
    held: list[HeldMessage] = field(default_factory=list)

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        self._ask(f"list_active {','.join(sorted(slugs))}")
        self.aimed += targets
        there = (s for s in self.sanctions if s.is_active(NOW) and (s.slug is None or s.slug in slugs))
        return [s for s in there if s.target in targets]

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        self._ask(f"list_sanctions {slug} {active} {first} {before_id}")
        return [
            s
            for s in sorted(self.sanctions, key=lambda s: -s.id)
            if (slug is None or s.slug == slug)
            and (s.is_active(NOW) or not active)
            and (before_id is None or s.id < before_id)
        ][:first]

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        self._ask(f"lift_sanction {sanction_id} {viewer.rank.name}")
        for index, sanction in enumerate(self.sanctions):
            if sanction.id == sanction_id:
                if sanction.action is SanctionAction.BAN and viewer.rank < Rank.ADMIN:
                    raise NotPermitted
                self.sanctions[index] = replace(sanction, lifted_at=NOW)
                return self.sanctions[index]
        raise SanctionNotFound

    async def list_audit(
        self, reader: Viewer, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[AuditEntry]:
        self._ask(f"list_audit {reader.rank.name} {query.slug} {query.action} {first} {before_id}")
        self.audit_queries.append(query)
        return [e for e in self.audit if before_id is None or e.action_id < before_id][:first]

    async def verify_audit(self, reader: Viewer, slug: Slug | None, *, after_id: int | None) -> Verification:
        self._ask(f"verify_audit {slug} {after_id}")
        return self.verification

    async def list_undoable(
        self, reader: Viewer, actor_user_id: UserId, *, since_ms: int, before_id: int | None
    ) -> Undoable:
        self._ask(f"list_undoable {actor_user_id} {since_ms} {before_id}")
        return self.undoable

    async def undo(
        self,
        viewer: Viewer,
        action_id: int,
        slug: Slug | None,
        log: RoomLog | None,
        *,
        of_all_since_ms: int | None = None,
    ) -> Undone:
        of_all = "" if of_all_since_ms is None else f" since {of_all_since_ms}"
        self._ask(f"undo {action_id} {slug} {None if log is None else tuple(log)}{of_all}")
        if action_id in self.refusals:
            raise self.refusals[action_id]
        return Undone(1_000 + action_id, action_id, ("messages",))

    async def revoke_tokens(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, *, before: datetime | None, reason: str
    ) -> RevokedTokens:
        self._ask(f"revoke {user_id} {rank} {before and before.isoformat()} {reason!r}")
        return self._revoked(before or NOW, jti=False)

    async def erase_user(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, rooms: Sequence[tuple[Slug, RoomLog]], *, reason: str
    ) -> int:
        self._ask(f"erase {user_id} {rank} {[slug for slug, _ in rooms]} {reason!r}")
        if 0 in self.refusals:
            raise self.refusals[0]
        return 78

    async def revoke_token(self, viewer: Viewer, jti: str, *, reason: str) -> RevokedTokens:
        self._ask(f"revoke {jti!r} {reason!r}")
        return self._revoked(NOW, jti=True)

    def _revoked(self, before: datetime, *, jti: bool) -> RevokedTokens:
        if 0 in self.refusals:
            raise self.refusals[0]
        return RevokedTokens(77, None if jti else before, before + timedelta(days=365))

    async def list_rules(self, slug: Slug | None, viewer: Viewer) -> list[KeptRule]:
        self._ask_of_rules(f"list_rules {slug}", slug, viewer)
        return [kept for kept in self.rules.values() if kept.slug == slug]

    async def make_rule(self, slug: Slug | None, rule: Rule, viewer: Viewer) -> KeptRule:
        self._ask_of_rules(f"make_rule {slug} {rule.name}", slug, viewer)
        if rule.action is RuleAction.HOLD:
            raise InvalidInput("HOLD is not offered yet")
        number = len(self.rules) + 1
        self.rules[number] = KeptRule(number, slug, 7, rule, viewer.user_id, NOW, hits=5, acted=3)
        return self.rules[number]

    async def replace_rule(self, rule_id: int, rule: Rule, viewer: Viewer) -> KeptRule:
        self._ask_of_rules(f"replace_rule {rule_id} {rule.name}", self._slug_of(rule_id), viewer)
        self._demand_rule(rule_id)
        self.rules[rule_id] = replace(self.rules[rule_id], rule=rule, version=8)
        return self.rules[rule_id]

    async def delete_rule(self, rule_id: int, viewer: Viewer) -> None:
        self._ask_of_rules(f"delete_rule {rule_id}", self._slug_of(rule_id), viewer)
        self._demand_rule(rule_id)
        del self.rules[rule_id]

    async def try_text(self, slug: Slug | None, text: str, viewer: Viewer) -> TriedText:
        self._ask_of_rules(f"try_text {slug} {text}", slug, viewer)
        hits = [TextHit(k.id, k.rule.name, text, k.rule.action, k.rule.mode) for k in self.rules.values()]
        return TriedText(hits, hits[0].rule_id if hits else None)

    async def list_held(self, slug: Slug, reader: Viewer, *, first: int, before_id: int | None) -> list[HeldMessage]:
        self._ask(f"list_held {slug} {reader.rank.name} {first} {before_id}")
        return [held for held in self.held if before_id is None or held.id < before_id][:first]

    async def list_rule_hits(self, rule_id: int, viewer: Viewer, *, first: int, before_id: int | None) -> list[RuleHit]:
        self._ask_of_rules(f"list_rule_hits {rule_id} {first} {before_id}", self._slug_of(rule_id), viewer)
        self._demand_rule(rule_id)
        return [hit for hit in self.rule_hits if before_id is None or hit.id < before_id][:first]

    def _ask_of_rules(self, question: str, slug: Slug | None, viewer: Viewer) -> None:
        self._ask(question)
        if viewer.rank < (Rank.ADMIN if slug is None else Rank.OWNER):
            raise NotPermitted

    def _slug_of(self, rule_id: int) -> Slug | None:
        return self.rules[rule_id].slug if rule_id in self.rules else None

    def _demand_rule(self, rule_id: int) -> None:
        if rule_id not in self.rules:
            raise RuleNotFound

    async def set_role(self, change: RoleChange) -> RoleHolder | None:
        self._ask(f"set_role {change.slug} {change.owner} {change.by.rank.name}")
        page = self.roles.get(change.slug, RolePage(change.owner, []))
        left = [h for h in page.under(change.owner) if h.user_id != change.user_id]
        holder = None
        if change.rank is not None and change.rank >= change.by.rank:
            raise NotPermitted
        if change.role is not None:
            holder = RoleHolder(change.user_id, change.role, change.by.user_id, NOW)
            left.append(holder)
        self.roles[change.slug] = RolePage(change.owner, sorted(left, key=lambda h: h.user_id))
        return holder

    async def list_roles(
        self, slug: Slug, *, first: int, after: int | None = None, user_id: UserId | None = None
    ) -> RolePage:
        self._ask(f"list_roles {slug} {first} {after} {user_id}")
        page = self.roles.get(slug, RolePage(None, []))
        found = [h for h in page.holders if h.user_id > (after or 0) and user_id in (None, h.user_id)]
        return RolePage(page.owner, found[:first])

    async def list_reports(
        self, reader: Viewer, *, slug: Slug | None, state: ReportState | None, first: int, before_id: int | None
    ) -> list[Report]:
        self._ask(f"list_reports {reader.rank.name} {slug} {state and state.name} {first} {before_id}")
        return [report for report in self.reports.values() if state in (None, report.state)][:first]

    async def slug_of_report(self, report_id: int) -> Slug:
        self._ask(f"slug_of_report {report_id}")
        if report_id not in self.reports:
            raise ReportNotFound
        return self.reports[report_id].slug

    async def resolve_report(
        self, by: Viewer, slug: Slug, report_id: int, resolution: ReportResolution, reason: str
    ) -> Report:
        self._ask(f"resolve_report {by.rank.name} {slug} {report_id} {reason!r}")
        if report_id in self.refusals:
            raise self.refusals[report_id]
        return replace(self.reports[report_id], state=ReportState[resolution.name], closed_at=NOW, closed_by=by.user_id)

    async def request_unban(self, by: Viewer, sanction_id: int, text: str) -> UnbanRequest:
        self._ask(f"request_unban {by.user_id} {sanction_id} {text!r}")
        if sanction_id in self.refusals:
            raise self.refusals[sanction_id]
        return self.unban_requests[7]

    async def list_unban_requests(
        self,
        reader: Viewer,
        *,
        slug: Slug | None,
        state: UnbanRequestState | None,
        mine: bool,
        first: int,
        before_id: int | None,
    ) -> list[UnbanRequest]:
        word = state and state.name
        self._ask(f"list_unban_requests {reader.rank.name} {slug} {word} {mine} {first} {before_id}")
        return list(self.unban_requests.values())

    async def slug_of_unban_request(self, request_id: int) -> Slug | None:
        self._ask(f"slug_of_unban_request {request_id}")
        if request_id not in self.unban_requests:
            raise UnbanRequestNotFound
        return self.unban_requests[request_id].slug

    async def decide_unban_request(
        self, by: Viewer, slug: Slug | None, request_id: int, decision: UnbanDecision, note: str
    ) -> UnbanRequest:
        self._ask(f"decide_unban_request {by.rank.name} {slug} {request_id} {decision.name} {note!r}")
        if request_id in self.refusals:
            raise self.refusals[request_id]
        return self.unban_requests[request_id]

    async def get_case(
        self, reader: Viewer, slug: Slug, target: Target, log: RoomLog | None, *, token_rank: Rank
    ) -> Case:
        asking = f"{reader.rank.name} by {token_rank.name}"
        self._ask(f"get_case {asking} {slug} {target.user_id} {target.username} {log}")
        assert self.case is not None
        return self.case

    async def add_note(self, by: Viewer, slug: Slug, target: Target, text: str) -> Note:
        self._ask(f"add_note {by.rank.name} {slug} {target.user_id} {target.username} {text!r}")
        if 0 in self.refusals:
            raise self.refusals[0]
        return self.notes[7]

    async def slug_of_note(self, note_id: int) -> Slug:
        self._ask(f"slug_of_note {note_id}")
        if note_id not in self.notes:
            raise NoteNotFound
        return self.notes[note_id].slug

    async def delete_note(self, by: Viewer, slug: Slug, note_id: int) -> None:
        self._ask(f"delete_note {by.rank.name} {slug} {note_id}")
        if note_id in self.refusals:
            raise self.refusals[note_id]

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.is_away:
            raise ModerationUnavailable


@dataclass
class FakeEvents:
    """What was told to the bus."""

    deleted: list[LifeEnded] = field(default_factory=list)
    emotes_changed: list[Slug] = field(default_factory=list)
    is_connected = True

    def publish(self, changes: Changes) -> None:
        raise AssertionError("GraphQL changes no presence")

    async def purge(self, ended: LifeEnded) -> bool:
        raise AssertionError("GraphQL purges nothing")

    def publish_room_deleted(self, ended: LifeEnded) -> None:
        self.deleted.append(ended)

    def publish_emotes_changed(self, slug: Slug) -> None:
        self.emotes_changed.append(slug)


@dataclass
class FakeMemberships:
    """Who is connected with which rank; GraphQL asks for nothing else."""

    ranks: dict[int, Rank]
    logs: list[tuple[Slug, RoomLog]] = field(default_factory=list)
    erased: list[UserId] = field(default_factory=list)

    async def connected_rank(self, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
        assert user_id is not None
        return self.ranks.get(user_id)

    async def logs_of(self, user_id: UserId) -> list[tuple[Slug, RoomLog]]:
        return self.logs

    async def erase_user(self, user_id: UserId) -> None:
        self.erased.append(user_id)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"GraphQL asked for {name}")


class _Unused:
    """A port that GraphQL has no business with."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"GraphQL asked for {name}")


ANA = Viewer(UserId(10), "ana", Rank.USER)
BEN = Viewer(UserId(11), "ben", Rank.USER)
MOD = Viewer(UserId(20), "mod", Rank.MODERATOR)
ADMIN = Viewer(UserId(30), "admin", Rank.ADMIN)
ROOT = Viewer(UserId(40), "root", Rank.SUPERUSER)


@dataclass
class World:
    """The ports, people, and a way to ask."""

    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    moderation: FakeModeration = field(default_factory=FakeModeration)
    events: FakeEvents = field(default_factory=FakeEvents)
    emotes: MemoryEmotes = field(default_factory=MemoryEmotes)
    blocks: MemoryBlocks = field(default_factory=MemoryBlocks)
    creation: CreationPolicy = field(default_factory=CreationPolicy)
    executions: InFlight = field(default_factory=lambda: InFlight(EXECUTION_LIMIT))
    ranks: dict[int, Rank] = field(default_factory=dict)
    logs: list[tuple[Slug, RoomLog]] = field(default_factory=list)
    erased: list[UserId] = field(default_factory=list)
    """What users are connected with."""
    owner_rank: Rank = Rank.OWNER
    ana: Viewer = ANA
    ben: Viewer = BEN
    mod: Viewer = MOD
    admin: Viewer = ADMIN
    root: Viewer = ROOT

    def put_room(self, slug: str, *, owner: Viewer | None = None, is_public: bool = True, connections: int = 1) -> Room:
        """A living room; its life and its id rise."""
        number = len(self.catalog.rooms) + 1
        room = Room(
            Life(number),
            RoomId(number),
            Slug(slug),
            RoomSettings(slug, is_public=is_public),
            None if owner is None else owner.user_id,
            "live",
            NOW,
            connection_count=connections,
        )
        self.catalog.rooms[room.slug] = room
        return room

    def viewer(self, user_id: int) -> Viewer:
        """Some user."""
        return Viewer(UserId(user_id), f"user_{user_id}", Rank.USER)

    def put_person(
        self, room: Room, user_id: int | None, username: str, *, connections: int = 1, rank: Rank | None = None
    ) -> Participant:
        """Somebody who is, or with no connections was, in the room."""
        assert room.life is not None
        people = self.catalog.people.setdefault(room.life, [])
        person = Participant(
            id=len(people) + 1,
            key=ParticipantKey(f"u:{user_id}" if user_id else f"c:edge:{len(people) + 1}"),
            user_id=None if user_id is None else UserId(user_id),
            username=username,
            connection_count=connections,
            joined_at=NOW,
            state=ParticipantState.ONLINE if connections else ParticipantState.OFFLINE,
            rank=rank,
        )
        people.append(person)
        return person

    def put_sanction(
        self,
        action: str,
        *,
        user_id: int | None = None,
        username: str | None = None,
        slug: str | None = None,
        rank: Rank = Rank.ADMIN,
        expires_in_minutes: int | None = None,
    ) -> Sanction:
        """A sanction; without slug it holds everywhere."""
        sanction = Sanction(
            id=len(self.moderation.sanctions) + 1,
            action=SanctionAction(action),
            target_user_id=None if user_id is None else UserId(user_id),
            target_username=username,
            scope=SanctionScope.ROOM if slug else SanctionScope.EVERYWHERE,
            slug=None if slug is None else Slug(slug),
            reason=None,
            moderator_user_id=self.admin.user_id,
            moderator_rank=rank,
            created_at=NOW - timedelta(hours=2),
            expires_at=None if expires_in_minutes is None else NOW + timedelta(minutes=expires_in_minutes),
            lifted_at=None,
        )
        self.moderation.sanctions.append(sanction)
        return sanction

    def put_rule(self, slug: str | None, *patterns: str) -> KeptRule:
        """A rule; without slug it holds everywhere."""
        number = len(self.moderation.rules) + 1
        rule = Rule(
            name=f"rule {number}",
            kind=RuleKind.TERMS,
            action=RuleAction.REFUSE,
            mode=RuleMode.ON,
            patterns=patterns,
            allow=(),
            threshold=0,
            minutes=0,
            exempt_from=RuleExemption.MODERATOR,
            told="",
        )
        where = None if slug is None else Slug(slug)
        kept = KeptRule(number, where, 7, rule, self.admin.user_id, NOW, hits=5, acted=3)
        self.moderation.rules[number] = kept
        return kept

    @property
    def ports(self) -> Ports:
        """As bootstrap would give them."""
        return Ports(
            catalog=self.catalog,
            memberships=FakeMemberships(self.ranks, self.logs, self.erased),
            leases=_Unused(),
            log=_Unused(),
            dormant=_Unused(),
            emotes=self.emotes,
            blocks=self.blocks,
            videos=_Unused(),
            events=self.events,
            moderation=self.moderation,
            clock=lambda: NOW,
            elapsed_s=NOW.timestamp,
            outage=Outage(0, now_s=0),
            creation=self.creation,
            policy=RoomPolicy(owner_rank=self.owner_rank),
        )

    async def answer(
        self,
        query: str,
        viewer: Viewer | None = None,
        *,
        variables: bytes = b"",
        operation: str = "",
        allow_mutation: bool = True,
    ) -> tuple[dict[str, Any], int]:
        """The decoded body and the status."""
        body, status = await execute(self.executions, query, variables, operation, viewer, self.ports, allow_mutation)
        decoded = json.loads(body)
        assert isinstance(decoded, dict)
        return decoded, status

    def encoded(self, **variables: object) -> bytes:
        """As they are sent."""
        return json.dumps(variables).encode()

    async def data(self, query: str, viewer: Viewer | None = None, **variables: object) -> Any:
        """The data of an answer without errors."""
        body, status = await self.answer(query, viewer, variables=json.dumps(variables).encode())
        assert "errors" not in body, body
        assert status == 200
        return body["data"]

    async def refusal(self, query: str, viewer: Viewer | None = None, **variables: object) -> str:
        """The code of the only error of an answer with status 200."""
        body, status = await self.answer(query, viewer, variables=json.dumps(variables).encode())
        assert status == 200, body
        (error,) = body["errors"]
        code = error["extensions"]["code"]
        assert isinstance(code, str)
        return code


@pytest.fixture
def world() -> World:
    return World()

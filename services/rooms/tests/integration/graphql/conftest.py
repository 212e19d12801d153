"""The schema on the real store, on SQLite and on PostgreSQL; moderation and NATS in memory."""

import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.database import Database
from rooms.adapters.store.blocks import TortoiseBlocks
from rooms.adapters.store.catalog import TortoiseCatalog
from rooms.adapters.store.dormant_logs import TortoiseDormantLogs
from rooms.adapters.store.emotes import TortoiseEmotes
from rooms.adapters.store.leases import TortoiseLeases
from rooms.adapters.store.log_positions import TortoiseLogPositions
from rooms.adapters.store.memberships import TortoiseMemberships
from rooms.api.graphql.execute import EXECUTION_LIMIT, execute
from rooms.api.in_flight import InFlight, finish
from rooms.domain.audit import AuditEntry, AuditQuery, RoomLog, Undoable, Undone, Verification
from rooms.domain.leases import Outage
from rooms.domain.membership import Arrival, BySlug, JoinOutcome
from rooms.domain.people import ConnectionId, EdgeId, Person, Rank, Slug, UserId, Viewer
from rooms.domain.presence import Changes
from rooms.domain.roles import RolePage
from rooms.domain.rooms import LifeEnded, RoomPolicy
from rooms.domain.sanctions import Sanction, Target
from rooms.ports import Ports
from rooms.usecases import membership

NOW = datetime(2025, 11, 27, 16, 30, tzinfo=UTC)
EDGE = EdgeId("e" * 32)


@dataclass
class Quiet:
    """NATS and moderation, remembering what they were told and asked."""

    deleted: list[LifeEnded] = field(default_factory=list)
    sanctions: list[Sanction] = field(default_factory=list)
    asked: list[Sequence[Slug]] = field(default_factory=list)
    emotes_changed: list[Slug] = field(default_factory=list)

    is_connected = True

    def publish(self, changes: Changes) -> None: ...

    async def purge(self, ended: LifeEnded) -> bool:
        raise AssertionError("not asked here")

    def publish_room_deleted(self, ended: LifeEnded) -> None:
        self.deleted.append(ended)

    def publish_emotes_changed(self, slug: Slug) -> None:
        self.emotes_changed.append(slug)

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        self.asked.append(slugs)
        return self.sanctions

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        return self.sanctions

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        raise AssertionError("not asked for here")

    async def list_audit(
        self, reader: Viewer, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[AuditEntry]:
        raise AssertionError("not asked here")

    async def verify_audit(self, reader: Viewer, slug: Slug | None, *, after_id: int | None) -> Verification:
        raise AssertionError("not asked here")

    async def list_undoable(
        self, reader: Viewer, actor_user_id: UserId, *, since_ms: int, before_id: int | None
    ) -> Undoable:
        raise AssertionError("not asked here")

    async def undo(
        self,
        viewer: Viewer,
        action_id: int,
        slug: Slug | None,
        log: RoomLog | None,
        *,
        of_all_since_ms: int | None = None,
    ) -> Undone:
        raise AssertionError("not asked here")

    async def _unasked(self, *args: Any, **named: Any) -> Any:
        raise AssertionError("not asked for here")

    list_rules = make_rule = replace_rule = delete_rule = try_text = list_rule_hits = set_role = _unasked
    list_reports = slug_of_report = resolve_report = _unasked
    get_case = add_note = slug_of_note = delete_note = _unasked
    request_unban = list_unban_requests = slug_of_unban_request = decide_unban_request = _unasked
    revoke_tokens = revoke_token = erase_user = _unasked
    list_held = _unasked

    async def list_roles(
        self, slug: Slug, *, first: int, after: int | None = None, user_id: UserId | None = None
    ) -> RolePage:
        return RolePage(None, [])


class Stage:
    """People who connect, and people who ask."""

    ana = Viewer(UserId(10), "ana", Rank.USER)
    ben = Viewer(UserId(11), "ben", Rank.USER)
    admin = Viewer(UserId(30), "admin", Rank.ADMIN)

    def __init__(self, database: Database) -> None:
        self.quiet = Quiet()
        self.executions = InFlight(EXECUTION_LIMIT)
        catalog = TortoiseCatalog(database)
        self._seconds = itertools.count()
        self._connections = itertools.count(1)
        self._ports = Ports(
            catalog=catalog,
            memberships=TortoiseMemberships(database, RoomPolicy()),
            leases=TortoiseLeases(database, RoomPolicy()),
            log=TortoiseLogPositions(database),
            dormant=TortoiseDormantLogs(database),
            emotes=TortoiseEmotes(database, catalog.share),
            blocks=TortoiseBlocks(database, catalog.share),
            videos=catalog,
            events=self.quiet,
            moderation=self.quiet,
            clock=self._tick,
            elapsed_s=time.monotonic,
            outage=Outage(RoomPolicy().lease_ms / 1000, now_s=0),
        )

    async def connect(self, slug: str, user: Viewer | None = None) -> tuple[ConnectionId, JoinOutcome]:
        """Open a connection of a user, or of somebody anonymous."""
        connection = ConnectionId(next(self._connections))
        person = (
            Person(None, f"Anonymous_10.0.0.{connection}", Rank.ANONYMOUS)
            if user is None
            else Person(user.user_id, user.username, user.rank)
        )
        arrival = Arrival(connection, BySlug(Slug(slug)), person)
        (outcome,) = await membership.join(self._ports, EDGE, [arrival], uses_partitions=True)
        return connection, outcome

    async def disconnect(self, connection: ConnectionId) -> None:
        """Close a connection."""
        await membership.leave(self._ports, EDGE, [connection])

    async def answer(self, query: str, viewer: Viewer | None = None, **variables: object) -> dict[str, Any]:
        """The decoded body of an answer with status 200."""
        sent = json.dumps(variables).encode()
        raw, status = await execute(self.executions, query, sent, "", viewer, self._ports, True)
        body = json.loads(raw)
        assert status == 200, body
        assert isinstance(body, dict)
        return body

    async def data(self, query: str, viewer: Viewer | None = None, **variables: object) -> Any:
        """The data of an answer without errors."""
        body = await self.answer(query, viewer, **variables)
        assert "errors" not in body, body
        return body["data"]

    async def refusal(self, query: str, viewer: Viewer | None = None, **variables: object) -> str:
        """The code of the only error."""
        (error,) = (await self.answer(query, viewer, **variables))["errors"]
        return str(error["extensions"]["code"])

    def _tick(self) -> datetime:
        return NOW + timedelta(seconds=next(self._seconds))


@pytest.fixture
async def stage(fresh_database: str, open_database: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Stage]:
    found = Stage(await open_database(fresh_database))
    yield found
    await finish(found.executions, deadline_s=60)

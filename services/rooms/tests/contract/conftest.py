"""The stores under test, as one replica has them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.database import DEFAULT_TIMEOUTS, Database, Timeouts
from rooms.adapters.store.blocks import TortoiseBlocks
from rooms.adapters.store.catalog import TortoiseCatalog
from rooms.adapters.store.dormant_logs import TortoiseDormantLogs
from rooms.adapters.store.emotes import TortoiseEmotes
from rooms.adapters.store.leases import TortoiseLeases
from rooms.adapters.store.log_positions import TortoiseLogPositions
from rooms.adapters.store.memberships import TortoiseMemberships
from rooms.domain.audit import AuditEntry, AuditQuery, RoomLog, Undoable, Undone, Verification
from rooms.domain.leases import Outage, Syncs
from rooms.domain.membership import Arrival, ById, BySlug, HeldConnection, JoinOutcome, Membership, RoomRef
from rooms.domain.people import ConnectionId, EdgeId, Life, Person, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.presence import Changes, RoomSnapshot
from rooms.domain.rooms import CreationPolicy, LifeEnded, Room, RoomPolicy, RoomSettings
from rooms.domain.sanctions import Sanction, Target
from rooms.ports import Ports
from rooms.usecases import leases, membership

EDGE = EdgeId("e" * 32)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def person(user_id: int | None, rank: Rank = Rank.USER) -> Person:
    """None: an anonymous one."""
    if user_id is None:
        return Person(None, "Anonymous_127.0.0.1", Rank.ANONYMOUS)
    return Person(UserId(user_id), f"user{user_id}", rank)


class Heard:
    """What was made known, in the order of the transactions; a catalogue that has every video; a moderation that is not
    asked."""

    def __init__(self) -> None:
        self.changes: list[Changes] = []
        self.purged: list[Life] = []
        self.emotes_changed: list[Slug] = []
        self.is_connected = True
        self.can_purge = True

    async def purge(self, ended: LifeEnded) -> bool:
        self.purged += [ended.life] if self.can_purge else []
        return self.can_purge

    def publish(self, changes: Changes) -> None:
        self.changes.append(changes)

    def publish_room_deleted(self, ended: LifeEnded) -> None: ...

    def publish_emotes_changed(self, slug: Slug) -> None:
        self.emotes_changed.append(slug)

    async def existing(self, video_ids: frozenset[int]) -> Mapping[int, bool | None]:
        return dict.fromkeys(video_ids, True)

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        raise AssertionError("not asked here")

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        raise AssertionError("not asked here")

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        raise AssertionError("not asked here")

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

    list_rules = make_rule = replace_rule = delete_rule = try_text = list_rule_hits = set_role = list_roles = _unasked
    list_reports = slug_of_report = resolve_report = _unasked
    get_case = add_note = slug_of_note = delete_note = _unasked
    request_unban = list_unban_requests = slug_of_unban_request = decide_unban_request = _unasked
    revoke_tokens = revoke_token = erase_user = _unasked
    list_held = _unasked


@dataclass
class Replica:
    """The stores of one process, the use cases on them, and what they made known."""

    database: Database
    policy: RoomPolicy
    now: datetime = NOW
    events: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.memberships = TortoiseMemberships(self.database, self.policy)
        self.leases = TortoiseLeases(self.database, self.policy)
        self.catalog = TortoiseCatalog(self.database)
        self.log = TortoiseLogPositions(self.database)
        self.dormant = TortoiseDormantLogs(self.database)
        self.emotes = TortoiseEmotes(self.database, self.catalog.share)
        self.blocks = TortoiseBlocks(self.database, self.catalog.share)
        self.syncs = Syncs()

    async def snapshot(self, life: Life) -> RoomSnapshot:
        return (await self.memberships.snapshots([life]))[life]

    @property
    def heard(self) -> list[Changes]:
        return self.events.changes

    @property
    def ports(self) -> Ports:
        """As bootstrap would give them."""
        return Ports(
            catalog=self.catalog,
            memberships=self.memberships,
            leases=self.leases,
            log=self.log,
            dormant=self.dormant,
            emotes=self.emotes,
            blocks=self.blocks,
            videos=self.events,
            events=self.events,
            moderation=self.events,
            clock=lambda: self.now,
            elapsed_s=self.now.timestamp,
            outage=Outage(self.policy.lease_ms / 1000, now_s=0),
            policy=self.policy,
            syncs=self.syncs,
        )

    async def join_all(
        self, arrivals: Sequence[Arrival], edge: EdgeId = EDGE, *, uses_partitions: bool = True
    ) -> list[JoinOutcome]:
        return await membership.join(self.ports, edge, arrivals, uses_partitions=uses_partitions)

    def arrival(self, connection: int, where: str | int, user_id: int | None, rank: Rank = Rank.USER) -> Arrival:
        return Arrival(ConnectionId(connection), ref(where), person(user_id, rank))

    async def join(
        self,
        connection: int,
        where: str | int,
        user_id: int | None,
        edge: EdgeId = EDGE,
        *,
        rank: Rank = Rank.USER,
        uses_partitions: bool = True,
        last_life: Life | None = None,
    ) -> JoinOutcome:
        arrivals = [replace(self.arrival(connection, where, user_id, rank), last_life=last_life)]
        return (await self.join_all(arrivals, edge, uses_partitions=uses_partitions))[0]

    async def enter(
        self,
        connection: int,
        where: str | int,
        user_id: int | None,
        edge: EdgeId = EDGE,
        *,
        rank: Rank = Rank.USER,
        uses_partitions: bool = True,
        last_life: Life | None = None,
    ) -> Membership:
        outcome = await self.join(
            connection, where, user_id, edge, rank=rank, uses_partitions=uses_partitions, last_life=last_life
        )
        assert isinstance(outcome, Membership), outcome
        return outcome

    async def heartbeat_late(self, edge: EdgeId = EDGE) -> None:
        """Let the lease of an edge run out, by the database's clock."""
        async with self.database.session() as session:
            await session.fetch("UPDATE edge_lease SET expires_ms = 0 WHERE edge = $1", edge)

    def held(self, connection: int, membership: Membership, user_id: int | None) -> HeldConnection:
        return HeldConnection(
            ConnectionId(connection),
            membership.room_id,
            membership.life,
            membership.slug,
            person(user_id),
            membership.partition,
        )

    async def sync(
        self, *held: HeldConnection, edge: EdgeId = EDGE, first: bool = True, last: bool = True, ordinal: int = 0
    ) -> tuple[list[ConnectionId], Changes]:
        """One part, which is all unless said otherwise."""
        events = Heard()
        ports = replace(self.ports, events=events)
        lost = await leases.sync(ports, edge, held, first=first, last=last, ordinal=ordinal)
        return lost, Changes.together(events.changes)

    async def change_ranks(self, ranks: Mapping[int, Rank], *, ordinal: int = 1) -> None:
        changed = {ConnectionId(number): rank for number, rank in ranks.items()}
        await membership.change_ranks(self.ports, EDGE, changed, ordinal=ordinal)

    async def rank(self, user_id: int) -> Rank | None:
        """The highest one that the user is connected with anywhere."""
        return await self.memberships.connected_rank(UserId(user_id), "", None)

    async def sweep(self, now: datetime | None = None) -> Changes:
        events = Heard()
        await leases.sweep(replace(self.ports, events=events, clock=lambda: now or self.now))
        return Changes.together(events.changes)

    async def sweep_heard(self) -> None:
        """What it makes known is among what was heard."""
        await leases.sweep(self.ports)

    async def release(self, edge: EdgeId = EDGE) -> Changes:
        events = Heard()
        await leases.release(replace(self.ports, events=events), edge)
        return Changes.together(events.changes)

    async def purge(self) -> list[Life]:
        """The lives whose logs were purged by it."""
        before = len(self.events.purged)
        await leases.purge_logs(self.ports)
        return self.events.purged[before:]

    async def dormant_for_long(self) -> None:
        """Let the time of every dormant log run out, by the database's clock."""
        async with self.database.session() as session:
            await session.fetch("UPDATE dormant_log SET purge_after_ms = 1 WHERE purge_after_ms > 0")

    async def rows(self, table: str) -> int:
        async with self.database.session() as session:
            return int((await session.fetch(f"SELECT count(*) AS n FROM {table}"))[0]["n"])

    async def leave(self, *connections: int, edge: EdgeId = EDGE, away: bool = False) -> Changes:
        """`away`: all of them were closed by the server."""
        numbers = [ConnectionId(number) for number in connections]
        await membership.leave(self.ports, edge, numbers, away=frozenset(numbers if away else ()))
        return self.heard[-1]

    async def away_for_long(self) -> None:
        """Let the time of everybody who is away run out, by the database's clock."""
        async with self.database.session() as session:
            await session.fetch("UPDATE participant SET away_until_ms = 0 WHERE away > 0")

    async def create(self, slug: str, owner: int, *, is_public: bool = True, allow_anonymous: bool = True) -> RoomId:
        settings = RoomSettings("A room", None, is_public, allow_anonymous)
        room = await self.catalog.create_room(
            Slug(slug), settings, UserId(owner), may_revive=True, quota=CreationPolicy().quota, now=self.now
        )
        return room.room_id

    async def found(self, slug: str) -> Room:
        room = await self.catalog.find_room(slug=Slug(slug))
        assert room is not None
        return room

    def later(self, **passed: float) -> None:
        self.now += timedelta(**passed)


def ref(where: str | int) -> RoomRef:
    return ById(RoomId(where)) if isinstance(where, int) else BySlug(Slug(where))


MakeReplica = Callable[..., Awaitable[Replica]]
"""Takes the URL and the policy, and how long the replica waits for its database."""


@pytest.fixture
def make_replica(open_database: Callable[..., Awaitable[Database]]) -> MakeReplica:
    """Another process on a database."""

    async def make(url: str, policy: RoomPolicy, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Replica:
        return Replica(await open_database(url, timeouts=timeouts), policy)

    return make


@pytest.fixture
async def replica(fresh_database: str, make_replica: MakeReplica) -> Replica:
    """One replica with the default policy, on each kind of database."""
    return await make_replica(fresh_database, RoomPolicy())

"""What the rooms service needs from the outside, in its own words. bootstrap.py names the adapters."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from rooms.domain.audit import AuditEntry, AuditQuery, RoomLog, Undoable, Undone, Verification
from rooms.domain.cases import Case, Note
from rooms.domain.emotes import ChangedEmotes, Emote
from rooms.domain.holds import HeldMessage
from rooms.domain.leases import Lease, Outage, Syncs
from rooms.domain.log_position import Resumption
from rooms.domain.membership import Arrival, HeldConnection, JoinOutcome, JoinPlan, RoomRef
from rooms.domain.people import ConnectionId, EdgeId, Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.presence import Changes, RoomSnapshot
from rooms.domain.reports import Report, ReportResolution, ReportState
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.domain.rooms import (
    CreationPolicy,
    Invitation,
    LifeEnded,
    Participant,
    Room,
    RoomPolicy,
    RoomSettings,
    SettingsChange,
    SlugState,
    Video,
)
from rooms.domain.rules import KeptRule, Rule, RuleHit, TriedText
from rooms.domain.sanctions import Sanction, Target
from rooms.domain.tokens import RevokedTokens
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState


@dataclass(frozen=True, slots=True)
class Entered:
    """What a plan came to. Connections without an outcome are to be planned again."""

    outcomes: Mapping[ConnectionId, JoinOutcome]
    changes: Changes


class RoomCatalog(Protocol):
    """Rooms as people see and manage them. Every coroutine raises DatabaseUnavailable."""

    async def list_rooms(
        self, viewer: Viewer | None, *, first: int, after: Life | None, search: str | None
    ) -> list[Room]:
        """Rooms with someone in them that the viewer may enter, newest first; `search` in name or slug."""

    async def find_room(self, *, room_id: RoomId | None = None, slug: Slug | None = None) -> Room | None:
        """The living room behind a public id or slug, else its kept settings (life None), else None."""

    async def find_log(self, slug: Slug) -> RoomLog | None:
        """Where the entries of the life of a slug are; None: it has none, or nobody was in it yet."""

    async def list_participants(
        self, lives: Sequence[Life], *, first: int, after: int | None
    ) -> Mapping[Life, list[Participant]]:
        """Who is or was in each life, in order of arrival, ONLINE or OFFLINE."""

    async def count_people(self, lives: Sequence[Life]) -> Mapping[Life, int]:
        """How many are in each life: users once each, anonymous connections each. Of many up to a second old."""

    async def create_room(
        self, slug: Slug, settings: RoomSettings, owner: UserId, *, may_revive: bool, quota: int, now: datetime
    ) -> Room:
        """Make a room live and keep its settings. Raises SlugTaken where the slug lives or has kept settings, with
        `may_revive` but for the owner's own; TooManyRooms where settings of `quota` other rooms are kept for them."""

    async def update_room(self, room: Room, change: SettingsChange, *, now: datetime) -> Room:
        """Change and keep the settings of a room that was found before. Raises RoomNotFound where its slug is no
        longer that room's, NotPermitted where it has another owner by now."""

    async def delete_room(self, room: Room) -> LifeEnded | None:
        """End the life, if any, with its memberships, and forget kept settings and invitations. Raises as
        update_room does."""

    async def is_invited(self, slug: Slug, user_id: UserId) -> bool:
        """Whether there is an invitation."""

    async def invite(self, room: Room, invitation: Invitation) -> Invitation:
        """Store it; the first one of that user for that slug stands. Raises as update_room does."""

    async def revoke(self, room: Room, user_id: UserId) -> bool:
        """Whether there was one. Raises as update_room does."""

    async def register_video(self, video: Video) -> Video:
        """Store it, or give an existing one the new title."""


class Memberships(Protocol):
    """Connections in rooms. Safe to repeat. Every coroutine is one transaction at most, and raises
    DatabaseUnavailable."""

    async def resolve(self, ids: Sequence[RoomId]) -> Mapping[RoomId, Slug]:
        """Slugs of the living rooms, kept settings and dormant lives with these public ids; others are missing."""

    async def states(self, arrivals: Sequence[Arrival]) -> Mapping[RoomRef, SlugState]:
        """The slug behind each reference, which is a slug or an id, and what decides who may enter it."""

    async def enter(self, edge: EdgeId, plan: JoinPlan, *, now: datetime) -> Entered:
        """Carry a plan out. Also renews or opens the lease. Who is in already is answered as the first time."""

    async def leave(
        self, edge: EdgeId, connections: Sequence[ConnectionId], *, away: Set[ConnectionId], now: datetime
    ) -> Changes:
        """Unknown connections are ignored. Those in `away` have an away membership from now on."""

    async def change_ranks(self, edge: EdgeId, ranks: Mapping[ConnectionId, Rank], *, ordinal: int) -> None:
        """From now on these connections have these ranks. Unknown ones are ignored, and all of them where the edge has
        come to a later ordinal, with this call or with those of a sync."""

    async def snapshots(self, lives: Sequence[Life]) -> Mapping[Life, RoomSnapshot]:
        """The announced participants of lives, and whether those that are over were deleted in the last day."""

    async def logs_of(self, user_id: UserId) -> list[tuple[Slug, RoomLog]]:
        """The rooms that live in which a user is or was, with where their entries are."""

    async def erase_user(self, user_id: UserId) -> None:
        """Forget the name of a user where they are not connected, and whom they have blocked."""

    async def connected_rank(self, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
        """The highest rank somebody is connected with; slug None: anywhere."""

    async def stats(self) -> Mapping[RoomId, int]:
        """Open connections by public room id."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What one part of a sync came to."""

    lost: list[ConnectionId]
    """Those whose slug lives under another life."""
    changes: Changes


@dataclass(frozen=True, slots=True)
class Removed:
    """What the removal of one part came to."""

    changes: Changes
    last: ConnectionId | None
    """The last connection of the part; None: it was the last part."""


@dataclass(frozen=True, slots=True)
class Parted:
    """What one part of a sweep came to."""

    changes: Changes
    is_last: bool
    """Whether nothing more was to be done."""


class Leases(Protocol):
    """The leases of edges and what they cover, and what is left behind by lives that are over. Safe to repeat. Every
    coroutine is one short transaction, but for `reap`, and raises DatabaseUnavailable."""

    async def is_answering(self) -> bool:
        """Whether the database answers just now."""

    async def renew(self, edge: EdgeId) -> Lease:
        """Renew a lease of which nothing was removed."""

    async def register(
        self,
        edge: EdgeId,
        held: Sequence[HeldConnection],
        *,
        ordinal: int,
        is_newest: Callable[[], bool],
        now: datetime,
    ) -> Registered:
        """Register a part of what an edge holds. Also renews or opens the lease. Raises SyncSuperseded where the edge
        has come to a later ordinal, or the sync is not the newest any more, as seen while the lease is locked."""

    async def mark_stale(
        self, edge: EdgeId, *, after: ConnectionId, ordinal: int, is_newest: Callable[[], bool]
    ) -> ConnectionId | None:
        """Mark a part of what an edge holds as not registered again, behind this connection. Gives the last one of it;
        None: it was the last part. Raises as `register` does."""

    async def remove_stale(
        self, edge: EdgeId, *, after: ConnectionId, ordinal: int, is_newest: Callable[[], bool], now: datetime
    ) -> Removed:
        """Remove a part of what is marked and was not registered again, behind this connection. Raises as `register`
        does, also where the edge has no lease any more."""

    async def remove(self, edge: EdgeId, *, now: datetime, only_expired: bool = False) -> Removed:
        """Remove a part of what an edge holds, and with the last part its lease. `only_expired`: nothing where the
        lease was renewed, or another replica is removing it."""

    async def expired(self) -> list[EdgeId]:
        """Edges whose lease has expired, 100 at most."""

    async def end_away(self, *, now: datetime) -> Parted:
        """End some of the away memberships whose time is up, by the database's clock."""

    async def end_abandoned(self, *, now: datetime) -> Changes:
        """End rooms that are empty or unused for too long, 500 at most, and forget old deletions."""

    async def reap(self, *, now: datetime) -> None:
        """Remove some of those who are or were in lives that are over, and settings that nobody used for long."""


class DormantLogs(Protocol):
    """Logs of lives that are over. Every coroutine raises DatabaseUnavailable."""

    async def claim(self) -> list[LifeEnded]:
        """A few that are to be purged by now. Nobody else is given them for a while."""

    async def forget(self, lives: Sequence[Life]) -> None:
        """They are purged."""


class LogPositions(Protocol):
    """Up to where the sequences of the log were given out. Every coroutine raises DatabaseUnavailable."""

    async def remember(self, sequences: Mapping[int, int]) -> None:
        """Raise what is remembered, by partition; lower numbers change nothing."""

    async def resume(self, partition: int, sequence: int, *, behind: int) -> Resumption:
        """Remember the sequence, and decide where a stream goes on that ended below `behind`; 0: it did not."""


class Emotes(Protocol):
    """Emotes of slugs and of everywhere. Every coroutine raises DatabaseUnavailable."""

    async def of_slugs(self, slugs: Sequence[Slug]) -> list[list[Emote]]:
        """The emotes of each of these different slugs, in their order, each by name; for people."""

    async def for_edges(self, slugs: Sequence[Slug], *, most: int) -> list[list[Emote] | None]:
        """The same, without waiting for what people ask: of `most` emotes at most, but of one slug at least. None: of
        this one they were not read."""

    async def changed(self, after: int | None) -> ChangedEmotes:
        """What has changed since that version; None: which version there is."""

    async def save(self, emote: Emote, *, owner: UserId | None, by: UserId, now: datetime) -> None:
        """Keep it, in place of one of that name. Raises TooManyEmotes, and NotPermitted where the room of the slug is
        not, or no longer, that owner's; None: of whoever it is."""

    async def delete(self, slug: Slug, name: str, *, owner: UserId | None) -> bool:
        """Whether there was one. Raises NotPermitted as `save` does."""


class Blocks(Protocol):
    """Whom users have blocked. Every coroutine raises DatabaseUnavailable."""

    async def of_user(self, user_id: UserId) -> list[UserId]:
        """Whom a user has blocked, the last one first; for people."""

    async def for_edges(self, user_ids: Sequence[UserId]) -> list[list[UserId]]:
        """The same of each of these, in their order, without waiting for what people ask."""

    async def for_joins(self, user_ids: Collection[UserId], *, most: int) -> Mapping[UserId, list[UserId]]:
        """The same of as many of these as have no more than `most` in all."""

    async def block(self, user_id: UserId, blocked: UserId, *, now: datetime) -> bool:
        """Whether they were not blocked before. Raises TooManyBlocks."""

    async def unblock(self, user_id: UserId, blocked: UserId) -> bool:
        """Whether they were blocked."""


class Videos(Protocol):
    """The catalogue of videos."""

    async def existing(self, video_ids: frozenset[int]) -> Mapping[int, bool | None]:
        """Whether each video exists; None: the catalogue did not answer."""


class Events(Protocol):
    """NATS, best effort: while it is away events are lost, and edges read again what they missed."""

    @property
    def is_connected(self) -> bool:
        """Whether NATS is there just now."""

    def publish(self, changes: Changes) -> None:
        """Presence, to the edges with members in the room."""

    def publish_room_deleted(self, ended: LifeEnded) -> None:
        """To every edge."""

    def publish_emotes_changed(self, slug: Slug) -> None:
        """To every edge; an empty slug: those of everywhere."""

    async def purge(self, ended: LifeEnded) -> bool:
        """Whether nothing of the log of this life is stored any more."""


@dataclass(frozen=True, slots=True)
class RoleChange:
    """A role that somebody gives, or takes back."""

    slug: Slug
    owner: UserId | None
    """Whose room it is now."""
    by: Viewer
    """With the rank that they have there."""
    user_id: UserId
    rank: Rank | None
    """The highest that this user is connected with there; None: not connected."""
    role: RoomRole | None
    """None: they have none from now on."""


class Moderation(Protocol):
    """The moderation service. Every coroutine raises ModerationUnavailable."""

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        """Sanctions in force in these slugs and everywhere that are aimed at one of these, and maybe others."""

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        """The history, newest first."""

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        """End one sanction; the viewer has the rank of its room. Raises SanctionNotFound, NotPermitted."""

    async def set_role(self, change: RoleChange) -> RoleHolder | None:
        """What the user has since. Raises NotPermitted, TooManyRoles."""

    async def list_roles(
        self, slug: Slug, *, first: int, after: int | None = None, user_id: UserId | None = None
    ) -> RolePage:
        """A page of at most 100, by user id, behind the user `after`; `user_id`: of this one alone."""

    async def list_audit(
        self, reader: Viewer, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[AuditEntry]:
        """What was done, newest first. Raises NotPermitted."""

    async def verify_audit(self, reader: Viewer, slug: Slug | None, *, after_id: int | None) -> Verification:
        """Check a part of a chain; slug None: of what holds everywhere. Raises NotPermitted."""

    async def list_undoable(
        self, reader: Viewer, actor_user_id: UserId, *, since_ms: int, before_id: int | None
    ) -> Undoable:
        """What is to be undone of somebody's, 500 at most. Raises NotPermitted."""

    async def undo(
        self,
        viewer: Viewer,
        action_id: int,
        slug: Slug | None,
        log: RoomLog | None,
        *,
        of_all_since_ms: int | None = None,
    ) -> Undone:
        """Undo an action of that slug, None: one that holds everywhere; `log`: of the life that is to be told.
        `of_all_since_ms`: together with all that its author did since then, the newest first. Raises NotPermitted,
        ActionNotFound, CannotUndo, AlreadyUndone, NothingToUndo, TooManyRoles."""

    async def revoke_tokens(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, *, before: datetime | None, reason: str
    ) -> RevokedTokens:
        """Revoke the tokens that a user was issued before then, None: until now; `rank`: the highest that they are
        connected with. Raises NotPermitted, TooManyRevocations."""

    async def revoke_token(self, viewer: Viewer, jti: str, *, reason: str) -> RevokedTokens:
        """Revoke one token. Raises the same."""

    async def erase_user(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, rooms: Sequence[tuple[Slug, RoomLog]], *, reason: str
    ) -> int:
        """Erase a user, and take back what they said in at most 100 rooms; the row of the audit log. Raises
        NotPermitted."""

    async def list_rules(self, slug: Slug | None, viewer: Viewer) -> list[KeptRule]:
        """The rules of a slug, or those for everywhere, the oldest first. Raises NotPermitted, as all of these do."""

    async def make_rule(self, slug: Slug | None, rule: Rule, viewer: Viewer) -> KeptRule:
        """Make a rule of a slug, or for everywhere. Raises InvalidInput with what is wrong."""

    async def replace_rule(self, rule_id: int, rule: Rule, viewer: Viewer) -> KeptRule:
        """Replace a rule as a whole. Raises the same, RuleNotFound."""

    async def delete_rule(self, rule_id: int, viewer: Viewer) -> None:
        """Delete a rule. Raises RuleNotFound."""

    async def try_text(self, slug: Slug | None, text: str, viewer: Viewer) -> TriedText:
        """What would become of a text in that room."""

    async def list_held(self, slug: Slug, reader: Viewer, *, first: int, before_id: int | None) -> list[HeldMessage]:
        """The messages of a slug that wait for a moderator, newest first."""

    async def list_rule_hits(self, rule_id: int, viewer: Viewer, *, first: int, before_id: int | None) -> list[RuleHit]:
        """The last messages that a rule hit, newest first. Raises RuleNotFound."""

    async def list_reports(
        self, reader: Viewer, *, slug: Slug | None, state: ReportState | None, first: int, before_id: int | None
    ) -> list[Report]:
        """What was reported, newest first, but for what is about the reader; slug None: in every room. Raises
        NotPermitted."""

    async def slug_of_report(self, report_id: int) -> Slug:
        """Where it was filed. Raises ReportNotFound."""

    async def resolve_report(
        self, by: Viewer, slug: Slug, report_id: int, resolution: ReportResolution, reason: str
    ) -> Report:
        """Decide about a report of that slug. Raises NotPermitted, ReportNotFound, AlreadyDecided."""

    async def request_unban(self, by: Viewer, sanction_id: int, text: str) -> UnbanRequest:
        """Ask to lift a ban that is aimed at them. Raises SanctionNotFound, AlreadyRequested, RequestedTooSoon,
        InvalidInput."""

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
        """What banned users ask, newest first; slug None: in every room and everywhere, `mine`: the reader's own.
        Raises NotPermitted."""

    async def slug_of_unban_request(self, request_id: int) -> Slug | None:
        """Where its ban holds; None: everywhere. Raises UnbanRequestNotFound."""

    async def decide_unban_request(
        self, by: Viewer, slug: Slug | None, request_id: int, decision: UnbanDecision, note: str
    ) -> UnbanRequest:
        """Decide about a request of that slug, which lifts the ban where it is approved. Raises NotPermitted,
        UnbanRequestNotFound, AlreadyDecided."""

    async def get_case(
        self, reader: Viewer, slug: Slug, target: Target, log: RoomLog | None, *, token_rank: Rank
    ) -> Case:
        """What is known of somebody in a room; `log`: of the life whose messages are told, `token_rank`: of the reader,
        without what the room makes of them. Raises NotPermitted."""

    async def add_note(self, by: Viewer, slug: Slug, target: Target, text: str) -> Note:
        """Write of somebody. Raises NotPermitted, TooManyNotes, InvalidInput."""

    async def slug_of_note(self, note_id: int) -> Slug:
        """Where it was written. Raises NoteNotFound."""

    async def delete_note(self, by: Viewer, slug: Slug, note_id: int) -> None:
        """Delete a note of that slug. Raises NotPermitted, NoteNotFound."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a use case may ask of the outside; also the context of a GraphQL execution."""

    catalog: RoomCatalog
    memberships: Memberships
    leases: Leases
    log: LogPositions
    dormant: DormantLogs
    emotes: Emotes
    blocks: Blocks
    videos: Videos
    events: Events
    moderation: Moderation
    clock: Callable[[], datetime]
    """The present time in UTC."""
    elapsed_s: Callable[[], float]
    """Seconds since some moment; nobody sets it back, as they may a clock."""
    outage: Outage
    """In seconds of `elapsed_s`."""
    policy: RoomPolicy = field(default_factory=RoomPolicy)
    creation: CreationPolicy = field(default_factory=CreationPolicy)
    syncs: Syncs = field(default_factory=Syncs)

"""What the moderation service needs from the outside, in its own words, and what its use cases work with.
bootstrap.py names the adapters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Protocol

from moderation.domain.admission import Admission, Now
from moderation.domain.audit import AuditQuery, AuditRecord, Verification
from moderation.domain.cases import Case, Note, NoteOrder
from moderation.domain.classifiers import Call, Lines
from moderation.domain.commands import ErasureOrder, Order, OutboxItem, Receipt, SanctionOrder
from moderation.domain.erasures import Erasure, LoggedMessage, LogRef
from moderation.domain.feed import FeedHead, FeedPart, FeedState
from moderation.domain.holds import DecideHeldOrder, Hold, HoldOrder
from moderation.domain.kept_rules import KeptRule, RuleOrder, RulesState
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.lending import Lending
from moderation.domain.people import Target
from moderation.domain.pins import PinOrder, RoomPin
from moderation.domain.policy import SHIELD_PRESET, Policy, PolicyOrder, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.raids import RaidWatch
from moderation.domain.reports import Neighbours, Report, ReportOrder, ReportQuery, ResolveOrder
from moderation.domain.revocations import Revocation, RevocationOrder
from moderation.domain.rights import Change
from moderation.domain.roles import RoleOrder, RoomRoles
from moderation.domain.rule_book import RuleBook
from moderation.domain.rule_flags import FlagBatch
from moderation.domain.rule_hits import HitBatch, KeptHit
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Sanction, SanctionEvent
from moderation.domain.unban_requests import DecideOrder, RequestQuery, UnbanOrder, UnbanRequest
from moderation.domain.undo import DoneAction, Undoing, UndoOrder
from moderation.domain.user_erasures import EraseUserOrder
from moderation.domain.verdicts import Verdict
from moderation.domain.visits import Visit, VisitBuffer
from moderation.domain.warnings import RoomWarning, WarningOrder, WarningReport


@dataclass(frozen=True, slots=True)
class SanctionQuery:
    """Which sanctions in force somebody wants to know."""

    slugs: Sequence[str] = ()
    everywhere: bool = True
    """Also what holds everywhere."""
    targets: Sequence[Target] = ()
    """None: aimed at anybody."""
    addresses: bool = True
    """False: each is given without its addresses, which spares reading them."""


class Kept(Enum):
    """What may be kept of a slug."""

    SANCTIONS = "sanctions"
    POLICY = "policy"
    PIN = "pin"
    WARNINGS = "warnings"
    ROLES = "roles"
    HOLDS = "holds"


@dataclass(frozen=True, slots=True)
class ChangedSanctions:
    """What the actions after a given one did to sanctions, as these are now."""

    in_force: Sequence[Sanction]
    ended_ids: Sequence[int]
    last_action_id: int
    """Of the last action that was looked at."""
    is_all: bool
    """False: there are more."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the outbox has not done yet."""

    waiting: int
    oldest_ms: int | None
    """Since when the oldest waits, Unix milliseconds; None: nothing does."""


class Store(Protocol):
    """The database. Every coroutine raises DatabaseUnavailable; times are Unix milliseconds. Sanctions that a later
    version stored, with an action or rank that this one does not know, are left out as if they were not there."""

    async def change(
        self,
        order: SanctionOrder,
        addresses: frozenset[str],
        decide: Callable[[list[Sanction]], Change],
        *,
        now_ms: int,
    ) -> Receipt:
        """In one transaction, one at a time over all replicas: show the target's sanctions in force to `decide`, do
        what it says, write the audit row, and give the outbox what is to be purged. For an anonymous target those in
        force at `addresses` count as its own. What `decide` raises comes out, and nothing is changed. Where the actor
        has sent the nonce before, what that brought, and nothing is decided. Raises OutcomeUnknown where the answer to
        the commit is missing."""

    async def take_back(
        self,
        order: ErasureOrder,
        message: LoggedMessage | None,
        decide: Callable[[list[Erasure]], Erasure],
        *,
        now_ms: int,
    ) -> Receipt:
        """The same of messages: show what the outbox has not done yet in that log to `decide`, write the audit row with
        the message as evidence, and give the outbox what it says."""

    async def change_policy(self, order: PolicyOrder, *, now_ms: int) -> Receipt:
        """The same of the policy of the order's slug: change it, write the audit row with what was there before, and
        give the outbox the entry that tells of it where the room has a log. Raises TooManyPolicies."""

    async def change_pin(
        self,
        order: PinOrder,
        message: LoggedMessage | None,
        demand: Callable[[RoomPin | None, list[Erasure]], None],
        *,
        now_ms: int,
    ) -> Receipt:
        """The same of the pin of the order's slug: show it to `demand`, with what is to be erased in that log or was in
        the last minutes, put the message, or none, in its place, write the audit row with what was there before, and
        give the outbox the entry. What takes a pinned message back ends its pin in the same step."""

    async def shield_by_itself(self, order: PolicyOrder, *, now_ms: int) -> Receipt | None:
        """The same as change_policy, of a shield that nobody has ordered; None: the policy does not ask for it, there
        is one, or somebody has taken one away lately."""

    async def suggest_raid(self, slug: str, data: Mapping[str, Any], *, now_ms: int) -> bool:
        """Tell the moderators of a slug of a raid, and whether there is a shield by now, which another replica may have
        laid; False: they were told lately."""

    async def pins_of(self, slugs: Sequence[str]) -> list[RoomPin]:
        """Of at most 1,000 slugs those in which anything was ever pinned. None has a message that was taken back."""

    async def undo(self, order: UndoOrder, decide: Callable[[DoneAction | None], Undoing], *, now_ms: int) -> Receipt:
        """The same of an action: show what has become of it to `decide`, None: there is no such row; do what it says,
        write the audit row, and give the outbox the entry that tells of the policy or the pin."""

    async def audit_log(
        self, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[tuple[AuditRecord, int | None]]:
        """A page of it, newest first, each row with the one that undoes it; before_id None: from the newest on. By more
        than one of target, actor and slug, or by action: among the 10,000 newest rows of the first of these."""

    async def verify_part(self, chain: str, after_id: int, *, first: int) -> Verification:
        """Check the next `first` rows of a chain behind an id."""

    async def undoable(
        self, actor_user_id: int, since_ms: int, before_id: int | None, *, first: int
    ) -> tuple[list[AuditRecord], int, int]:
        """Of the next `first` actions of somebody that are not undone, those that can't be too, newest first, those
        that have to be so that the person had done none of them since then; how many more there are behind them, at
        most 10,000; and the last id that was looked at, 0: none."""

    async def set_role(self, order: RoleOrder, *, now_ms: int) -> Receipt:
        """The same of the roles of a room: give one, or take it back, and write the audit row. Raises TooManyRoles."""

    async def roles_of(self, slugs: Sequence[str]) -> list[RoomRoles]:
        """Of at most 1,000 slugs the roles of those where anybody was ever given one. Those of a later version are left
        out."""

    async def policies_after(self, version: int, *, first: int) -> list[RoomPolicy]:
        """The next `first` policies with a higher version, in the order of these. Whoever reads on from the last one's
        version misses none. What a later version of this service stored there is left out."""

    async def policies_of(self, slugs: Sequence[str]) -> list[RoomPolicy]:
        """Of at most 1,000 slugs those policies that were ever changed."""

    async def warn(self, order: WarningOrder, *, now_ms: int) -> Receipt:
        """The same of a warning: issue it, and write the audit row. Where the target has MOST_OPEN open ones in the
        room, or there are as many there or everywhere as may be, the oldest give way."""

    async def report_warning(self, report: WarningReport, *, now_ms: int) -> Receipt:
        """One at a time as well: take that step of a warning; where it can't be taken any more nothing is changed.
        Raises WarningNotFound where the target was never given it. There is no audit row of its own."""

    async def warnings_after(self, version: int, *, first: int) -> list[RoomWarning]:
        """As policies_after: the next `first` warnings with a higher version, open or not."""

    async def open_warnings(self, slugs: Sequence[str]) -> list[RoomWarning] | None:
        """Of at most 1,000 slugs the warnings that wait to be acknowledged, the oldest first; None: more than
        MOST_TOLD. No slug has so many by itself."""

    async def reported_before(self, order: ReportOrder, *, now_ms: int) -> Report | None:
        """The same report of the same reporter: of a message whatever became of it, of a person an open one. Raises
        TooManyReports where there is none, and the reporter may not file one now."""

    async def file_report(
        self, order: ReportOrder, message: LoggedMessage | None, neighbours: Neighbours, *, now_ms: int
    ) -> Receipt:
        """In one transaction, one at a time over all replicas: the same, and keep the report with the
        message and the ids around it. Of a slug with MOST_OPEN_REPORTS the oldest open one expires,
        and beyond MOST_EXPIRED_REPORTS the oldest expired one goes."""

    async def resolve_report(
        self, order: ResolveOrder, decide: Callable[[Report | None], Report], *, now_ms: int
    ) -> Receipt:
        """The same as `change` of a report: show it to `decide`, None: there is none with that id; keep what that says,
        and write the audit row."""

    async def find_report(self, report_id: int) -> Report | None:
        """One report, in whatever state."""

    async def list_reports(self, query: ReportQuery, *, first: int, before_id: int | None) -> list[Report]:
        """A page, newest first; before_id None: from the newest on."""

    async def request_unban(
        self, order: UnbanOrder, demand: Callable[[Sanction | None, UnbanRequest | None], None], *, now_ms: int
    ) -> Receipt:
        """In one transaction, one at a time over all replicas: show the sanction and the last request about it to
        `demand`, and keep the request. The same one while it is open changes nothing."""

    async def decide_unban_request(
        self,
        order: DecideOrder,
        decide: Callable[[UnbanRequest | None, Sanction | None], UnbanRequest],
        *,
        now_ms: int,
    ) -> Receipt:
        """The same as `change` of an unban request: show it, with its ban, to `decide`; keep what that says, lift the
        ban where it is approved, as an unban does, and write the audit row."""

    async def bans_of(self, user_id: int, slug: str, *, now_ms: int) -> list[tuple[Sanction, UnbanRequest | None]]:
        """The newest bans in force that are aimed at a user there or everywhere, without addresses, each with the last
        request about it."""

    async def find_unban_request(self, request_id: int) -> UnbanRequest | None:
        """One unban request, in whatever state."""

    async def list_unban_requests(
        self, query: RequestQuery, *, first: int, before_id: int | None
    ) -> list[UnbanRequest]:
        """A page, newest first; before_id None: from the newest on."""

    async def change_note(
        self, order: NoteOrder, demand: Callable[[int, Note | None], None], *, now_ms: int
    ) -> Receipt:
        """The same as `change` of a note: show how many there are of the target, or the one that is meant, None: there
        is none with that id, to `demand`; add or delete it, and write the audit row."""

    async def find_note(self, note_id: int) -> Note | None:
        """One note."""

    async def case_of(
        self, slug: str, target: Target, *, with_reports: bool, with_everywhere: bool, since_ms: int = 0
    ) -> Case:
        """What is known of somebody in a room, but for messages; sanctions without their addresses, `with_everywhere`:
        also those that hold everywhere."""

    async def write_visits(self, visits: Mapping[Visit, tuple[int, int]]) -> None:
        """Keep when each was first and last seen, of those that there are the last time."""

    async def hold(self, order: HoldOrder, *, now_ms: int) -> Receipt:
        """One at a time as well: have a message wait, and write the audit row. Where its author has sent it before,
        with the same nonce, that one as it is by now, with the id of its entry where it was allowed. Raises HoldFull;
        NotPermitted where its author is banned there."""

    async def decide_hold(
        self, order: DecideHeldOrder, decide: Callable[[Hold | None], Hold], *, now_ms: int
    ) -> Receipt:
        """The same as change, of a message that waits: show it to `decide`, None: there is none; write what became of
        it and the audit row, and give the outbox what is to be published. What is to be allowed of somebody whom a ban
        binds there is denied by that ban instead."""

    async def expire_holds(self, *, now_ms: int) -> list[Hold]:
        """A part of those that nobody has decided about in time, as they are since. There is no audit row."""

    async def deny_held(self, ban: Sanction, *, now_ms: int) -> list[Hold]:
        """A part of what a ban's target has waiting, denied by it as long as it is in force, as it is since."""

    async def forget_holds(self, before_ms: int) -> None:
        """Delete those that were decided about before then."""

    async def holds_of(self, slugs: Sequence[str], *, since_ms: int, first: int) -> list[Hold]:
        """Of at most 1,000 slugs the `first` newest that wait, or were decided about since then."""

    async def held(self, slug: str, *, first: int, before_id: int | None, now_ms: int) -> list[Hold]:
        """A page of what waits in a slug, newest first; before_id None: from the newest on."""

    async def change_rules(self, order: RuleOrder, *, now_ms: int) -> Receipt:
        """The same of the rules of a slug: save or delete one, and write the audit row with what was there before.
        Raises RuleNotFound where the slug has no such rule, RuleRefused where it would have too many."""

    async def revoke(self, order: RevocationOrder, revocation: Revocation, *, now_ms: int) -> Receipt:
        """The same of tokens: revoke them, and write the audit row. Raises TooManyRevocations."""

    async def erase_user(self, order: EraseUserOrder, *, now_ms: int) -> Receipt:
        """Of a user give the outbox what is to be purged, each with its audit row; erase names, addresses and texts of
        them and about them; and write the audit row, which holds their number alone. In several transactions: where it
        fails it is done in part, and to be done again."""

    async def revocations_after(self, version: int, *, first: int, now_ms: int) -> list[Revocation]:
        """As policies_after: the next `first` with a higher version, without those that have no effect any more."""

    async def forget_revocations(self, before_ms: int) -> None:
        """Delete those that have had no effect since then."""

    async def rules_after(self, version: int, *, first: int) -> list[RulesState]:
        """The same as of policies, of the slugs whose rules have a higher version."""

    async def rules_of(self, slug: str) -> tuple[int, list[KeptRule]]:
        """The rules of a slug in the order in which they were made, and their version; those of a later version are
        left out."""

    async def slug_of_rule(self, rule_id: int) -> str | None:
        """Where a rule holds, of whatever version; None: there is none."""

    async def find_rule(self, rule_id: int) -> KeptRule | None:
        """A rule as it is stored; None: there is none, or it is of a later version."""

    async def write_hits(self, batch: HitBatch) -> None:
        """Count hits, and keep their sample: of each rule the last ones. What is of rules that were deleted is left
        out. Whoever changes one of these rules waits meanwhile, and holds up other commands: give it few at once."""

    async def hits_of(self, rule_id: int, *, first: int, before_id: int | None) -> list[KeptHit]:
        """A page of the sample of a rule, newest first; before_id None: from the newest on."""

    async def feed_heads_after(self, event_id: int, *, first: int) -> list[FeedHead]:
        """The next `first` events of the moderators' feed with a higher id, of whatever slug, in the order of these.
        Whoever reads on from the last one's id misses none."""

    async def last_feed_event_id(self) -> int:
        """Of the newest event of whatever slug; 0: there is none."""

    async def feed_after(self, slugs: Sequence[str], event_id: int, *, first: int) -> FeedPart:
        """The next `first` events of at most 1,000 slugs with a higher id. Whoever reads on from up_to_id misses
        none."""

    async def feed_state(
        self,
        slug: str,
        since: int | None,
        *,
        reader_id: int,
        with_everywhere: bool,
        now_ms: int,
        owned_since_ms: int = 0,
    ) -> FeedState:
        """What a moderator of a slug begins with, but for reports about themselves; with the newest KEPT events since
        that one. What comes behind its event_id may be in the lists already. `with_everywhere`: also the sanctions that
        hold everywhere."""

    async def append_flags(self, batches: Sequence[FlagBatch], *, now_ms: int) -> None:
        """Tell the moderators of some slugs what rules flagged and refused, in the same order as all else."""

    async def prune_feed(self, *, now_ms: int) -> None:
        """Delete the events that are older than DELETED_AFTER_MS."""

    async def earlier(self, order: Order, *, now_ms: int) -> Receipt | None:
        """What a command of that actor with that nonce brought within two minutes; None: there was none. Raises
        NonceTaken where that was another one, as all of these do that take an order."""

    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        """Add an address to a sanction in force, with its audit row; None: not in force, known already, or the
        sanction holds for as many as it may. Then it is the new address that is dropped, without an event: those that
        hold are not to be let go of, see Sanction.may_follow_to."""

    async def find(self, sanction_id: int) -> Sanction | None:
        """One sanction, in force or not."""

    async def kept_of(self, slugs: Sequence[str], *, holds_since_ms: int, now_ms: int) -> set[Kept]:
        """Of what there is anything in any of at most 1,000 slugs. Only sanctions in force count, warnings that wait to
        be acknowledged, and holds that wait or were decided about since then."""

    async def in_force(self, query: SanctionQuery, *, now_ms: int) -> list[Sanction]:
        """Those of what is in force that are asked for, the oldest first."""

    async def in_force_after(self, sanction_id: int, *, first: int, now_ms: int) -> tuple[list[Sanction], int | None]:
        """The next `first` of all that are in force, by id, and the id after which the next part begins; None: this
        was the last one. A part may hold fewer."""

    async def last_action_id(self) -> int:
        """Of the newest row of the audit log; 0: it is empty."""

    async def changed_after(self, action_id: int, *, first: int, now_ms: int) -> ChangedSanctions | None:
        """What the next `first` actions after this one changed, or some more. None: this one is not there (the database
        was put back to an earlier state, or the row is no longer kept), so that nobody can say what came after it."""

    async def history(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        """A page of it, newest first; slug None: of every room and everywhere."""

    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        """Where the target was seen, the last first, as many as a sanction holds for; slug None: anywhere."""

    async def write_last_seen(self, seen: Mapping[LastSeen, int]) -> None:
        """Keep when each was last seen."""

    async def forget_last_seen(self, before_ms: int) -> None:
        """Delete what is older."""

    async def end_expired(self, before_ms: int) -> None:
        """Mark the sanctions whose time was up before then, so that no question looks at them again; unban requests
        about bans that ended lapse."""

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        """Erase the addresses, the names of anonymous people and the texts of messages, of what was done, of sanctions
        that ended, and of warnings that are closed and were issued, before then. The rows stay, and their chains are
        whole. Pins that are older end. Delete what rules hit before then, and messages that waited and were decided
        about. Older reports and unban requests lose what was said in them, and expire where they are open."""

    async def delete_history(self, before_ms: int) -> None:
        """Delete the sanctions that ended before then, the warnings that are closed and were issued before then, older
        reports, unban requests and notes, and the audit rows of what was done, those alone before which no row is
        kept: what is left of a chain is whole."""

    async def expire_warnings(self, before_ms: int, *, anonymous_before_ms: int, now_ms: int) -> None:
        """Close the warnings that were issued before then, those of anonymous people that were before
        `anonymous_before_ms`: by then their names are somebody else's."""

    async def slugs_seen(self, since_ms: int, *, first: int) -> list[str]:
        """The rooms of the last `first` sightings since then, each once, the last one first."""

    async def forget_rules(self, before_ms: int) -> None:
        """Delete what is kept of slugs whose last rule was deleted before then, but for the one that was changed last
        of all."""

    async def forget_policies(self, before_ms: int) -> None:
        """Delete the policies that ask for nothing and were changed before then, but for the one that was changed last:
        without them the same holds."""


class Outbox(Protocol):
    """What commands have still to do in the logs of rooms, in the database. An item is worked on by whoever has claimed
    it, for 15 s from each call below but the last three. Every coroutine raises DatabaseUnavailable; those with an item
    ClaimLost where somebody else has it since, or it is done."""

    async def claim(
        self, *, first: int, now_ms: int, of: Collection[int] = (), not_of: Collection[int] = ()
    ) -> list[OutboxItem]:
        """Take up to `first` of those that nobody works on, the longest due first. `of`: of the logs of these
        partitions alone, empty: of all; `not_of`: of none of these."""

    async def renew(self, item: OutboxItem, *, now_ms: int) -> None:
        """It is still being worked on."""

    async def resolved(self, item: OutboxItem, erasure: Erasure, message: LoggedMessage | None, *, now_ms: int) -> None:
        """Keep what its entry is to say from now on, before anything is published; the message becomes evidence."""

    async def appended(self, item: OutboxItem, entry_id: int, *, now_ms: int) -> None:
        """Its entry is in the log, with that id."""

    async def is_preceded(self, item: OutboxItem) -> bool:
        """Whether an earlier change of the pin of that log has no entry yet, as far as is known: it has to come
        first."""

    async def postpone(self, item: OutboxItem, *, until_ms: int) -> None:
        """Let go of it: anybody may take it from then on."""

    async def done(self, item: OutboxItem, *, now_ms: int) -> None:
        """Nothing is left to do."""

    async def backlog(self) -> Backlog:
        """How much there is still to do, whoever works on it."""

    async def forget_done(self, before_ms: int) -> bool:
        """Delete a part of what was done before then; whether there may be more."""


class RoomLog(Protocol):
    """The logs of rooms, in JetStream. Every coroutine raises LogUnavailable, where it is not known what it has done.
    Each may be repeated."""

    async def find(self, log: LogRef, message_id: int) -> LoggedMessage | None:
        """A message of that log, as the leader has it; None: there is none with that id, or it is no message."""

    async def neighbours(self, log: LogRef, message: LoggedMessage, *, count: int) -> Neighbours:
        """The ids of up to `count` messages before that one, of the last ten minutes and the last 4,096 entries of its
        stream, and as many behind it, in order. What a replica that lags lacks is missing."""

    async def last_id(self, log: LogRef) -> int:
        """Of its last entry, as the leader has it; 0: it has none."""

    def messages(
        self, log: LogRef, up_to_id: int, *, since_ms: int | None = None
    ) -> AsyncIterator[list[LoggedMessage]]:
        """Its messages up to the id of an entry that it has, in batches, in order; since_ms: those stored from then on.
        None that the leader has is missing where it comes to its end; some may be erased already."""

    async def announce(self, item: OutboxItem, erasure: Erasure) -> None:
        """Store what the item is to erase, with the keys of all that is, where only those look who read the log."""

    async def bar(self, log: LogRef, key: str) -> int:
        """Have nothing be stored any more of what was published before by the item with that key and has not arrived
        yet, however late it does; what `append` is to be told."""

    async def append(self, item: OutboxItem, *, barred_at: int = 0) -> int:
        """Store the entry that tells of it, with the newest keys; its id. Within two minutes it is stored once, a
        message that was allowed at whatever time: by whoever has barred those before. `barred_at`: as `bar` said; 0:
        nobody was barred before. Raises ClaimLost where somebody was barred since."""

    async def find_entry(self, item: OutboxItem) -> int | None:
        """The id of the entry that it brought, looked for behind all that is meant; None: it has none."""

    async def erase(self, log: LogRef, message_id: int, *, overwrite: bool) -> None:
        """Erase one message; harmless where it is gone. With `overwrite` from the disk as well, which stops the stream
        for some 10 ms."""

    async def erase_up_to(self, log: LogRef, last_id: int) -> None:
        """Erase every entry up to an id."""


class Events(Protocol):
    """To and from edges and other replicas."""

    @property
    def is_connected(self) -> bool:
        """Whether events arrive and leave just now."""

    async def publish(self, event: SanctionEvent) -> None:
        """Returns when the server has it, or after the deadline; never raises. Who misses an event reads the
        database's state again after reconnecting and every 30 s."""

    async def publish_holds(self, changed: Sequence[Hold]) -> None:
        """The same of messages that wait for a moderator, without their texts."""

    async def publish_warnings(self, changed: Sequence[RoomWarning]) -> None:
        """The same of warnings, for edges alone, as of what waits."""

    async def publish_roles(self, roles: RoomRoles) -> None:
        """The same of the roles of a room."""

    async def publish_revocation(self, revocation: Revocation) -> None:
        """The same of revoked tokens. Who misses it reads it within a second or so."""

    async def publish_feed(self, heads: Sequence[FeedHead]) -> None:
        """Tell edges that these feeds have gone on. Who misses it reads on some seconds later all the same."""


class Classifier(Protocol):
    """Where the classifiers of rules are asked."""

    async def ask(self, call: Call) -> bytes:
        """The body of the answer. Raises ClassifierFailed; the caller sets the deadline."""

    async def problem(self, url: str) -> str | None:
        """Why the classifier at that URL, of a rule that can be used otherwise, is not asked, for whoever writes it, or
        None. Who can't be looked up just now has none."""


class Urgency(IntEnum):
    """Whose rules are compiled first."""

    COMMANDS = 0
    """And those for everywhere, which all messages wait for."""
    MESSAGES = 1
    TRIES = 2
    ARRIVALS = 3


@dataclass(slots=True)
class Compilation:
    """Rules of a slug that are being read and compiled."""

    task: asyncio.Task[None] = field(init=False)
    begun_ns: int
    """By the clock that never jumps."""
    urgency: Urgency
    """May become another one while it waits. Those for ARRIVALS make no others give way."""
    is_too_large: bool = False
    """There was no room for it."""


class Turns:
    """One at a time: the most urgent first, and of these who came first."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: list[tuple[Callable[[], Urgency], asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, urgency: Callable[[], Urgency]) -> AsyncIterator[None]:
        """Wait for it. The urgency is asked for whenever one ends."""
        if self._is_taken:
            given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((urgency, given))
            try:
                await given
            except asyncio.CancelledError:
                if not given.cancelled():  # it was given at the same moment
                    self._give()
                raise
        self._is_taken = True
        try:
            yield
        finally:
            self._give()

    def _give(self) -> None:
        self._waiting = [each for each in self._waiting if not each[1].done()]
        self._is_taken = bool(self._waiting)
        if self._waiting:
            min(self._waiting, key=lambda each: each[0]())[1].set_result(None)


TRIES_AT_ONCE = 4
"""Texts that classifiers are asked about because somebody tries them; anybody who owns a room may."""
REPORTS_AT_ONCE = 3
"""That a replica works on: fewer than it has connections to the database."""


async def nothing_lent() -> None:
    """Nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the use cases work with: the outside, and what one replica keeps in memory between calls."""

    store: Store
    events: Events
    clock: Callable[[], Now]
    """The present time, by both clocks."""
    cache: SanctionCache
    last_seen: LastSeenBuffer
    admission: Admission
    """Judges by the two before it, and by the open warnings, which it holds."""
    outbox: Outbox
    log: RoomLog
    policies: PolicyCache
    """Also what admission judges by."""
    classifier: Classifier
    token_life_ms: int = 365 * 86_400_000
    """No token that edges take lives for longer."""
    shield_preset: Policy = SHIELD_PRESET
    """What the shields that are set here ask for."""
    outbox_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it where what was postponed may be done now: NATS is back."""
    rules: RuleBook = field(default_factory=RuleBook)
    """Also what admission judges by."""
    visits: VisitBuffer = field(default_factory=VisitBuffer)
    """Who was seen by which name, also what admission puts there."""
    raids: RaidWatch = field(default_factory=RaidWatch)
    """Who speaks where, also what admission notes there."""
    lending: Lending = field(default_factory=Lending)
    """Whose messages edges admit by themselves."""
    settled: Callable[[], Awaitable[None]] = nothing_lent
    """Await it once something that may be against a message is applied, before anybody hears of it: no edge admits any
    more by what held before. It takes a second at most."""
    feed_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it where something may have been appended to the moderators' feed."""
    mutes_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it where rules ask for mutes."""
    compiling: dict[str, Compilation] = field(default_factory=dict)
    """By slug."""
    compiling_turns: Turns = field(default_factory=Turns)
    """Rules are compiled one slug after the other: threads of Python take the processor from each other."""
    classifier_lines: Lines = field(default_factory=Lines)
    """The calls to classifiers that are under way."""
    classifying: dict[int, asyncio.Task[Verdict]] = field(default_factory=dict)
    """What waits for them, by the keys of admission.waiting."""
    classifying_behind: set[asyncio.Task[None]] = field(default_factory=set)
    """What they are asked about that waits for nothing."""
    trying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TRIES_AT_ONCE))
    """Held by each try of a text that classifiers are asked about."""
    reporting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REPORTS_AT_ONCE))
    """Held by each report that is worked on."""
    in_flight: set[asyncio.Task[Any]] = field(default_factory=set)
    """Commands that are being carried out, at most as many as there are calls, and what bans deny behind their answers:
    whoever stops waits for them."""
    outbox_work: set[asyncio.Task[Any]] = field(default_factory=set)
    """What they gave the outbox, while it is tried for the first time."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever takes from last_seen or the cache what is to be written."""
    writing_hits: asyncio.Lock = field(default_factory=asyncio.Lock)
    """The same of what rules hit."""

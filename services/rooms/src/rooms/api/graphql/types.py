"""The types of the contract, made from the domain's values, and its two scalars: integers that JavaScript holds
exactly, and times as the socket writes them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NewType, Self

import strawberry
from graphql import GraphQLError
from strawberry.types import Info
from strawberry.types.nodes import SelectedField, Selection
from strawberry.types.scalar import ScalarDefinition

from rooms.api.graphql.arguments import LIST_DEFAULT, check_line, clamp_first, decode_cursor, encode_cursor
from rooms.api.graphql.request import ParticipantPage, Request
from rooms.domain import (
    audit as domain_audit,
    emotes as domain_emotes,
    erased_users as domain_erased_users,
    holds as domain_holds,
    roles as domain_roles,
    rooms as domain,
    rules as domain_rules,
    sanctions as domain_sanctions,
    tokens as domain_tokens,
)

ROOMS = "room"
PARTICIPANTS = "participant"
SANCTIONS = "sanction"
AUDIT = "audit"
RULES = "rule"
RULE_HITS = "hit"
ROLES = "role"
HELD = "held"
LARGEST_SAFE_INT = 2**53 - 1

SafeInt = NewType("SafeInt", int)
"""An integer below 2^53, a JSON number."""


def _serialize_safe_int(value: object) -> int:
    # A ValueError here is a defect of ours: it is masked and logged, unlike what a client sends.
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_SAFE_INT:
        raise ValueError(f"not a SafeInt: {value!r}")
    return value


def _parse_safe_int(value: object) -> SafeInt:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_SAFE_INT:
        raise GraphQLError("SafeInt must be an integer below 2^53")
    return SafeInt(value)


def _serialize_time(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_time(value: object) -> datetime:
    try:
        parsed = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise GraphQLError("DateTime must be RFC 3339 with an offset or Z")
    return parsed


SCALARS: dict[object, ScalarDefinition] = {
    SafeInt: strawberry.scalar(
        name="SafeInt",
        description="An integer below 2^53, a JSON number.",
        serialize=_serialize_safe_int,
        parse_value=_parse_safe_int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 in UTC with milliseconds and Z.",
        serialize=_serialize_time,
        parse_value=_parse_time,
    ),
}


# Strawberry marks the domain's own class, so that its members need no translation.
strawberry.enum(domain.ParticipantState)
strawberry.enum(domain_rules.RuleKind)
strawberry.enum(domain_rules.RuleAction)
strawberry.enum(domain_rules.RuleMode)
strawberry.enum(domain_rules.RuleExemption)
strawberry.enum(domain_rules.RuleOnFailure)
strawberry.enum(domain_roles.RoomRole)


@strawberry.type
class Participant:
    """A person in one life of a room."""

    user_id: SafeInt | None
    username: str
    state: domain.ParticipantState
    connection_count: int
    joined_at: datetime
    cursor: str

    @classmethod
    def of(cls, person: domain.Participant) -> Self:
        """As the contract shows a person."""
        return cls(
            user_id=None if person.user_id is None else SafeInt(person.user_id),
            username=person.username,
            state=person.state,
            connection_count=person.connection_count,
            joined_at=person.joined_at,
            cursor=encode_cursor(PARTICIPANTS, person.id),
        )


async def _count_people(root: "ChatRoom", info: Info[Request, None]) -> int:
    return await info.context.participant_count(root.room)


@strawberry.type
class ChatRoom:
    """A room as it lives, or what is kept of it."""

    id: SafeInt
    slug: str
    name: str
    description: str | None
    is_public: bool
    allow_anonymous: bool
    room_type: str
    created_by: SafeInt
    created_at: datetime
    participant_count: int = strawberry.field(resolver=_count_people)
    connection_count: int
    room: strawberry.Private[domain.Room]

    @strawberry.field
    async def participants(
        self, info: Info[Request, None], first: int | None = LIST_DEFAULT, after: str | None = strawberry.UNSET
    ) -> list[Participant]:
        """Who is here, or was here in this life. Raises InvalidInput, ModerationUnavailable."""
        page = ParticipantPage(
            room=self.room,
            first=clamp_first(first),
            after=decode_cursor(PARTICIPANTS, after or None),
            with_state=_asks_for("state", info.selected_fields),
        )
        return [Participant.of(person) for person in await info.context.participants(page)]

    @strawberry.field
    def cursor(self) -> str:
        """Where a list of rooms goes on; of a room that does not live, no list goes on after it."""
        return encode_cursor(ROOMS, self.room.life or 0)

    @classmethod
    def of(cls, room: domain.Room) -> Self:
        """As the contract shows a room."""
        return cls(
            id=SafeInt(room.room_id),
            slug=room.slug,
            name=room.settings.name,
            description=room.settings.description,
            is_public=room.settings.is_public,
            allow_anonymous=room.settings.allow_anonymous,
            room_type=room.room_type,
            created_by=SafeInt(room.created_by),
            created_at=room.created_at,
            connection_count=room.connection_count,
            room=room,
        )


@strawberry.type
class Sanction:
    """A ban or mute, in force or over."""

    id: SafeInt
    action: str
    target_user_id: SafeInt | None
    target_username: str | None
    scope: str
    slug: str | None
    reason: str | None
    moderator_user_id: SafeInt
    created_at: datetime
    expires_at: datetime | None
    lifted_at: datetime | None
    active: bool
    cursor: str

    @classmethod
    def of(cls, sanction: domain_sanctions.Sanction, *, now: datetime) -> Self:
        """As the contract shows a sanction at this time."""
        return cls(
            id=SafeInt(sanction.id),
            action=sanction.action.value,
            target_user_id=None if sanction.target_user_id is None else SafeInt(sanction.target_user_id),
            target_username=sanction.target_username,
            scope=sanction.scope.value,
            slug=sanction.slug,
            reason=sanction.reason,
            moderator_user_id=SafeInt(sanction.moderator_user_id),
            created_at=sanction.created_at,
            expires_at=sanction.expires_at,
            lifted_at=sanction.lifted_at,
            active=sanction.is_active(now),
            cursor=encode_cursor(SANCTIONS, sanction.id),
        )


@strawberry.input
class RuleInput:
    """A rule as somebody writes it; what is left out, or null, has its default."""

    name: str
    kind: domain_rules.RuleKind
    action: domain_rules.RuleAction
    mode: domain_rules.RuleMode | None = domain_rules.RuleMode.ON
    patterns: list[str] | None = strawberry.field(default_factory=list)
    allow: list[str] | None = strawberry.field(default_factory=list)
    threshold: int | None = 0
    minutes: int | None = 0
    exempt_from: domain_rules.RuleExemption | None = domain_rules.RuleExemption.MODERATOR
    told: str | None = None
    url: str | None = None
    on_failure: domain_rules.RuleOnFailure | None = None
    secret: str | None = None

    def rule(self) -> domain_rules.Rule:
        """What is meant. Raises InvalidInput."""
        return domain_rules.Rule(
            name=check_line("name", self.name),
            kind=self.kind,
            action=self.action,
            mode=self.mode or domain_rules.RuleMode.ON,
            patterns=tuple(check_line("patterns", pattern) for pattern in self.patterns or ()),
            allow=tuple(check_line("allow", domain) for domain in self.allow or ()),
            threshold=self.threshold or 0,
            minutes=self.minutes or 0,
            exempt_from=self.exempt_from or domain_rules.RuleExemption.MODERATOR,
            told=check_line("told", self.told or ""),
            url=check_line("url", self.url or ""),
            on_failure=self.on_failure,
            secret=check_line("secret", self.secret or ""),
        )


@strawberry.type
class Rule:
    """A rule of a room, or for everywhere, as it is stored."""

    id: SafeInt
    slug: str | None
    version: SafeInt
    name: str
    kind: domain_rules.RuleKind
    patterns: list[str]
    allow: list[str]
    threshold: int
    action: domain_rules.RuleAction
    minutes: int
    mode: domain_rules.RuleMode
    exempt_from: domain_rules.RuleExemption
    told: str | None
    url: str | None
    on_failure: domain_rules.RuleOnFailure | None
    changed_by: SafeInt
    changed_at: datetime
    hits: SafeInt
    acted: SafeInt
    cursor: str

    @classmethod
    def of(cls, kept: domain_rules.KeptRule) -> Self:
        """As the contract shows a rule."""
        rule = kept.rule
        return cls(
            id=SafeInt(kept.id),
            slug=kept.slug,
            version=SafeInt(kept.version),
            name=rule.name,
            kind=rule.kind,
            patterns=list(rule.patterns),
            allow=list(rule.allow),
            threshold=rule.threshold,
            action=rule.action,
            minutes=rule.minutes,
            mode=rule.mode,
            exempt_from=rule.exempt_from,
            told=rule.told or None,
            url=rule.url or None,
            on_failure=rule.on_failure,
            changed_by=SafeInt(kept.changed_by),
            changed_at=kept.changed_at,
            hits=SafeInt(kept.hits),
            acted=SafeInt(kept.acted),
            cursor=encode_cursor(RULES, kept.id),
        )


@strawberry.type
class RuleHit:
    """One message that a rule hit."""

    id: SafeInt
    rule_id: SafeInt
    slug: str
    at: datetime
    user_id: SafeInt | None
    username: str
    text: str
    pattern: str | None
    action: domain_rules.RuleAction
    acted: bool
    cursor: str

    @classmethod
    def of(cls, hit: domain_rules.RuleHit) -> Self:
        """As the contract shows a hit."""
        return cls(
            id=SafeInt(hit.id),
            rule_id=SafeInt(hit.rule_id),
            slug=hit.slug,
            at=hit.at,
            user_id=None if hit.user_id is None else SafeInt(hit.user_id),
            username=hit.username,
            text=hit.text,
            pattern=hit.pattern,
            action=hit.action,
            acted=hit.acted,
            cursor=encode_cursor(RULE_HITS, hit.id),
        )


@strawberry.type
class RuleTestHit:
    """A rule that a text is against."""

    rule_id: SafeInt
    rule_name: str
    pattern: str | None
    action: domain_rules.RuleAction
    mode: domain_rules.RuleMode


@strawberry.type
class RuleTest:
    """What would become of a text."""

    hits: list[RuleTestHit]
    decisive_rule_id: SafeInt | None

    @classmethod
    def of(cls, tried: domain_rules.TriedText) -> Self:
        """As the contract shows it."""
        hits = [
            RuleTestHit(
                rule_id=SafeInt(hit.rule_id),
                rule_name=hit.rule_name,
                pattern=hit.pattern,
                action=hit.action,
                mode=hit.mode,
            )
            for hit in tried.hits
        ]
        decisive = tried.decisive_rule_id
        return cls(hits=hits, decisive_rule_id=None if decisive is None else SafeInt(decisive))


@strawberry.type
class PolicyFieldChange:
    """One field of a policy, before and after, as JSON."""

    field: str
    before: str
    after: str


@strawberry.type
class AuditEntry:
    """One thing that was done."""

    action_id: SafeInt
    at: datetime
    actor_user_id: SafeInt
    actor_role: str | None
    action: str
    target_user_id: SafeInt | None
    target_username: str | None
    scope: str
    slug: str | None
    reason: str | None
    rule: str | None
    hold_id: SafeInt | None
    duration_minutes: int
    message_id: SafeInt | None
    message_text: str | None
    address: str | None
    policy_changes: list[PolicyFieldChange]
    undoes: SafeInt | None
    undone_by: SafeInt | None
    completes: SafeInt | None
    digest: str | None
    cursor: str

    @classmethod
    def of(cls, entry: domain_audit.AuditEntry) -> Self:
        """As the contract shows a row."""
        return cls(
            action_id=SafeInt(entry.action_id),
            at=entry.at,
            actor_user_id=SafeInt(entry.actor_user_id),
            actor_role=None if entry.actor_rank is None else entry.actor_rank.name.lower(),
            action=entry.action,
            target_user_id=safe_int(entry.target_user_id),
            target_username=entry.target_username,
            scope="everywhere" if entry.is_everywhere else "room",
            slug=entry.slug,
            reason=entry.reason,
            rule=entry.rule,
            hold_id=safe_int(entry.hold_id),
            duration_minutes=entry.duration_minutes,
            message_id=safe_int(entry.message_id),
            message_text=entry.message_text,
            address=entry.address,
            policy_changes=[
                PolicyFieldChange(field=c.field, before=c.before, after=c.after) for c in entry.policy_changes
            ],
            undoes=safe_int(entry.undoes),
            undone_by=safe_int(entry.undone_by),
            completes=safe_int(entry.completes),
            digest=entry.digest,
            cursor=encode_cursor(AUDIT, entry.action_id),
        )


@strawberry.type
class HeldMessage:
    """A message that waits for a moderator."""

    hold_id: SafeInt
    slug: str
    user_id: SafeInt | None
    username: str
    message: str
    reply_to: SafeInt | None
    rule: str | None
    held_at: datetime
    expires_at: datetime
    cursor: str

    @classmethod
    def of(cls, held: domain_holds.HeldMessage) -> Self:
        """As the contract shows one."""
        return cls(
            hold_id=SafeInt(held.id),
            slug=held.slug,
            user_id=safe_int(held.user_id),
            username=held.username,
            message=held.text,
            reply_to=safe_int(held.reply_to),
            rule=held.rule,
            held_at=held.held_at,
            expires_at=held.expires_at,
            cursor=encode_cursor(HELD, held.id),
        )


@strawberry.type
class AuditVerification:
    """What a check of a part of a chain came to."""

    whole: bool
    checked: int
    unchained: int
    broken_action_id: SafeInt | None
    problem: str | None
    last_action_id: SafeInt | None
    last_digest: str | None
    cursor: str | None

    @classmethod
    def of(cls, found: domain_audit.Verification) -> Self:
        """As the contract shows it; the cursor is there where there may be more to check."""
        return cls(
            whole=found.broken_id is None,
            checked=found.checked,
            unchained=found.unchained,
            broken_action_id=safe_int(found.broken_id),
            problem=found.problem,
            last_action_id=safe_int(found.last_id),
            last_digest=found.last_digest,
            cursor=encode_cursor(AUDIT, found.last_id) if found.more and found.last_id else None,
        )


@strawberry.type
class Undone:
    """What an undo came to."""

    action_id: SafeInt
    undoes: SafeInt
    not_undone: list[str]

    @classmethod
    def of(cls, undone: domain_audit.Undone) -> Self:
        """As the contract shows it."""
        return cls(
            action_id=SafeInt(undone.action_id), undoes=SafeInt(undone.undoes), not_undone=list(undone.not_undone)
        )


@strawberry.type
class ErasedUser:
    """What erasing a user came to."""

    action_id: SafeInt
    purged: list[str]

    @classmethod
    def of(cls, erased: domain_erased_users.ErasedUser) -> Self:
        """As the contract shows it."""
        return cls(action_id=SafeInt(erased.action_id), purged=list(erased.purged))


@strawberry.type
class RevokedTokens:
    """What revoking tokens came to."""

    action_id: SafeInt
    before: datetime | None
    until: datetime

    @classmethod
    def of(cls, revoked: domain_tokens.RevokedTokens) -> Self:
        """As the contract shows it."""
        return cls(action_id=SafeInt(revoked.action_id), before=revoked.before, until=revoked.until)


@strawberry.type
class UndoneAll:
    """What undoing all of somebody's came to."""

    undone: list[SafeInt]
    not_undone: list[SafeInt]
    left: int
    cursor: str | None

    @classmethod
    def of(cls, found: domain_audit.UndoneAll) -> Self:
        """As the contract shows it; the cursor is there where some are left."""
        return cls(
            undone=[SafeInt(action_id) for action_id in found.undone],
            not_undone=[SafeInt(action_id) for action_id in found.not_undone],
            left=found.left,
            cursor=None if found.last_id is None else encode_cursor(AUDIT, found.last_id),
        )


def safe_int(number: int | None) -> SafeInt | None:
    """An id, or null where there is none."""
    return None if number is None else SafeInt(number)


@strawberry.type
class Invitation:
    """Who may enter a private room."""

    slug: str
    user_id: SafeInt
    invited_by: SafeInt
    created_at: datetime

    @classmethod
    def of(cls, invitation: domain.Invitation) -> Self:
        """As the contract shows an invitation."""
        return cls(
            slug=invitation.slug,
            user_id=SafeInt(invitation.user_id),
            invited_by=SafeInt(invitation.invited_by),
            created_at=invitation.created_at,
        )


@strawberry.type
class Emote:
    """What a room shows in place of `:name:`."""

    name: str
    url: str
    alt: str
    slug: str | None

    @classmethod
    def of(cls, emote: domain_emotes.Emote) -> Self:
        """As the contract shows an emote; slug null: of every room."""
        return cls(name=emote.name, url=emote.url, alt=emote.alt, slug=emote.slug or None)


@strawberry.type
class RoomRoleHolder:
    """Who has a role in a room."""

    user_id: SafeInt
    role: domain_roles.RoomRole
    given_by: SafeInt
    given_at: datetime
    cursor: str

    @classmethod
    def of(cls, holder: domain_roles.RoleHolder) -> Self:
        """As the contract shows one."""
        return cls(
            user_id=SafeInt(holder.user_id),
            role=holder.role,
            given_by=SafeInt(holder.given_by),
            given_at=holder.given_at,
            cursor=encode_cursor(ROLES, holder.user_id),
        )


@strawberry.type
class Video:
    """A video of the service's own catalogue."""

    id: SafeInt
    title: str
    created_at: datetime

    @classmethod
    def of(cls, video: domain.Video) -> Self:
        """As the contract shows a video."""
        return cls(id=SafeInt(video.id), title=video.title, created_at=video.created_at)


def selected_names(selections: Iterable[Selection]) -> set[str]:
    """The names of the fields that are asked of an answer's elements, directly or through fragments."""
    found = set()
    for selection in selections:
        for inner in selection.selections:
            found |= {inner.name} if isinstance(inner, SelectedField) else selected_names([inner])
    return found


def _asks_for(name: str, selections: Iterable[Selection]) -> bool:
    """Whether a field's answer includes a field of this name."""
    return name in selected_names(selections)

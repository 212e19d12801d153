"""The queries and mutations of the contract. Each field is one use case, which decides who sees and may do what."""

from datetime import datetime

import strawberry
from strawberry.types import Info

from rooms.api.graphql.arguments import (
    LIST_DEFAULT,
    NOTE_LIMIT,
    check_id,
    check_line,
    check_paragraph,
    check_reason,
    check_search,
    check_statement,
    check_word,
    clamp_first,
    decode_cursor,
)
from rooms.api.graphql.case_types import REPORTS, UNBAN_REQUESTS, Note, Report, UnbanRequest, UserCase
from rooms.api.graphql.request import Request
from rooms.api.graphql.types import (
    AUDIT,
    HELD,
    ROLES,
    ROOMS,
    RULE_HITS,
    RULES,
    SANCTIONS,
    AuditEntry,
    AuditVerification,
    ChatRoom,
    Emote,
    ErasedUser,
    HeldMessage,
    Invitation,
    RevokedTokens,
    RoomRoleHolder,
    Rule,
    RuleHit,
    RuleInput,
    RuleTest,
    SafeInt,
    Sanction,
    Undone,
    UndoneAll,
    Video,
    selected_names,
)
from rooms.domain import naming
from rooms.domain.audit import ACTIONS, AuditQuery
from rooms.domain.blocks import BLOCKS_PER_USER
from rooms.domain.emotes import EMOTES_PER_SLUG, EVERYWHERE
from rooms.domain.people import Life, RoomId, Slug, UserId
from rooms.domain.reports import ReportResolution, ReportState
from rooms.domain.roles import RoomRole
from rooms.domain.rooms import UNCHANGED, RoomSettings, SettingsChange
from rooms.domain.rules import KeptRule
from rooms.domain.sanctions import Target
from rooms.domain.unban_requests import UnbanDecision, UnbanRequestState
from rooms.errors import InvalidInput
from rooms.usecases import (
    audit,
    blocks,
    cases,
    emotes,
    erase_user,
    manage,
    queries,
    reports,
    roles,
    tokens,
    unban_requests,
)


@strawberry.type
class Query:
    """What anyone may ask; each field decides who sees what."""

    @strawberry.field
    async def chat_rooms(
        self,
        info: Info[Request, None],
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
        search: str | None = strawberry.UNSET,
    ) -> list[ChatRoom]:
        """Rooms with someone in them that the viewer may enter. Raises InvalidInput."""
        life = decode_cursor(ROOMS, after or None)
        rooms = await queries.list_rooms(
            info.context.ports,
            info.context.viewer,
            first=clamp_first(first),
            after=None if life is None else Life(life),
            search=check_search(search) if search else None,
        )
        info.context.count_elements(len(rooms))
        return [ChatRoom.of(room) for room in rooms]

    @strawberry.field
    async def chat_room(
        self,
        info: Info[Request, None],
        id: SafeInt | None = strawberry.UNSET,
        slug: str | None = strawberry.UNSET,
    ) -> ChatRoom | None:
        """A room by id or slug; null where there is none that the viewer may see. Raises InvalidInput."""
        room_id = RoomId(id) if isinstance(id, int) else None
        wanted = slug if isinstance(slug, str) else None
        room = await queries.get_room(info.context.ports, info.context.viewer, room_id=room_id, slug=wanted)
        return None if room is None else ChatRoom.of(room)

    @strawberry.field
    async def sanctions(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        active: bool | None = True,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[Sanction]:
        """The history, newest first, for moderators; `active: false` shows those that are over as well.
        Raises NotSignedIn, NotPermitted, InvalidInput, ModerationUnavailable."""
        ports = info.context.ports
        found = await queries.list_sanctions(
            ports,
            info.context.viewer,
            slug=_slug(slug),
            active=bool(active),
            first=clamp_first(first),
            before_id=decode_cursor(SANCTIONS, after or None),
        )
        info.context.count_elements(len(found))
        now = ports.clock()
        return [Sanction.of(sanction, now=now) for sanction in found]

    @strawberry.field
    async def audit_log(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        actor: SafeInt | None = strawberry.UNSET,
        target: SafeInt | None = strawberry.UNSET,
        target_username: str | None = strawberry.UNSET,
        action: str | None = strawberry.UNSET,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[AuditEntry]:
        """What was done, newest first: of a slug for moderators, all of it for admins. Raises NotSignedIn,
        NotPermitted, InvalidInput, ModerationUnavailable."""
        query = AuditQuery(
            slug=_slug(slug),
            actor_user_id=UserId(check_id("actor", actor)) if isinstance(actor, int) else None,
            target_user_id=UserId(check_id("target", target)) if isinstance(target, int) else None,
            target_username=check_line("targetUsername", target_username) if isinstance(target_username, str) else None,
            action=check_word("action", action, ACTIONS) if isinstance(action, str) else None,
        )
        found = await audit.list_audit(
            info.context.ports,
            info.context.viewer,
            query,
            first=clamp_first(first),
            before_id=decode_cursor(AUDIT, after or None),
        )
        info.context.count_elements(len(found))
        return [AuditEntry.of(entry) for entry in found]

    @strawberry.field
    async def verify_audit(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        after: str | None = strawberry.UNSET,
    ) -> AuditVerification:
        """Whether the chain of a slug is whole, null: that of what holds everywhere; a part of it each time, which
        goes on from `after`. Raises NotSignedIn, NotPermitted, InvalidInput, ModerationUnavailable."""
        found = await audit.verify_audit(
            info.context.ports,
            info.context.viewer,
            _slug(slug),
            after_id=decode_cursor(AUDIT, after or None),
        )
        return AuditVerification.of(found)

    @strawberry.field
    async def emotes(self, info: Info[Request, None], slug: str | None = strawberry.UNSET) -> list[Emote]:
        """What `:name:` shows in a room: its own emotes, and those of everywhere whose names it does not have. Without
        slug those of everywhere. Raises InvalidInput."""
        info.context.count_elements(2 * EMOTES_PER_SLUG)  # before they are read; what they do not take is given back
        found = await emotes.list_emotes(info.context.ports, info.context.viewer, _emotes_of(slug))
        info.context.count_elements(len(found) - 2 * EMOTES_PER_SLUG)
        return [Emote.of(emote) for emote in found]

    @strawberry.field
    async def blocked(self, info: Info[Request, None]) -> list[SafeInt]:
        """Whom the viewer has blocked, the last one first. Raises NotSignedIn."""
        info.context.count_elements(BLOCKS_PER_USER)
        found = await blocks.list_blocked(info.context.ports, info.context.viewer)
        info.context.count_elements(len(found) - BLOCKS_PER_USER)
        return [SafeInt(user_id) for user_id in found]

    @strawberry.field
    async def rules(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[Rule]:
        """The rules of a room, or without slug those for everywhere, the oldest first. Raises NotSignedIn,
        NotPermitted, InvalidInput, ModerationUnavailable."""
        found = await queries.list_rules(
            info.context.ports,
            info.context.viewer,
            slug=_slug(slug),
            first=clamp_first(first),
            after=decode_cursor(RULES, after or None),
        )
        names = selected_names(info.selected_fields)
        for name, of_one in (("patterns", _patterns), ("allow", _allowed)):
            if name in names:
                info.context.count_elements(sum(map(of_one, found)))
        info.context.count_elements(len(found))
        return [Rule.of(kept) for kept in found]

    @strawberry.field
    async def rule_hits(
        self,
        info: Info[Request, None],
        rule_id: SafeInt,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
        slug: str | None = strawberry.UNSET,
    ) -> list[RuleHit]:
        """The last messages that a rule hit, newest first; with the slug of its room as its owner too. Raises
        NotSignedIn, NotPermitted, RuleNotFound, InvalidInput, ModerationUnavailable."""
        found = await queries.list_rule_hits(
            info.context.ports,
            info.context.viewer,
            rule_id,
            slug=_slug(slug),
            first=clamp_first(first),
            before_id=decode_cursor(RULE_HITS, after or None),
        )
        info.context.count_elements(len(found))
        return [RuleHit.of(hit) for hit in found]

    @strawberry.field
    async def held_messages(
        self,
        info: Info[Request, None],
        slug: str,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[HeldMessage]:
        """The messages of a room that wait for a moderator, newest first. Raises NotSignedIn, NotPermitted,
        InvalidInput, ModerationUnavailable."""
        found = await queries.list_held(
            info.context.ports,
            info.context.viewer,
            naming.check_slug(slug),
            first=clamp_first(first),
            before_id=decode_cursor(HELD, after or None),
        )
        info.context.count_elements(len(found))
        return [HeldMessage.of(held) for held in found]

    @strawberry.field
    async def test_rule(self, info: Info[Request, None], text: str, slug: str | None = strawberry.UNSET) -> RuleTest:
        """What would become of a text in a room, by its rules and those for everywhere. Raises NotSignedIn,
        NotPermitted, InvalidInput, ModerationUnavailable."""
        context = info.context
        tried = check_paragraph("text", text)
        return RuleTest.of(await queries.try_text(context.ports, context.viewer, slug=_slug(slug), text=tried))

    @strawberry.field
    async def room_roles(
        self,
        info: Info[Request, None],
        slug: str,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[RoomRoleHolder]:
        """Who has a role in a room, by user id, for its moderators. Raises NotSignedIn, NotPermitted, RoomNotFound,
        InvalidInput, ModerationUnavailable."""
        found = await roles.list_roles(
            info.context.ports,
            info.context.viewer,
            naming.check_slug(slug),
            first=clamp_first(first),
            after=decode_cursor(ROLES, after or None),
        )
        info.context.count_elements(len(found))
        return [RoomRoleHolder.of(holder) for holder in found]

    @strawberry.field
    async def reports(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        state: ReportState | None = ReportState.OPEN,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[Report]:
        """What viewers reported, newest first: of a room for its moderators, without slug everywhere for admins; in a
        state, null: in any. What is about the viewer is left out. Raises NotSignedIn, NotPermitted, InvalidInput,
        ModerationUnavailable."""
        found = await reports.list_reports(
            info.context.ports,
            info.context.viewer,
            slug=_slug(slug),
            state=state,
            first=clamp_first(first),
            before_id=decode_cursor(REPORTS, after or None),
        )
        info.context.count_elements(len(found))
        return [Report.of(report) for report in found]

    @strawberry.field
    async def unban_requests(
        self,
        info: Info[Request, None],
        slug: str | None = strawberry.UNSET,
        state: UnbanRequestState | None = UnbanRequestState.OPEN,
        mine: bool | None = False,
        first: int | None = LIST_DEFAULT,
        after: str | None = strawberry.UNSET,
    ) -> list[UnbanRequest]:
        """What banned users ask, newest first: of a room for its moderators, without slug everywhere for admins, and
        `mine` for whoever asked; in a state, null: in any. Raises NotSignedIn, NotPermitted, InvalidInput,
        ModerationUnavailable."""
        found = await unban_requests.list_unban_requests(
            info.context.ports,
            info.context.viewer,
            slug=_slug(slug),
            state=state,
            mine=bool(mine),
            first=clamp_first(first),
            before_id=decode_cursor(UNBAN_REQUESTS, after or None),
        )
        info.context.count_elements(len(found))
        return [UnbanRequest.of(request) for request in found]

    @strawberry.field
    async def user_case(
        self,
        info: Info[Request, None],
        slug: str,
        user_id: SafeInt | None = strawberry.UNSET,
        username: str | None = strawberry.UNSET,
    ) -> UserCase:
        """What moderators of a room know of a user, or of somebody anonymous by name. Raises NotSignedIn, NotPermitted,
        InvalidInput, ModerationUnavailable."""
        context = info.context
        where, target = naming.check_slug(slug), _target(user_id, username)
        found = await cases.get_case(context.ports, context.viewer, where, target)
        case = UserCase.of(found, now=context.ports.clock())
        context.count_elements(case.elements)
        return case


@strawberry.type
class Mutation:
    """What signed-in users may do."""

    @strawberry.mutation
    async def create_chat_room(
        self,
        info: Info[Request, None],
        name: str,
        slug: str | None = strawberry.UNSET,
        description: str | None = strawberry.UNSET,
        is_public: bool | None = True,
        allow_anonymous: bool | None = True,
    ) -> ChatRoom:
        """Make a room; null stands for the default. Raises NotSignedIn, InvalidInput, SlugTaken."""
        settings = RoomSettings(
            name=check_line("name", name),
            description=check_paragraph("description", description) if isinstance(description, str) else None,
            is_public=is_public is not False,
            allow_anonymous=allow_anonymous is not False,
        )
        wanted = slug if isinstance(slug, str) else None
        room = await manage.create_room(info.context.ports, info.context.viewer, settings, slug=wanted)
        return ChatRoom.of(room)

    @strawberry.mutation
    async def update_chat_room(
        self,
        info: Info[Request, None],
        id: SafeInt,
        name: str | None = strawberry.UNSET,
        description: str | None = strawberry.UNSET,
        is_public: bool | None = strawberry.UNSET,
        allow_anonymous: bool | None = strawberry.UNSET,
    ) -> ChatRoom:
        """Change what is named; a description of null is removed, any other null changes nothing.
        Raises NotSignedIn, NotPermitted, RoomNotFound, InvalidInput."""
        change = SettingsChange(
            name=check_line("name", name) if isinstance(name, str) else None,
            description=UNCHANGED if description is strawberry.UNSET else description,
            is_public=is_public if isinstance(is_public, bool) else None,
            allow_anonymous=allow_anonymous if isinstance(allow_anonymous, bool) else None,
        )
        if isinstance(change.description, str):
            check_paragraph("description", change.description)
        room = await manage.update_room(info.context.ports, info.context.viewer, RoomId(id), change)
        return ChatRoom.of(room)

    @strawberry.mutation
    async def delete_chat_room(self, info: Info[Request, None], id: SafeInt) -> bool:
        """End a room and forget its settings. Raises NotSignedIn, NotPermitted, RoomNotFound."""
        return await manage.delete_room(info.context.ports, info.context.viewer, RoomId(id))

    @strawberry.mutation
    async def invite_to_chat_room(self, info: Info[Request, None], slug: str, user_id: SafeInt) -> Invitation:
        """Let a user in. Raises NotSignedIn, NotPermitted, RoomNotFound, InvalidInput."""
        context = info.context
        invitation = await manage.invite(context.ports, context.viewer, naming.check_slug(slug), UserId(user_id))
        return Invitation.of(invitation)

    @strawberry.mutation
    async def revoke_invitation(self, info: Info[Request, None], slug: str, user_id: SafeInt) -> bool:
        """Take an invitation back; false where there was none. Raises NotSignedIn, NotPermitted, RoomNotFound."""
        return await manage.revoke(info.context.ports, info.context.viewer, naming.check_slug(slug), UserId(user_id))

    @strawberry.mutation
    async def set_room_role(
        self, info: Info[Request, None], slug: str, user_id: SafeInt, role: RoomRole | None = strawberry.UNSET
    ) -> RoomRoleHolder | None:
        """Give somebody a role in a room; null takes theirs back. Raises NotSignedIn, NotPermitted, RoomNotFound,
        InvalidInput, TooManyRoles, ModerationUnavailable."""
        context = info.context
        wanted = naming.check_slug(slug)
        holder = await roles.set_role(context.ports, context.viewer, wanted, UserId(user_id), role or None)
        return None if holder is None else RoomRoleHolder.of(holder)

    @strawberry.mutation
    async def register_video(self, info: Info[Request, None], id: SafeInt, title: str) -> Video:
        """Put a video into the catalogue. Raises NotSignedIn, NotPermitted, InvalidInput."""
        context = info.context
        return Video.of(await manage.register_video(context.ports, context.viewer, id, check_line("title", title)))

    @strawberry.mutation
    async def lift_sanction(self, info: Info[Request, None], id: SafeInt) -> Sanction:
        """End a sanction, as who could have imposed it. Raises NotSignedIn, NotPermitted, SanctionNotFound,
        ModerationUnavailable."""
        ports = info.context.ports
        lifted = await manage.lift_sanction(ports, info.context.viewer, id)
        return Sanction.of(lifted, now=ports.clock())

    @strawberry.mutation
    async def undo_action(self, info: Info[Request, None], id: SafeInt, slug: str | None = strawberry.UNSET) -> Undone:
        """Undo an action, and have the room told that lives there: of a slug by the rank there, without one admins
        alone. Raises NotSignedIn, NotPermitted, InvalidInput, ActionNotFound, CannotUndo, AlreadyUndone, NothingToUndo,
        TooManyRoles, ModerationUnavailable."""
        return Undone.of(await audit.undo_action(info.context.ports, info.context.viewer, id, _slug(slug)))

    @strawberry.mutation
    async def undo_all(
        self,
        info: Info[Request, None],
        actor_id: SafeInt,
        since: datetime,
        after: str | None = strawberry.UNSET,
    ) -> UndoneAll:
        """Undo what somebody did since then, the newest first, a part at a time. Raises NotSignedIn, NotPermitted,
        InvalidInput, ModerationUnavailable."""
        found = await audit.undo_all(
            info.context.ports,
            info.context.viewer,
            UserId(check_id("actorId", actor_id)),
            since_ms=max(0, int(since.timestamp() * 1000)),
            before_id=decode_cursor(AUDIT, after or None),
        )
        return UndoneAll.of(found)

    @strawberry.mutation
    async def resolve_report(
        self,
        info: Info[Request, None],
        id: SafeInt,
        resolution: ReportResolution,
        reason: str | None = strawberry.UNSET,
    ) -> Report:
        """Decide about a report; the first decision holds. Raises NotSignedIn, NotPermitted, InvalidInput,
        ReportNotFound, AlreadyDecided, ModerationUnavailable."""
        why = check_reason("reason", reason)
        context = info.context
        return Report.of(await reports.resolve_report(context.ports, context.viewer, id, resolution, why))

    @strawberry.mutation
    async def request_unban(self, info: Info[Request, None], sanction_id: SafeInt, text: str) -> UnbanRequest:
        """Ask to lift a ban of one's own; one open request a ban, again 24 hours after one was denied. Raises
        NotSignedIn, InvalidInput, SanctionNotFound, AlreadyRequested, RequestedTooSoon, ModerationUnavailable."""
        asked, context = check_statement("text", text), info.context
        return UnbanRequest.of(await unban_requests.request_unban(context.ports, context.viewer, sanction_id, asked))

    @strawberry.mutation
    async def decide_unban_request(
        self,
        info: Info[Request, None],
        id: SafeInt,
        decision: UnbanDecision,
        note: str | None = strawberry.UNSET,
    ) -> UnbanRequest:
        """Lift the ban that a request is about, or not; the first decision holds. Raises NotSignedIn, NotPermitted,
        InvalidInput, UnbanRequestNotFound, AlreadyDecided, ModerationUnavailable."""
        said, context = check_reason("note", note), info.context
        return UnbanRequest.of(
            await unban_requests.decide_unban_request(context.ports, context.viewer, id, decision, said)
        )

    @strawberry.mutation
    async def revoke_tokens(
        self,
        info: Info[Request, None],
        user_id: SafeInt,
        before: datetime | None = strawberry.UNSET,
        reason: str | None = strawberry.UNSET,
    ) -> RevokedTokens:
        """Refuse the tokens that a user was issued before then, or until now, and close their connections. Raises
        NotSignedIn, NotPermitted, InvalidInput, TooManyRevocations, ModerationUnavailable."""
        context = info.context
        revoked = await tokens.revoke_tokens(
            context.ports,
            context.viewer,
            UserId(check_id("userId", user_id)),
            before=before if isinstance(before, datetime) else None,
            reason=check_reason("reason", reason),
        )
        return RevokedTokens.of(revoked)

    @strawberry.mutation
    async def erase_user(
        self, info: Info[Request, None], user_id: SafeInt, reason: str | None = strawberry.UNSET
    ) -> ErasedUser:
        """Erase what is kept of a user but their number, and take back their messages in rooms that live. Raises
        NotSignedIn, NotPermitted, InvalidInput, ModerationUnavailable."""
        context, why = info.context, check_reason("reason", reason)
        target = UserId(check_id("userId", user_id))
        return ErasedUser.of(await erase_user.erase_user(context.ports, context.viewer, target, reason=why))

    @strawberry.mutation
    async def revoke_token(
        self, info: Info[Request, None], jti: str, reason: str | None = strawberry.UNSET
    ) -> RevokedTokens:
        """Refuse one token, and close its connections. Raises NotSignedIn, NotPermitted, InvalidInput,
        TooManyRevocations, ModerationUnavailable."""
        context = info.context
        named, why = check_line("jti", jti), check_reason("reason", reason)
        return RevokedTokens.of(await tokens.revoke_token(context.ports, context.viewer, named, reason=why))

    @strawberry.mutation
    async def add_note(
        self,
        info: Info[Request, None],
        slug: str,
        text: str,
        user_id: SafeInt | None = strawberry.UNSET,
        username: str | None = strawberry.UNSET,
    ) -> Note:
        """Write of somebody, for the moderators of a room alone. Raises NotSignedIn, NotPermitted, TooManyNotes,
        InvalidInput, ModerationUnavailable."""
        written, context = check_statement("text", text, limit=NOTE_LIMIT), info.context
        where, target = naming.check_slug(slug), _target(user_id, username)
        return Note.of(await cases.add_note(context.ports, context.viewer, where, target, written))

    @strawberry.mutation
    async def delete_note(self, info: Info[Request, None], id: SafeInt) -> bool:
        """Delete one's own note, or that of a lower rank. Raises NotSignedIn, NotPermitted, NoteNotFound,
        ModerationUnavailable."""
        return await cases.delete_note(info.context.ports, info.context.viewer, id)

    @strawberry.mutation
    async def save_emote(
        self,
        info: Info[Request, None],
        name: str,
        url: str,
        alt: str | None = strawberry.UNSET,
        slug: str | None = strawberry.UNSET,
    ) -> Emote:
        """Keep an emote, in place of one of that name; without slug for every room. Raises NotSignedIn, NotPermitted,
        InvalidInput, TooManyEmotes."""
        context, text = info.context, check_line("alt", alt) if isinstance(alt, str) else None
        return Emote.of(await emotes.save_emote(context.ports, context.viewer, _emotes_of(slug), name, url, text))

    @strawberry.mutation
    async def delete_emote(self, info: Info[Request, None], name: str, slug: str | None = strawberry.UNSET) -> bool:
        """Take an emote away; false where there was none. Raises NotSignedIn, NotPermitted, InvalidInput."""
        return await emotes.delete_emote(info.context.ports, info.context.viewer, _emotes_of(slug), name)

    @strawberry.mutation
    async def block(self, info: Info[Request, None], user_id: SafeInt) -> bool:
        """Have clients hide what a user says; false where they were blocked. Raises NotSignedIn, InvalidInput,
        TooManyBlocks."""
        return await blocks.block(info.context.ports, info.context.viewer, UserId(user_id))

    @strawberry.mutation
    async def unblock(self, info: Info[Request, None], user_id: SafeInt) -> bool:
        """The opposite; false where they were not blocked. Raises NotSignedIn."""
        return await blocks.unblock(info.context.ports, info.context.viewer, UserId(user_id))

    @strawberry.mutation
    async def save_rule(
        self,
        info: Info[Request, None],
        rule: RuleInput,
        slug: str | None = strawberry.UNSET,
        everywhere: bool | None = False,
        id: SafeInt | None = strawberry.UNSET,
    ) -> Rule:
        """Make a rule of a room, or one for everywhere; or replace the one of that id as a whole, with the slug of its
        room as its owner too. Raises NotSignedIn, NotPermitted, RuleNotFound, InvalidInput, ModerationUnavailable."""
        context = info.context
        if (isinstance(slug, str) or isinstance(id, int)) + bool(everywhere) != 1:
            raise InvalidInput("Give slug, everywhere: true, or the id of a rule")
        if isinstance(id, int):
            saved = await manage.replace_rule(context.ports, context.viewer, id, rule.rule(), slug=_slug(slug))
        else:
            saved = await manage.make_rule(context.ports, context.viewer, _slug(slug), rule.rule())
        return Rule.of(saved)

    @strawberry.mutation
    async def delete_rule(self, info: Info[Request, None], id: SafeInt, slug: str | None = strawberry.UNSET) -> bool:
        """Delete a rule, and what is kept of what it hit; with the slug of its room as its owner too. Raises
        NotSignedIn, NotPermitted, RuleNotFound, InvalidInput, ModerationUnavailable."""
        return await manage.delete_rule(info.context.ports, info.context.viewer, id, slug=_slug(slug))


def _emotes_of(slug: str | None) -> Slug:
    """Without one: those of everywhere. Raises InvalidInput."""
    return naming.check_slug(slug) if isinstance(slug, str) else EVERYWHERE


def _target(user_id: SafeInt | None, username: str | None) -> Target:
    """Raises InvalidInput."""
    if isinstance(user_id, int) == isinstance(username, str):
        raise InvalidInput("Give userId, or the username of somebody anonymous")
    if isinstance(user_id, int):
        return Target(UserId(check_id("userId", user_id)), None)
    assert isinstance(username, str)
    return Target(None, check_line("username", username))


def _slug(slug: str | None) -> Slug | None:
    return naming.check_slug(slug) if isinstance(slug, str) else None


def _patterns(kept: KeptRule) -> int:
    return len(kept.rule.patterns)


def _allowed(kept: KeptRule) -> int:
    return len(kept.rule.allow)

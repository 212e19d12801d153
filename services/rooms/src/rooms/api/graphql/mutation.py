"""The mutations of the contract. The use cases decide who may do what."""

import strawberry
from strawberry.types import Info

from rooms.api.graphql.arguments import check_line, check_paragraph, check_slug
from rooms.api.graphql.request import Request
from rooms.api.graphql.scalars import SafeInt
from rooms.api.graphql.types import ChatRoom, Invitation, Sanction, Video
from rooms.domain.identity import RoomId, UserId
from rooms.domain.room import UNCHANGED, RoomSettings, SettingsChange
from rooms.usecases import manage, sanctions


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
        invitation = await manage.invite(context.ports, context.viewer, check_slug(slug), UserId(user_id))
        return Invitation.of(invitation)

    @strawberry.mutation
    async def revoke_invitation(self, info: Info[Request, None], slug: str, user_id: SafeInt) -> bool:
        """Take an invitation back; false where there was none. Raises NotSignedIn, NotPermitted, RoomNotFound."""
        return await manage.revoke(info.context.ports, info.context.viewer, check_slug(slug), UserId(user_id))

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
        lifted = await sanctions.lift_sanction(ports, info.context.viewer, id)
        return Sanction.of(lifted, now=ports.clock())

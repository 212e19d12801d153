"""The queries of the contract."""

import strawberry
from strawberry.types import Info

from rooms.api.graphql.arguments import LIST_DEFAULT, check_search, check_slug, clamp_first, read_slug
from rooms.api.graphql.cursor import decode_cursor
from rooms.api.graphql.request import Request
from rooms.api.graphql.scalars import SafeInt
from rooms.api.graphql.types import ROOMS, SANCTIONS, ChatRoom, Sanction
from rooms.domain.identity import Life, RoomId
from rooms.usecases import queries, sanctions as sanction_cases


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
        if room_id is None and wanted is not None and read_slug(wanted) is None:
            return None
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
        found = await sanction_cases.list_sanctions(
            ports,
            info.context.viewer,
            slug=check_slug(slug) if isinstance(slug, str) else None,
            active=bool(active),
            first=clamp_first(first),
            before_id=decode_cursor(SANCTIONS, after or None),
        )
        info.context.count_elements(len(found))
        now = ports.clock()
        return [Sanction.of(sanction, now=now) for sanction in found]

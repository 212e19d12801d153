"""Sanctions on this worker: actions of moderators go out, what was decided comes in and is obeyed."""

from collections import OrderedDict

from chassis.tasks import in_slices
from chassis.traces import begin_trace, hold_trace
from ws_edge.context import Context
from ws_edge.fanout.hub import Occupant
from ws_edge.fanout.room import Room
from ws_edge.joining import HeldRooms
from ws_edge.ports import ModerationRequest, ModerationUnavailable, RoomsUnavailable
from ws_edge.protocol import codec
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.effects import Moderate
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import Rank, Slug, Speaker
from ws_edge.protocol.sanction import Action, SanctionEvent, Scope

REMEMBERED_EVENTS = 1000
"""An event may come twice: from NATS, and as the answer to the action."""


class Moderation:
    """Carries out moderation_action frames, and obeys the events that follow from them."""

    __slots__ = ("_applied", "_context", "_rooms")

    def __init__(self, context: Context, rooms: HeldRooms) -> None:
        self._context = context
        self._rooms = rooms
        self._applied: OrderedDict[int, None] = OrderedDict()

    async def act(self, speaker: Speaker, slug: Slug, wish: Moderate) -> ErrorCode | None:
        """Have one action decided, under a trace of its own; None: done, everybody was told."""
        with hold_trace(begin_trace()):
            return await self._act(speaker, slug, wish)

    def obey(self, event: SanctionEvent) -> None:
        """Tell the rooms concerned, then close whom a ban holds, and end the typing of whom a mute holds. Once for
        each event, whichever way it comes first."""
        if event.event_id in self._applied:
            return
        self._applied[event.event_id] = None
        if len(self._applied) > REMEMBERED_EVENTS:
            self._applied.popitem(last=False)
        context = self._context
        context.recent_events.append((context.clock.now_s(), event))
        context.book.apply(event)
        reached = context.hub.within_reach(event)
        if not event.silent:
            self._tell(event, reached)
        for occupant in reached:
            self._enforce_on(occupant)

    async def refresh(self) -> None:
        """Read what holds everywhere and in every held room again, and obey those whose event was missed. Who comes
        while everybody is looked at is looked at by their own join."""
        try:
            await self._rooms.read_sanctions_everywhere()
            await self._rooms.read_sanctions(list(self._rooms.slugs))
        except ModerationUnavailable:
            return  # what was read before goes on to hold; joins end when it is 60 s old
        if self._context.book.by_id:
            await in_slices(self._context.hub, self._enforce_on)

    async def _act(self, speaker: Speaker, slug: Slug, wish: Moderate) -> ErrorCode | None:
        target_rank = await self._rank_of_target(slug, wish)
        request = ModerationRequest(
            speaker,
            wish.action,
            wish.target_user_id,
            wish.target_username,
            target_rank,
            wish.scope,
            slug,
            wish.duration_minutes,
            wish.reason,
        )
        try:
            event = await self._context.moderation.act(request)
        except ModerationUnavailable:
            return ErrorCode.UNAVAILABLE
        if event is None:
            return ErrorCode.NOT_MODERATOR
        self.obey(event)
        return None

    async def _rank_of_target(self, slug: Slug, wish: Moderate) -> Rank | None:
        where = slug if wish.scope is Scope.ROOM else None
        context = self._context
        here = context.hub.connected_rank(wish.target_user_id, wish.target_username, where)
        try:
            anywhere = await context.rooms.connected_rank(wish.target_user_id, wish.target_username, where)
        except RoomsUnavailable:
            anywhere = None  # moderation itself never lets a sanction bind an equal or higher rank
        return max((rank for rank in (here, anywhere) if rank is not None), default=None)

    def _tell(self, event: SanctionEvent, reached: list[Occupant]) -> None:
        rooms: dict[Room, None] = {}
        if event.slug is not None:
            rooms.update(dict.fromkeys(self._rooms.find_slug(event.slug)))
        if event.scope is Scope.EVERYWHERE:
            rooms.update((o.room, None) for o in reached if o.room is not None)
        frame = codec.moderation_action(
            event.action.word,
            event.target_user_id,
            event.target_username,
            event.moderator_user_id,
            event.duration_minutes,
            codec.rfc3339(event.at_ms),
        )
        for room in rooms:
            room.tell(frame)
            room.flush()

    def _enforce_on(self, occupant: Occupant) -> None:
        slug = occupant.slug
        if slug is None:
            return
        context = self._context
        now_s = context.clock.unix_s()
        if context.book.find(Action.BAN, occupant.speaker, slug, now_s=now_s):
            # Who is still joining has heard nothing of the room: they are turned away as at any later time.
            occupant.end(CloseCode.FORBIDDEN, None if occupant.room is not None else ErrorCode.ACCESS_DENIED)
        elif context.book.find(Action.MUTE, occupant.speaker, slug, now_s=now_s):
            occupant.stop_typing()

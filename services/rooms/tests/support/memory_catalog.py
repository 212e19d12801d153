"""The RoomCatalog port in memory, held to the same contract as the store (contract/test_catalog_port_contract.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rooms.domain.audit import RoomLog
from rooms.domain.people import Life, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import (
    Invitation,
    LifeEnded,
    Participant,
    Room,
    RoomSettings,
    SettingsChange,
    Video,
    check_quota,
    check_unchanged,
    may_make,
    may_manage,
)
from rooms.errors import SlugTaken


@dataclass
class MemoryCatalog:
    """Keeps every question that it was asked. Rooms live by their connection count, which a test sets."""

    rooms: dict[Slug, Room] = field(default_factory=dict)
    invitations: dict[tuple[Slug, UserId], Invitation] = field(default_factory=dict)
    videos: dict[int, Video] = field(default_factory=dict)
    people: dict[Life, list[Participant]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failure: Exception | None = None

    async def list_rooms(
        self, viewer: Viewer | None, *, first: int, after: Life | None, search: str | None
    ) -> list[Room]:
        self.asked.append(f"list_rooms first={first} search={search}")
        if self.failure:
            raise self.failure
        living = sorted((r for r in self.rooms.values() if r.connection_count), key=lambda r: -(r.life or 0))
        return [
            room
            for room in living
            if (after is None or (room.life or 0) < after)
            and (search is None or search in room.slug or search in room.settings.name)
            and self._may_enter(viewer, room)
        ][:first]

    async def find_room(self, *, room_id: RoomId | None = None, slug: Slug | None = None) -> Room | None:
        self.asked.append(f"find_room {room_id} {slug}")
        return next((r for r in self.rooms.values() if r.room_id == room_id or r.slug == slug), None)

    async def find_log(self, slug: Slug) -> RoomLog | None:
        self.asked.append(f"find_log {slug}")
        room = self.rooms.get(slug)
        return None if room is None or room.life is None else RoomLog(room.room_id, room.life, 0)

    async def list_participants(
        self, lives: Sequence[Life], *, first: int, after: int | None
    ) -> Mapping[Life, list[Participant]]:
        self.asked.append(f"list_participants {len(lives)}")
        return {life: [p for p in self.people.get(life, []) if p.id > (after or 0)][:first] for life in lives}

    async def count_people(self, lives: Sequence[Life]) -> Mapping[Life, int]:
        self.asked.append(f"count_people {len(lives)}")
        return {room.life: room.connection_count for room in self.rooms.values() if room.life and room.life in lives}

    async def create_room(
        self, slug: Slug, settings: RoomSettings, owner: UserId, *, may_revive: bool, quota: int, now: datetime
    ) -> Room:
        if not may_make(self.rooms.get(slug), owner, may_revive=may_revive):
            raise SlugTaken
        check_quota(sum(room.owner == owner for room in self.rooms.values() if room.slug != slug), quota)
        number = len(self.rooms) + 1
        room = Room(Life(number), RoomId(1_000_000_000 + number), slug, settings, owner, "live", now)
        self.rooms[slug] = room
        return room

    async def update_room(self, room: Room, change: SettingsChange, *, now: datetime) -> Room:
        before = self._same(room)
        self.rooms[room.slug] = replace(before, settings=change.apply(before.settings))
        return self.rooms[room.slug]

    async def delete_room(self, room: Room) -> LifeEnded | None:
        self._same(room)
        del self.rooms[room.slug]
        self.invitations = {key: one for key, one in self.invitations.items() if key[0] != room.slug}
        return None if room.life is None else LifeEnded(room.room_id, room.life, room.slug)

    async def is_invited(self, slug: Slug, user_id: UserId) -> bool:
        return (slug, user_id) in self.invitations

    async def invite(self, room: Room, invitation: Invitation) -> Invitation:
        self._same(room)
        return self.invitations.setdefault((invitation.slug, invitation.user_id), invitation)

    async def revoke(self, room: Room, user_id: UserId) -> bool:
        self._same(room)
        return self.invitations.pop((room.slug, user_id), None) is not None

    async def register_video(self, video: Video) -> Video:
        self.videos[video.id] = video
        return video

    def _same(self, room: Room) -> Room:
        return check_unchanged(room, self.rooms.get(room.slug))

    def _may_enter(self, viewer: Viewer | None, room: Room) -> bool:
        return room.settings.is_public or (
            viewer is not None and (may_manage(viewer, room) or (room.slug, viewer.user_id) in self.invitations)
        )

"""The Emotes and Blocks ports in memory, held to the same contract as the stores (contract/test_emotes_contract.py)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rooms.domain.blocks import check_block_quota
from rooms.domain.emotes import ChangedEmotes, Emote, check_emote_quota
from rooms.domain.people import Slug, UserId


@dataclass
class MemoryEmotes:
    """Who owns a room is not looked at again."""

    emotes: dict[tuple[Slug, str], Emote] = field(default_factory=dict)
    changes: dict[Slug, int] = field(default_factory=dict)
    version: int = 0

    async def of_slugs(self, slugs: Sequence[Slug]) -> list[list[Emote]]:
        return [[emote for key, emote in sorted(self.emotes.items()) if key[0] == slug] for slug in slugs]

    async def for_edges(self, slugs: Sequence[Slug], *, most: int) -> list[list[Emote] | None]:
        found: list[list[Emote] | None] = []
        for catalog in await self.of_slugs(slugs):
            size = sum(len(read) for read in found if read is not None)
            found.append(catalog if not size or size + len(catalog) <= most else None)
        return found

    async def changed(self, after: int | None) -> ChangedEmotes:
        slugs = sorted(self.changes, key=lambda slug: self.changes[slug])
        return ChangedEmotes(self.version, [s for s in slugs if after is not None and self.changes[s] > after])

    async def save(self, emote: Emote, *, owner: UserId | None, by: UserId, now: datetime) -> None:
        check_emote_quota(sum(key[0] == emote.slug and key[1] != emote.name for key in self.emotes))
        self.emotes[emote.slug, emote.name] = emote
        self._note(emote.slug)

    async def delete(self, slug: Slug, name: str, *, owner: UserId | None) -> bool:
        if (slug, name) not in self.emotes:
            return False
        self._note(slug)
        del self.emotes[slug, name]
        return True

    def _note(self, slug: Slug) -> None:
        self.version += 1
        self.changes[slug] = self.version


@dataclass
class MemoryBlocks:
    """In the order in which they were made."""

    blocks: dict[tuple[UserId, UserId], datetime] = field(default_factory=dict)

    async def of_user(self, user_id: UserId) -> list[UserId]:
        return (await self.for_edges([user_id]))[0]

    async def for_edges(self, user_ids: Sequence[UserId]) -> list[list[UserId]]:
        return [[blocked for who, blocked in reversed(self.blocks) if who == user_id] for user_id in user_ids]

    async def for_joins(self, user_ids: Collection[UserId], *, most: int) -> dict[UserId, list[UserId]]:
        found: dict[UserId, list[UserId]] = {}
        for user_id in sorted(user_ids):
            blocked = await self.of_user(user_id)
            if sum(map(len, found.values())) + len(blocked) > most:
                break
            found[user_id] = blocked
        return found

    async def block(self, user_id: UserId, blocked: UserId, *, now: datetime) -> bool:
        check_block_quota(sum(who == user_id and whom != blocked for who, whom in self.blocks))
        is_new = (user_id, blocked) not in self.blocks
        self.blocks.setdefault((user_id, blocked), now)
        return is_new

    async def unblock(self, user_id: UserId, blocked: UserId) -> bool:
        return self.blocks.pop((user_id, blocked), None) is not None

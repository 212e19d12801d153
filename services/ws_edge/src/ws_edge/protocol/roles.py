"""Who owns a room and who has a role in it, as an edge knows it: it tells moderation, and goes by it itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ws_edge.protocol.identity import VIP, Identity, Rank, Slug, UserId
from ws_edge.protocol.rooms import Membership


class RoomRole(Enum):
    """What somebody was made in a room, as it stands in frames."""

    MODERATOR = "moderator"
    VIP = VIP

    @property
    def rank(self) -> Rank:
        """What it ranks as."""
        return Rank.MODERATOR if self is RoomRole.MODERATOR else Rank.USER


@dataclass(frozen=True, slots=True)
class RoomRoles:
    """All roles of a slug."""

    version: int = 0
    """The highest of a slug holds; 0: nobody was ever given one."""
    owner: UserId | None = None
    """Whose room it was when they were given; None: nobody's. They hold as long as it is theirs."""
    by_user: Mapping[UserId, RoomRole] = field(default_factory=dict)
    of_nobody: Mapping[UserId, RoomRole] = field(default_factory=dict)
    """Where there is an owner: those that hold in a room that is nobody's."""

    def under(self, owner: UserId | None) -> Mapping[UserId, RoomRole]:
        """What holds in a room of that owner."""
        if owner == self.owner:
            return self.by_user
        return {} if owner is not None else self.of_nobody


NO_ROLES = RoomRoles()


class RoleCache:
    """Of each slug the roles with the highest version, whichever way they came first."""

    __slots__ = ("_by_slug",)

    def __init__(self) -> None:
        self._by_slug: dict[Slug, RoomRoles] = {}

    def __len__(self) -> int:
        return len(self._by_slug)

    def find(self, member: Membership, user_id: UserId | None) -> RoomRole | None:
        """What that user has in the room of a membership."""
        roles = self._by_slug.get(member.slug, NO_ROLES)
        return None if user_id is None else roles.under(member.owner).get(user_id)

    def rank(self, member: Membership, user_id: UserId | None) -> Rank | None:
        """What that user ranks as in the room of a membership, whoever they are elsewhere; None: nothing is said."""
        if user_id is not None and user_id == member.owner:
            return member.owner_rank
        role = self.find(member, user_id)
        return None if role is None else role.rank

    def identity(self, identity: Identity, member: Membership) -> Identity:
        """Somebody as they are in the room of their membership."""
        if identity.user_id is not None and identity.user_id == member.owner:
            return identity.in_room(member.owner_rank.role, member.owner_rank, member.owned_since_ms)
        role = self.find(member, identity.user_id)
        if role is None:
            return identity.in_room(None, None)
        return identity.in_room(role.value, role.rank, member.owned_since_ms)

    def apply(self, slug: Slug, roles: RoomRoles) -> set[UserId]:
        """They were heard or read; whose role is, or may be, another one since."""
        before = self._by_slug.get(slug, NO_ROLES)
        if roles.version <= before.version:
            return set()
        self._by_slug[slug] = roles
        users = before.by_user.keys() | roles.by_user.keys()
        if roles.owner != before.owner or roles.of_nobody != before.of_nobody:
            return users | before.of_nobody.keys() | roles.of_nobody.keys()
        return {user for user in users if before.by_user.get(user) is not roles.by_user.get(user)}

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._by_slug.pop(slug, None)

"""protocol/roles.py: whose a room is and who has a role in it, as an edge knows it."""

from ws_edge.protocol.identity import Identity, Life, Rank, RoomId, Slug, UserId
from ws_edge.protocol.roles import RoleCache, RoomRole, RoomRoles
from ws_edge.protocol.rooms import Membership

LIVE = Slug("live")
OWNER, BOB, CARL = UserId(9), UserId(5), UserId(4)
MODERATOR, VIP = RoomRole.MODERATOR, RoomRole.VIP


def member(owner: UserId | None = OWNER, owner_rank: Rank = Rank.OWNER, slug: Slug = LIVE) -> Membership:
    return Membership(RoomId(7), Life(1), slug, 1, 1, False, 0, owner, owner_rank)


def who(user_id: UserId | None) -> Identity:
    rank = Rank.ANONYMOUS if user_id is None else Rank.USER
    return Identity(user_id, "somebody", None, (), rank, None)


def test_who_made_the_room_is_its_owner_and_nobody_else() -> None:
    roles = RoleCache()
    assert roles.identity(who(OWNER), member()).rank is Rank.OWNER
    assert roles.identity(who(BOB), member()).rank is Rank.USER
    assert roles.identity(who(None), member(None)).rank is Rank.ANONYMOUS
    assert (roles.rank(member(), OWNER), roles.rank(member(), BOB), roles.rank(member(None), None)) == (
        Rank.OWNER,
        None,
        None,
    )


def test_without_owner_rights_an_owner_ranks_as_a_moderator() -> None:
    owner = RoleCache().identity(who(OWNER), member(owner_rank=Rank.MODERATOR))
    assert (owner.rank, owner.role, owner.roles_here) == (Rank.MODERATOR, "moderator", ("moderator",))


def test_roles_rank_by_slug_as_long_as_the_room_is_the_same_owners() -> None:
    roles = RoleCache()
    roles.apply(LIVE, RoomRoles(1, OWNER, {BOB: MODERATOR, CARL: VIP}))
    assert (roles.rank(member(), BOB), roles.rank(member(), CARL)) == (Rank.MODERATOR, Rank.USER)
    assert roles.identity(who(BOB), member()).role == "moderator"
    assert roles.identity(who(CARL), member()).role == "vip"
    for other in (member(CARL), member(None), member(slug=Slug("other"))):
        assert roles.find(other, BOB) is None
        assert roles.identity(who(BOB), other).role == "user"


def test_the_highest_version_holds_and_says_whose_role_has_changed() -> None:
    roles = RoleCache()
    assert roles.apply(LIVE, RoomRoles(2, OWNER, {BOB: MODERATOR, CARL: VIP})) == {BOB, CARL}
    assert roles.apply(LIVE, RoomRoles(1, OWNER, {})) == set()
    assert roles.apply(LIVE, RoomRoles(2, OWNER, {})) == set()
    assert roles.find(member(), BOB) is MODERATOR
    assert roles.apply(LIVE, RoomRoles(3, OWNER, {BOB: VIP, CARL: VIP})) == {BOB}
    assert roles.apply(LIVE, RoomRoles(4, OWNER, {CARL: VIP})) == {BOB}
    assert roles.apply(LIVE, RoomRoles(5, BOB, {CARL: VIP})) == {CARL}


def test_what_is_known_of_a_room_goes_with_its_last_member() -> None:
    roles = RoleCache()
    roles.apply(LIVE, RoomRoles(2, OWNER, {BOB: MODERATOR}))
    assert len(roles) == 1
    roles.forget(LIVE)
    roles.forget(LIVE)
    assert (len(roles), roles.find(member(), BOB)) == (0, None)


def test_what_holds_in_a_room_of_nobody_is_kept_beside_the_roles_of_an_owner() -> None:
    roles, aside = RoleCache(), {UserId(4): RoomRole.MODERATOR}
    assert roles.apply(LIVE, RoomRoles(1, None, aside)) == {UserId(4)}
    claimed = RoomRoles(2, UserId(8), {UserId(3): RoomRole.VIP}, aside)
    assert roles.apply(LIVE, claimed) == {UserId(3), UserId(4)}
    for owner, found in ((None, RoomRole.MODERATOR), (UserId(8), None), (UserId(9), None)):
        assert roles.find(member(owner), UserId(4)) is found
    assert roles.find(member(UserId(8)), UserId(3)) is RoomRole.VIP

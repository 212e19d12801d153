"""Ranks, whatever their numbers, and what a room makes of somebody."""

from datetime import UTC, datetime

import pytest

from rooms.api.grpc import convert
from rooms.bootstrap import policy_of
from rooms.config import load
from rooms.domain.membership import Membership
from rooms.domain.people import Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.roles import RoleHolder, RolePage, RoomRole, may_read_roles, may_set_roles, rank_in_room
from rooms.errors import MalformedRequest
from salon.rooms.v1 import rooms_pb2 as pb

ORDER = [Rank.ANONYMOUS, Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER]
ANA = Viewer(UserId(7), "ana", Rank.USER)


def test_superuser_admin_owner_moderator_user_anonymous_whatever_their_numbers() -> None:
    assert sorted(Rank) == ORDER
    assert [int(rank) for rank in ORDER] == [1, 2, 3, 6, 4, 5]
    for place, rank in enumerate(ORDER):
        for other_place, other in enumerate(ORDER):
            assert (rank < other, rank <= other) == (place < other_place, place <= other_place)
            assert (rank > other, rank >= other) == (place > other_place, place >= other_place)


@pytest.mark.parametrize(
    ("token", "owner", "role", "rank"),
    [
        (Rank.USER, None, None, Rank.USER),
        (Rank.USER, 7, None, Rank.OWNER),
        (Rank.USER, 8, None, Rank.USER),
        (Rank.USER, 8, RoomRole.MODERATOR, Rank.MODERATOR),
        (Rank.USER, 8, RoomRole.VIP, Rank.USER),
        (Rank.MODERATOR, 7, RoomRole.VIP, Rank.OWNER),
        (Rank.ADMIN, 7, RoomRole.MODERATOR, Rank.ADMIN),
    ],
)
def test_the_rank_in_a_room_is_the_higher_one_of_token_and_room(
    token: Rank, owner: int | None, role: RoomRole | None, rank: Rank
) -> None:
    viewer, owned_by = Viewer(UserId(7), "ana", token), None if owner is None else UserId(owner)
    assert rank_in_room(viewer, owned_by, role, owner_rank=Rank.OWNER) is rank


def test_rooms_owner_rights_0_an_owner_ranks_as_a_moderator() -> None:
    assert policy_of(load({})).owner_rank is Rank.OWNER
    policy = policy_of(load({"ROOMS_OWNER_RIGHTS": "0"}))
    assert rank_in_room(ANA, ANA.user_id, None, owner_rank=policy.owner_rank) is Rank.MODERATOR


def test_owner_and_admins_give_roles_and_moderators_read_them() -> None:
    assert [may_set_roles(rank) for rank in ORDER] == [False, False, False, True, True, True]
    assert [may_read_roles(rank) for rank in ORDER] == [False, False, True, True, True, True]


def test_roles_of_another_owners_room_are_over() -> None:
    held = [RoleHolder(UserId(5), RoomRole.VIP, UserId(7), datetime.fromtimestamp(0, UTC))]
    assert RolePage(UserId(7), held).under(UserId(7)) == held
    assert list(RolePage(UserId(7), held).under(None)) == []
    assert list(RolePage(None, held).under(UserId(7))) == []
    assert RolePage(UserId(7), [], held).under(None) == held
    assert list(RolePage(UserId(7), [], held).under(UserId(8))) == []


@pytest.mark.parametrize(
    ("told", "rank"),
    [(pb.RANK_USER, Rank.USER), (pb.RANK_ADMIN, Rank.ADMIN), (pb.RANK_OWNER, Rank.USER), (99, Rank.USER)],
)
def test_a_rank_that_no_token_has_and_one_of_a_later_version_count_as_a_users(told: int, rank: Rank) -> None:
    change = pb.RankChange(connection=1, rank=told)  # type: ignore[arg-type]
    assert convert.rank_from_proto(change) == (1, rank)


@pytest.mark.parametrize("told", [pb.RANK_UNSPECIFIED, pb.RANK_ANONYMOUS])
def test_who_is_signed_in_has_a_rank(told: pb.Rank.ValueType) -> None:
    with pytest.raises(MalformedRequest):
        convert.rank_from_proto(pb.RankChange(connection=1, rank=told))


def test_a_membership_says_whose_the_room_is_and_what_that_is_worth() -> None:
    membership = Membership(RoomId(1), Life(2), Slug("a"), 1, 1, False, 0, UserId(7))
    told = convert.outcome_to_proto(membership, Rank.MODERATOR, None)
    assert (told.owner_user_id, told.owner_rank) == (7, pb.RANK_MODERATOR)
    nobodys = convert.outcome_to_proto(Membership(RoomId(1), Life(2), Slug("a"), 1, 1, False, 0), Rank.OWNER, None)
    assert (nobodys.owner_user_id, nobodys.owner_rank) == (0, pb.RANK_UNSPECIFIED)


def test_who_joins_many_times_does_not_make_an_answer_too_long_by_whom_they_have_blocked() -> None:
    membership = Membership(RoomId(1), Life(2), Slug("a"), 1, 1, False, 0)
    user_ids = [*[UserId(7)] * 500, None, UserId(8)]
    blocked = {UserId(7): [UserId(2**53 - 1 - n) for n in range(1_000)], UserId(8): [UserId(1)]}
    answer = convert.joins_to_proto(user_ids, [membership] * len(user_ids), Rank.OWNER, blocked)
    told = [len(each.blocked.user_ids) if each.HasField("blocked") else None for each in answer.outcomes]
    assert told == [*[1_000] * 20, *[None] * 482]
    assert answer.ByteSize() < 256 * 1024


def test_a_connected_owner_is_a_moderator_to_an_edge_of_before() -> None:
    owner = convert.connected_to_proto(Rank.OWNER, owns=True)
    assert owner == pb.FindConnectedResponse(rank=pb.RANK_MODERATOR, owner=True)
    assert convert.connected_to_proto(None, owns=False) == pb.FindConnectedResponse()

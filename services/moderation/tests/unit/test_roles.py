"""Ranks and the roles of a room: their order, who gives them, and what they are worth to a message."""

from dataclasses import replace

import pytest

from moderation.api.grpc.convert import (
    encode_roles,
    holder_to_proto,
    moderator_from_proto,
    order_from_proto,
    receipt_to_proto,
    sanction_from_proto,
    sanction_to_proto,
    speaker_from_proto,
)
from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.commands import Receipt
from moderation.domain.erasures import Origin
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Speaker, Target, ranks_from
from moderation.domain.policy import Policy, ReadOnly, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_set_role
from moderation.domain.roles import MOST_HOLDERS, RoleCommand, RoleHolder, RoleOrder, RoomRole, RoomRoles, changed_roles
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.verdicts import ADMITTED, Decision
from moderation.errors import MalformedRequest, TooManyRoles
from salon.moderation.v1 import moderation_pb2 as pb

MODERATOR, VIP = RoomRole.MODERATOR, RoomRole.VIP
ORDER = [Rank.ANONYMOUS, Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER]


def command(
    rank: Rank = Rank.OWNER,
    *,
    by: int = 9,
    user_id: int = 5,
    target_rank: Rank | None = None,
    role: RoomRole | None = MODERATOR,
    owner: int = 9,
) -> RoleCommand:
    return RoleCommand(Moderator(by, rank), "live", Target(user_id, ""), target_rank, role, owner, "")


def test_superuser_admin_owner_moderator_user_anonymous_whatever_their_numbers() -> None:
    assert sorted(Rank) == ORDER
    for place, rank in enumerate(ORDER):
        for other_place, other in enumerate(ORDER):
            assert (rank < other, rank <= other) == (place < other_place, place <= other_place)
            assert (rank > other, rank >= other) == (place > other_place, place >= other_place)
            assert (int(rank) < other) == (place < other_place), "a number compares with a rank as a rank"


def test_the_numbers_of_what_is_stored_mean_what_they_meant() -> None:
    assert [int(rank) for rank in ORDER] == [1, 2, 3, 6, 4, 5]


def test_a_rank_of_a_later_version_counts_as_a_users() -> None:
    later = 7
    assert [later >= rank for rank in ORDER] == [True, True, False, False, False, False]
    assert moderator_from_proto(pb.Speaker(user_id=5, rank=later)).rank is Rank.USER  # type: ignore[arg-type]
    assert later not in ranks_from(Rank.MODERATOR)
    assert ranks_from(Rank.MODERATOR) == {3, 4, 5, 6}


@pytest.mark.parametrize("rank", Rank)
def test_owner_and_admins_give_roles(rank: Rank) -> None:
    assert may_set_role(command(rank)) == (rank >= Rank.OWNER)


@pytest.mark.parametrize("target_rank", Rank)
def test_nobody_gives_a_role_to_themselves_or_to_a_connected_equal_or_higher_rank(target_rank: Rank) -> None:
    assert may_set_role(command(target_rank=target_rank)) == (target_rank < Rank.OWNER)
    assert not may_set_role(command(user_id=9))
    assert not may_set_role(command(by=0))


def test_a_role_is_given_replaced_and_taken_back() -> None:
    first = changed_roles(None, command(), version=1, now_ms=10)
    assert first == RoomRoles("live", 1, 9, (RoleHolder(5, MODERATOR, 9, 10),))
    second = changed_roles(first, command(user_id=4, role=VIP), version=2, now_ms=20)
    assert [holder.user_id for holder in second.holders] == [4, 5]
    third = changed_roles(second, command(role=VIP), version=3, now_ms=30)
    assert third.of(5) == RoleHolder(5, VIP, 9, 30)
    fourth = changed_roles(third, command(role=None), version=4, now_ms=40)
    assert (fourth.of(5), len(fourth.holders)) == (None, 1)
    assert changed_roles(None, command(role=None), version=1, now_ms=10).holders == ()


def test_roles_of_the_former_owners_room_do_not_survive_a_change_of_owner() -> None:
    before = changed_roles(None, command(), version=1, now_ms=10)
    after = changed_roles(before, command(by=8, user_id=4, owner=8), version=2, now_ms=20)
    assert after == RoomRoles("live", 2, 8, (RoleHolder(4, MODERATOR, 8, 20),))


def test_what_was_given_while_nobody_owned_the_room_is_kept_aside_and_holds_again() -> None:
    general = changed_roles(None, command(by=1, owner=0), version=1, now_ms=10)
    claimed = changed_roles(general, command(by=8, user_id=4, owner=8), version=2, now_ms=20)
    assert (claimed.owner, [h.user_id for h in claimed.holders], claimed.of_nobody) == (8, [4], general.holders)
    assert (claimed.under(8), claimed.under(9), claimed.under(0)) == (claimed.holders, (), general.holders)
    other = changed_roles(claimed, command(by=9, user_id=3), version=3, now_ms=30)
    assert ([h.user_id for h in other.holders], other.of_nobody) == ([3], general.holders)
    again = changed_roles(other, command(by=1, user_id=6, owner=0), version=4, now_ms=40)
    assert ([h.user_id for h in again.holders], again.of_nobody) == ([5, 6], ())


def test_at_most_500_have_roles_in_a_room() -> None:
    full = RoomRoles("live", 1, 9, tuple(RoleHolder(user, VIP, 9, 0) for user in range(100, 100 + MOST_HOLDERS)))
    with pytest.raises(TooManyRoles):
        changed_roles(full, command(), version=2, now_ms=0)
    assert len(changed_roles(full, command(user_id=100), version=2, now_ms=0).holders) == MOST_HOLDERS
    assert len(changed_roles(full, command(user_id=100, role=None), version=2, now_ms=0).holders) == MOST_HOLDERS - 1


def judged(speaker: Speaker, policy: Policy) -> list[Decision]:
    """Of three messages at once."""
    policies = PolicyCache()
    policies.apply(RoomPolicy("live", 1, policy))
    admission = Admission(Limits(10, 10, 100), SanctionCache(), LastSeenBuffer(), policies)
    check = MessageCheck(speaker, "live", 1, "", text="hi")
    verdicts = [admission.judge_message(check, Now(0, 0)) for _ in range(3)]
    assert all(verdict == ADMITTED for verdict in verdicts if verdict.decision is Decision.ADMITTED), (
        "no place is taken"
    )
    return [verdict.decision for verdict in verdicts]


def test_vip_is_exempt_from_slow_mode_and_from_nothing_else_of_the_policy() -> None:
    vip = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1", vip=True)
    assert judged(vip, Policy(600)) == [Decision.ADMITTED] * 3
    assert judged(vip, Policy(read_only=ReadOnly.EVERYONE)) == [Decision.READ_ONLY] * 3


def test_the_owner_is_exempt_from_all_of_the_policy() -> None:
    owner = Speaker(5, "ana", "10.0.0.5", Rank.OWNER, "e:1")
    assert judged(owner, Policy(600, ReadOnly.EVERYONE)) == [Decision.ADMITTED] * 3


@pytest.mark.parametrize(("rank", "is_bound"), [(Rank.MODERATOR, True), (Rank.OWNER, False), (Rank.ADMIN, False)])
def test_an_owners_sanction_binds_whoever_ranks_below(rank: Rank, is_bound: bool) -> None:
    mute = Sanction(1, Action.MUTE, Target(5, ""), frozenset(), "live", "", 9, Rank.OWNER, 0, None)
    assert mute.binds(Speaker(5, "ana", "10.0.0.5", rank, "e:1"), "live", now_ms=0) is is_bound
    assert sanction_from_proto(sanction_to_proto(mute)) == mute


def test_an_owner_travels_in_words_that_a_replica_of_before_knows() -> None:
    owner = pb.Speaker(user_id=5, username="ana", rank=pb.RANK_MODERATOR, owner=True)
    assert speaker_from_proto(owner).rank is Rank.OWNER
    assert moderator_from_proto(owner) == Moderator(5, Rank.OWNER)
    admin = pb.Speaker(user_id=5, rank=pb.RANK_ADMIN, owner=True)
    assert moderator_from_proto(admin).rank is Rank.ADMIN
    assert speaker_from_proto(pb.Speaker(user_id=5, vip=True)) == Speaker(5, "", "", Rank.USER, "", vip=True)


def execute(**changes: object) -> pb.ExecuteRequest:
    fields = {"target_user_id": 5, "role": pb.ROOM_ROLE_VIP, "owner_user_id": 9} | changes
    return pb.ExecuteRequest(
        actor=pb.Speaker(user_id=9, rank=pb.RANK_MODERATOR, owner=True),
        slug="live",
        nonce="n",
        reason="thanks",
        set_room_role=pb.SetRoomRole(**fields),  # type: ignore[arg-type]
    )


def test_a_role_is_read_from_the_wire_and_its_receipt_says_who_has_it() -> None:
    wanted = replace(command(role=VIP), reason="thanks")
    order = order_from_proto(execute())
    assert order == RoleOrder(wanted, Origin("", 0, "n"))
    taken = order_from_proto(execute(role=0))
    assert isinstance(taken, RoleOrder)
    assert taken.command.role is None
    roles = RoomRoles("live", 3, 9, (RoleHolder(4, MODERATOR, 9, 1), RoleHolder(5, VIP, 9, 2)))
    answer = receipt_to_proto(Receipt(7, roles=roles), order)
    assert answer.role == pb.RoomRoleHolder(user_id=5, role=pb.ROOM_ROLE_VIP, given_by_user_id=9, given_at_ms=2)
    assert answer.role == holder_to_proto(roles.holders[1])
    assert not receipt_to_proto(Receipt(7, roles=RoomRoles("live", 4, 9, ())), order).HasField("role")
    assert pb.RoomRoles.FromString(encode_roles(roles)) == pb.RoomRoles(
        slug="live", version=3, owner_user_id=9, moderators=[4], vips=[5]
    )


@pytest.mark.parametrize(
    "changes",
    [{"target_user_id": 0}, {"target_user_id": -1}, {"target_user_id": 2**53}, {"owner_user_id": -1}, {"role": 9}],
)
def test_a_role_that_cannot_be_meant_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(execute(**changes))


def test_a_role_without_a_room_is_refused() -> None:
    request = execute()
    request.slug = ""
    with pytest.raises(MalformedRequest):
        order_from_proto(request)

"""Owners and roles of rooms, between the contracts and the words of the edge."""

import pytest

from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb
from salon.rooms.v1 import rooms_pb2
from ws_edge.adapters.grpc.convert import (
    act_to_proto,
    held_to_proto,
    in_force_from_proto,
    outcome_from_proto,
    request_to_proto,
    sanctions_from_proto,
    speaker_to_proto,
)
from ws_edge.adapters.nats.events import encode_message
from ws_edge.ports import CommandRequest, InForce
from ws_edge.protocol.commands import ChangeSanction, Target
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef
from ws_edge.protocol.roles import RoomRole, RoomRoles
from ws_edge.protocol.rooms import HeldConnection, Joined, Membership
from ws_edge.protocol.sanctions import Action

SLUG, LIFE = Slug("live"), Life(3)
ANA = Identity(UserId(5), "ana", None, ("user",), Rank.USER, None)
OWNER = ANA.in_room("owner", Rank.OWNER)
VIP = ANA.in_room("vip", Rank.USER)


def speaker(identity: Identity) -> Speaker:
    return Speaker(identity, "10.0.0.1", "e:1")


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (ANA, {"rank": pb.RANK_USER}),
        (VIP, {"rank": pb.RANK_USER, "vip": True}),
        (ANA.in_room("moderator", Rank.MODERATOR), {"rank": pb.RANK_MODERATOR}),
        (OWNER, {"rank": pb.RANK_MODERATOR, "owner": True}),
        (
            ANA.in_room("owner", Rank.OWNER, 9_000),
            {"rank": pb.RANK_MODERATOR, "owner": True, "owned_since_ms": 9_000},
        ),
        (ANA.in_room("moderator", Rank.MODERATOR, 9_000), {"rank": pb.RANK_MODERATOR, "owned_since_ms": 9_000}),
    ],
)
def test_who_speaks_is_told_with_the_rank_of_the_room_in_words_that_a_replica_of_before_knows(
    identity: Identity, told: dict[str, object]
) -> None:
    shown = pb.Speaker(user_id=5, username="ana", address="10.0.0.1", connection="e:1", **told)  # type: ignore[arg-type]
    assert speaker_to_proto(speaker(identity)) == shown


def test_the_rank_of_a_target_who_owns_the_room_is_a_moderators_to_a_service_of_before() -> None:
    mute = ChangeSanction(Action.MUTE, Target(UserId(5), None))
    log = LogRef(RoomId(1), LIFE, 2)
    request = CommandRequest(speaker(ANA), SLUG, log, mute, mute.target, Rank.OWNER, "", "n", "e", 4)
    assert request_to_proto(request).target_rank == pb.RANK_OWNER
    assert act_to_proto(request, mute).target_rank == pb.RANK_MODERATOR


@pytest.mark.parametrize(
    ("told", "owner", "owner_rank"),
    [
        ({}, None, Rank.OWNER),
        ({"owner_user_id": 5, "owner_rank": rooms_pb2.RANK_OWNER}, UserId(5), Rank.OWNER),
        ({"owner_user_id": 5, "owner_rank": rooms_pb2.RANK_MODERATOR}, UserId(5), Rank.MODERATOR),
        ({"owner_user_id": 5, "owner_rank": 99}, UserId(5), Rank.USER),
    ],
)
def test_a_membership_says_whose_the_room_is_and_what_that_is_worth(
    told: dict[str, object], owner: UserId | None, owner_rank: Rank
) -> None:
    outcome = rooms_pb2.JoinOutcome(
        result=rooms_pb2.JoinOutcome.RESULT_JOINED,
        room_id=1,
        life=3,
        slug="live",
        partition=2,
        owned_since_ms=9_000,
        **told,  # type: ignore[arg-type]
    )
    membership = Membership(RoomId(1), LIFE, SLUG, 0, 0, False, 2, owner, owner_rank, 9_000)
    assert outcome_from_proto(outcome) == Joined(membership, None)


def test_who_is_registered_again_has_a_rank_that_a_service_of_before_knows() -> None:
    held = held_to_proto(HeldConnection(ConnectionId(1), RoomId(1), LIFE, SLUG, OWNER))
    assert held.person.rank == rooms_pb2.RANK_MODERATOR


def test_roles_are_read_with_the_sanctions_of_a_room() -> None:
    told = pb.RoomRoles(slug="live", version=5, owner_user_id=9, moderators=[1, 2], vips=[3], moderators_of_nobody=[4])
    held = {UserId(1): RoomRole.MODERATOR, UserId(2): RoomRole.MODERATOR, UserId(3): RoomRole.VIP}
    assert in_force_from_proto(pb.ListActiveResponse(roles=[told])) == InForce(
        [], roles={SLUG: RoomRoles(5, UserId(9), held, {UserId(4): RoomRole.MODERATOR})}
    )
    nobodys = pb.ListActiveResponse(roles=[pb.RoomRoles(slug="live", version=5)])
    assert in_force_from_proto(nobodys).roles == {SLUG: RoomRoles(5, None, {})}


def test_an_owners_sanction_is_understood() -> None:
    told = pb.Sanction(id=1, action=pb.ACTION_BAN, scope=pb.SCOPE_ROOM, slug="live", moderator_rank=pb.RANK_OWNER)
    assert [one.moderator_rank for one in sanctions_from_proto([told])] == [Rank.OWNER]


@pytest.mark.parametrize(("identity", "role"), [(ANA, "user"), (VIP, "vip"), (OWNER, "owner")])
def test_a_message_says_what_its_author_is_in_the_room(identity: Identity, role: str) -> None:
    stored = encode_message(speaker(identity), "hello", edge="e", token=1, nonce="")
    assert events_pb2.LogEntry.FromString(stored).message.role == role

"""Requests of the contract to values of the domain. Raises BadRequest."""

from moderation.domain.order import Moderator, Order
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction import Action, Scope
from moderation.domain.sightings import LONGEST_NAME, LONGEST_SLUG
from moderation.ports import Asked
from salon.moderation.v1 import moderation_pb2 as pb

_LONGEST_DURATION_MINUTES = 525_600
_LONGEST_REASON = 500
_MOST_SLUGS = 1000
_MOST_TARGETS = 1000


class BadRequest(Exception):
    """The request cannot be meant; the text names the field."""

    def __init__(self, field: str) -> None:
        super().__init__(f"bad {field}")


def speaker_from(message: pb.Speaker) -> Speaker:
    """A speaker as the edge described them; without a rank the lowest that fits."""
    user_id = message.user_id
    rank = message.rank or (Rank.USER if user_id else Rank.ANONYMOUS)
    return Speaker(user_id, message.username, message.address, rank, message.connection)


def moderator_from(message: pb.Speaker) -> Moderator:
    """Who acts."""
    speaker = speaker_from(message)
    return Moderator(speaker.user_id, _rank(speaker.rank))


def order_from(message: pb.ActRequest) -> Order:
    """A moderation_action frame with who sent it."""
    if int(message.action) not in set(Action):
        raise BadRequest("action")
    if int(message.scope) not in set(Scope):
        raise BadRequest("scope")
    if message.scope == pb.SCOPE_ROOM and not message.slug:
        raise BadRequest("slug")
    if not 0 <= message.duration_minutes <= _LONGEST_DURATION_MINUTES:
        raise BadRequest("duration_minutes")
    return Order(
        moderator=moderator_from(message.moderator),
        action=Action(message.action),
        target=_target(message),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
        scope=Scope(message.scope),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        duration_minutes=message.duration_minutes,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
    )


def asked_from(message: pb.ListActiveRequest) -> Asked:
    """Which sanctions in force are asked for."""
    if len(message.slugs) > _MOST_SLUGS:
        raise BadRequest("slugs")
    if len(message.target_user_ids) + len(message.target_usernames) > _MOST_TARGETS:
        raise BadRequest("target_user_ids")
    users = (Target(user_id, "") for user_id in message.target_user_ids)
    names = (Target(0, _text(name, LONGEST_NAME, "target_usernames")) for name in message.target_usernames)
    return Asked(
        slugs=list(message.slugs),
        everywhere=not message.room_only,
        targets=[*users, *names],
        addresses=not message.without_addresses,
    )


def _target(message: pb.ActRequest) -> Target:
    if message.target_user_id < 0 or not (message.target_user_id or message.target_username):
        raise BadRequest("target_user_id")
    if message.target_user_id:
        return Target(message.target_user_id, "")
    return Target(0, _text(message.target_username, LONGEST_NAME, "target_username"))


def _rank(value: int) -> Rank:
    try:
        return Rank(value)
    except ValueError:
        raise BadRequest("rank") from None


def _text(raw: str, longest: int, field: str) -> str:
    """PostgreSQL cannot hold the character 0, and nobody can see it."""
    if len(raw) > longest:
        raise BadRequest(field)
    return raw.replace("\0", "\N{REPLACEMENT CHARACTER}")

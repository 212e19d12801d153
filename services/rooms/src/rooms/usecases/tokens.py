"""Revoking tokens, for admins."""

from datetime import datetime

from rooms.domain.people import Rank, UserId, Viewer
from rooms.domain.tokens import LONGEST_JTI, MOST_AHEAD, RevokedTokens
from rooms.errors import InvalidInput, NotPermitted
from rooms.ports import Ports
from rooms.usecases.queries import signed_in


async def revoke_tokens(
    ports: Ports, viewer: Viewer | None, user_id: UserId, *, before: datetime | None, reason: str
) -> RevokedTokens:
    """Revoke the tokens that a user was issued before then, None: until now. Raises NotSignedIn, NotPermitted,
    InvalidInput, TooManyRevocations, DatabaseUnavailable, ModerationUnavailable."""
    admin = admin_of(viewer)
    if before is not None and before > ports.clock() + MOST_AHEAD:
        raise InvalidInput("before must not be in the future")
    rank = await ports.memberships.connected_rank(user_id, "", None)
    return await ports.moderation.revoke_tokens(admin, user_id, rank, before=before, reason=reason)


async def revoke_token(ports: Ports, viewer: Viewer | None, jti: str, *, reason: str) -> RevokedTokens:
    """Revoke one token, whoever holds it. Raises NotSignedIn, NotPermitted, InvalidInput, TooManyRevocations,
    ModerationUnavailable."""
    admin = admin_of(viewer)
    if not 0 < len(jti) <= LONGEST_JTI:
        raise InvalidInput(f"jti has 1 to {LONGEST_JTI} characters")
    return await ports.moderation.revoke_token(admin, jti, reason=reason)


def admin_of(viewer: Viewer | None) -> Viewer:
    """The viewer, if they are an admin or above. Raises NotSignedIn, NotPermitted."""
    admin = signed_in(viewer)
    if admin.rank < Rank.ADMIN:
        raise NotPermitted
    return admin

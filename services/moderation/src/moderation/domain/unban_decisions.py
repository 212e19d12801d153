"""Who decides about an unban request, and what comes of it."""

from moderation.domain.rights import may_lift
from moderation.domain.sanctions import Sanction
from moderation.domain.unban_requests import DECISIONS, DecideCommand, UnbanRequest, may_read_requests
from moderation.errors import AlreadyDecided, NotPermitted, UnbanRequestNotFound


def decide_request(
    command: DecideCommand, request: UnbanRequest | None, sanction: Sanction | None, *, now_ms: int
) -> UnbanRequest:
    """The request once it is decided, by who could lift the ban; `sanction`: the ban. Raises NotPermitted,
    UnbanRequestNotFound, AlreadyDecided, also where the ban is over."""
    moderator = command.moderator
    is_here = request is not None and request.slug == command.slug and moderator.may_know(request.created_at_ms)
    if request is None or sanction is None or not is_here:
        if moderator.user_id == 0 or not may_read_requests(moderator.rank, command.slug):
            raise NotPermitted
        raise UnbanRequestNotFound
    if not may_lift(moderator, sanction):
        raise NotPermitted
    decided = request.after(DECISIONS[command.decision], now_ms=now_ms, by=moderator.user_id, note=command.note)
    if decided is request or not sanction.is_in_force(now_ms):
        raise AlreadyDecided(request.closed_by)
    return decided

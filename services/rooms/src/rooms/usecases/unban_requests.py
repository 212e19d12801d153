"""What banned users ask: who asks, who reads it, and who decides."""

from rooms.domain.people import LARGEST_ID, Rank, Slug, Viewer
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState
from rooms.errors import SanctionNotFound, UnbanRequestNotFound
from rooms.ports import Ports
from rooms.usecases.queries import ranked_in, signed_in, viewer_in


async def request_unban(ports: Ports, viewer: Viewer | None, sanction_id: int, text: str) -> UnbanRequest:
    """Ask to lift a ban that is aimed at the viewer. Raises NotSignedIn, InvalidInput, SanctionNotFound,
    AlreadyRequested, RequestedTooSoon, ModerationUnavailable."""
    asking = signed_in(viewer)
    if not 1 <= sanction_id <= LARGEST_ID:
        raise SanctionNotFound
    return await ports.moderation.request_unban(asking, sanction_id, text)


async def list_unban_requests(
    ports: Ports,
    viewer: Viewer | None,
    *,
    slug: Slug | None,
    state: UnbanRequestState | None,
    mine: bool,
    first: int,
    before_id: int | None,
) -> list[UnbanRequest]:
    """Newest first: of a room for its moderators, of every room and everywhere for admins; `mine`: the viewer's own.
    Raises NotSignedIn, NotPermitted, ModerationUnavailable."""
    reader = signed_in(viewer) if mine else await ranked_in(ports, viewer, slug)
    return await ports.moderation.list_unban_requests(
        reader, slug=slug, state=state, mine=mine, first=first, before_id=before_id
    )


async def decide_unban_request(
    ports: Ports, viewer: Viewer | None, request_id: int, decision: UnbanDecision, note: str
) -> UnbanRequest:
    """Decide about a request, as somebody ranks where its ban holds. Raises NotSignedIn, NotPermitted,
    UnbanRequestNotFound, AlreadyDecided, ModerationUnavailable."""
    asking = signed_in(viewer)
    if not 1 <= request_id <= LARGEST_ID:
        raise UnbanRequestNotFound
    slug = await ports.moderation.slug_of_unban_request(request_id)
    by = asking if slug is None else await viewer_in(ports, asking, slug)
    if by.rank < Rank.MODERATOR:  # it is not theirs to know that there is one
        raise UnbanRequestNotFound
    return await ports.moderation.decide_unban_request(by, slug, request_id, decision, note)

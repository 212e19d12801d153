"""What banned users ask, and what is decided about it."""

from functools import partial

from moderation.domain.commands import Receipt
from moderation.domain.people import Moderator, Speaker
from moderation.domain.sanctions import Sanction
from moderation.domain.unban_decisions import decide_request
from moderation.domain.unban_requests import (
    DecideOrder,
    RequestQuery,
    RequestState,
    UnbanOrder,
    UnbanRequest,
    demand_may_request,
    may_read_requests,
)
from moderation.errors import AlreadyRequested, NotPermitted, RequestedTooSoon, UnbanRequestNotFound
from moderation.ports import Ports
from moderation.usecases.queries import LARGEST_PAGE


async def request_unban(ports: Ports, order: UnbanOrder) -> Receipt:
    """Keep what a banned user asks. Raises SanctionNotFound, AlreadyRequested, RequestedTooSoon, DatabaseUnavailable;
    OutcomeUnknown where it may be kept."""
    now_ms = ports.clock().wall_ms
    demand = partial(demand_may_request, order.user_id, now_ms=now_ms)
    return await ports.store.request_unban(order, demand, now_ms=now_ms)


async def decide_unban_request(ports: Ports, order: DecideOrder) -> Receipt:
    """Approve or deny; the caller applies and publishes what that lifts. Raises NotPermitted, UnbanRequestNotFound,
    AlreadyDecided, DatabaseUnavailable; OutcomeUnknown where it may be decided."""
    now_ms = ports.clock().wall_ms
    decide = partial(decide_request, order.command, now_ms=now_ms)
    return await ports.store.decide_unban_request(order, decide, now_ms=now_ms)


async def find_ban(ports: Ports, speaker: Speaker, slug: str) -> tuple[Sanction | None, bool]:
    """A ban aimed at a user that binds them there, and whether they may ask to lift it; of several one that they may
    ask about. Raises DatabaseUnavailable."""
    if not speaker.user_id:
        return None, False
    now_ms = ports.clock().wall_ms
    found: Sanction | None = None
    for sanction, latest in await ports.store.bans_of(speaker.user_id, slug, now_ms=now_ms):
        if not sanction.binds(speaker, slug, now_ms=now_ms):
            continue
        found = found or sanction
        try:
            demand_may_request(speaker.user_id, sanction, latest, now_ms=now_ms)
        except (AlreadyRequested, RequestedTooSoon):
            continue
        return sanction, True
    return found, False


async def list_unban_requests(
    ports: Ports,
    reader: Moderator,
    slug: str | None,
    state: RequestState | None,
    *,
    mine: bool,
    first: int,
    before_id: int | None,
) -> list[UnbanRequest]:
    """A page, newest first, of 0 to LARGEST_PAGE whatever `first` says; slug None: of every slug and everywhere, state
    None: in any; `mine`: the reader's own. Raises NotPermitted, DatabaseUnavailable."""
    if reader.user_id == 0 or not (mine or may_read_requests(reader.rank, slug)):
        raise NotPermitted
    query = RequestQuery(slug, state, since_ms=reader.owned_since_ms)
    if mine:
        query = RequestQuery(slug, state, reader.user_id)
    return await ports.store.list_unban_requests(query, first=min(max(first, 0), LARGEST_PAGE), before_id=before_id)


async def slug_of_unban_request(ports: Ports, request_id: int) -> str | None:
    """Where its ban holds; None: everywhere. Raises UnbanRequestNotFound, DatabaseUnavailable."""
    request = await ports.store.find_unban_request(request_id)
    if request is None:
        raise UnbanRequestNotFound
    return request.slug

"""What viewers reported: who reads it, and who decides about it."""

from rooms.domain.people import LARGEST_ID, Rank, Slug, Viewer
from rooms.domain.reports import Report, ReportResolution, ReportState
from rooms.errors import ReportNotFound
from rooms.ports import Ports
from rooms.usecases.queries import ranked_in, signed_in, viewer_in


async def list_reports(
    ports: Ports,
    viewer: Viewer | None,
    *,
    slug: Slug | None,
    state: ReportState | None,
    first: int,
    before_id: int | None,
) -> list[Report]:
    """Newest first: of a room for its moderators, of every room for admins. Raises NotSignedIn, NotPermitted,
    ModerationUnavailable."""
    reader = await ranked_in(ports, viewer, slug)
    return await ports.moderation.list_reports(reader, slug=slug, state=state, first=first, before_id=before_id)


async def resolve_report(
    ports: Ports, viewer: Viewer | None, report_id: int, resolution: ReportResolution, reason: str
) -> Report:
    """Decide about a report, as somebody ranks in its room. Raises NotSignedIn, NotPermitted, ReportNotFound,
    AlreadyDecided, ModerationUnavailable."""
    asking = signed_in(viewer)
    if not 1 <= report_id <= LARGEST_ID:
        raise ReportNotFound
    slug = await ports.moderation.slug_of_report(report_id)
    by = await viewer_in(ports, asking, slug)
    if by.rank < Rank.MODERATOR:  # it is not theirs to know that there is one
        raise ReportNotFound
    return await ports.moderation.resolve_report(by, slug, report_id, resolution, reason)

"""Sanctions as moderators read and lift them; the moderation service owns them."""

import unicodedata

from rooms.domain import access
from rooms.domain.identity import Slug, Viewer
from rooms.domain.refusals import NotPermitted, NotSignedIn
from rooms.domain.sanction import Sanction
from rooms.ports import Ports
from rooms.usecases.queries import clamp


async def list_sanctions(
    ports: Ports, viewer: Viewer | None, *, slug: str | None, active: bool, first: int, before_id: int | None = None
) -> list[Sanction]:
    """Newest first. Raises NotSignedIn, NotPermitted, ModerationUnavailable."""
    _check_moderator(viewer)
    wanted = None if slug is None else Slug(unicodedata.normalize("NFC", slug))
    return await ports.moderation.list_sanctions(slug=wanted, active=active, first=clamp(first), before_id=before_id)


async def lift_sanction(ports: Ports, viewer: Viewer | None, sanction_id: int) -> Sanction:
    """End a sanction, as who could have imposed it may. Raises NotSignedIn, NotPermitted, SanctionNotFound,
    ModerationUnavailable."""
    return await ports.moderation.lift_sanction(sanction_id, _check_moderator(viewer))


def _check_moderator(viewer: Viewer | None) -> Viewer:
    if viewer is None:
        raise NotSignedIn
    if not access.may_read_sanctions(viewer):
        raise NotPermitted
    return viewer

"""Which sanctions, policies, pins and warnings there are, from the database, which is right even where events were
missed."""

from collections.abc import Sequence

from moderation.domain.pins import RoomPin
from moderation.domain.policy import RoomPolicy
from moderation.domain.sanctions import Sanction
from moderation.domain.warnings import RoomWarning
from moderation.ports import Ports, SanctionQuery

LARGEST_PAGE = 100


async def list_in_force(ports: Ports, query: SanctionQuery) -> list[Sanction]:
    """What is in force of what is asked for, the oldest first. Raises DatabaseUnavailable."""
    return await ports.store.in_force(query, now_ms=ports.clock().wall_ms)


async def list_policies(ports: Ports, slugs: Sequence[str]) -> list[RoomPolicy]:
    """Of those slugs whose policy was ever changed. Raises DatabaseUnavailable."""
    return await ports.store.policies_of(slugs)


async def list_pins(ports: Ports, slugs: Sequence[str]) -> list[RoomPin]:
    """Of those slugs in which anything was ever pinned. Raises DatabaseUnavailable."""
    return await ports.store.pins_of(slugs)


async def list_open_warnings(ports: Ports, slugs: Sequence[str]) -> list[RoomWarning]:
    """Those of these slugs that wait to be acknowledged. Raises DatabaseUnavailable."""
    return await ports.store.open_warnings(slugs)


async def list_history(
    ports: Ports, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None
) -> list[Sanction]:
    """A page, newest first, of 0 to LARGEST_PAGE sanctions whatever `first` says; slug None: of every room and
    everywhere; before_id None: from the newest on. Raises DatabaseUnavailable."""
    return await ports.store.history(
        slug,
        only_in_force=only_in_force,
        first=min(max(first, 0), LARGEST_PAGE),
        before_id=before_id,
        now_ms=ports.clock().wall_ms,
    )

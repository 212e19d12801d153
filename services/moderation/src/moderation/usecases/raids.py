"""Raids: moderators are told of them, and where the policy asks for it a shield is laid by itself."""

from chassis.tasks import in_slices, repeat
from moderation.domain.commands import RULE_AUTHOR
from moderation.domain.policy import ShieldCommand, ShieldOrder
from moderation.domain.raids import RAID_REASON, SHIELD_MINUTES, RaidSign
from moderation.ports import Ports
from moderation.usecases.execute import lay_shield
from moderation.usecases.refresh import until_answered

LOOK_EVERY_S = 1.0
ROOMS_AT_ONCE = 5
"""That are looked at before whatever else waits has its turn."""


async def keep_watching_raids(ports: Ports) -> None:
    """Look for them every second, until cancelled."""
    await repeat(LOOK_EVERY_S, lambda: until_answered("raids_not_told", lambda: look_for_raids(ports)))


async def look_for_raids(ports: Ports) -> None:
    """Tell of those that there are. Raises DatabaseUnavailable; one that goes on is seen again."""
    signs: list[RaidSign] = []

    def look(slug: str) -> None:
        if (sign := ports.raids.sign_of(slug)) is not None:
            signs.append(sign)

    await in_slices(ports.raids.stirred(ports.clock().wall_ms), look, size=ROOMS_AT_ONCE)
    for sign in signs:
        await _answer(ports, sign)


async def _answer(ports: Ports, sign: RaidSign) -> None:
    """The shield first: every second of it counts."""
    slug, now_ms = sign.slug, ports.clock().wall_ms
    policy = ports.policies.find(slug, now_ms)
    if policy is not None and policy.shield_automatic and not ports.policies.is_shielded(slug, now_ms):
        command = ShieldCommand(RULE_AUTHOR, slug, SHIELD_MINUTES, RAID_REASON)
        await lay_shield(ports, ShieldOrder(command, sign.log))
    if await ports.store.suggest_raid(slug, sign.data(), now_ms=now_ms):
        ports.feed_wanted.set()

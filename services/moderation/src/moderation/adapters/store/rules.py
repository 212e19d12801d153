"""The rules of slugs and what they hit: questions and changes in the transaction that is open."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog
from tortoise.expressions import F

from chassis.logs import LogSummary
from moderation.adapters.store.rows import storable
from moderation.adapters.store.tables import NAME_LENGTH, RuleHitRow, RuleRow, RulesRow, SightingRow
from moderation.domain.classifiers import NO_SECRETS, Secrets
from moderation.domain.kept_rules import (
    DeleteRule,
    KeptRule,
    RulesState,
    SaveRule,
    count_problem,
    state_of,
)
from moderation.domain.people import Rank
from moderation.domain.policy import next_version
from moderation.domain.rights import demand_classifiers
from moderation.domain.rule_hits import SAMPLE, HitBatch, KeptHit, RuleHit
from moderation.domain.rules import OnFailure, Rule, RuleAction, RuleKind, RuleMode
from moderation.errors import RuleNotFound, RuleRefused

MOST_SLUGS = 100_000
"""That have rules, or had some lately. Every replica keeps a row of each in memory."""
_ACTIONS = [int(action) for action in RuleAction]
_NUMBERS = ("kind", "action", "mode", "exempt_from", "on_failure")
_not_understood = LogSummary(structlog.get_logger(), "rules_not_understood")


async def write_rule(
    command: SaveRule | DeleteRule, *, now_ms: int
) -> tuple[KeptRule | None, RulesState, dict[str, Any]]:
    """Change the rules of a slug; the rule as it is since, what replicas have to know, and what the audit row keeps.
    One at a time over all replicas. Raises RuleNotFound, RuleRefused; NotPermitted where it is a classifier."""
    slug, rule_id = command.slug, command.rule_id
    rows = {row.id: row for row in await RuleRow.filter(slug=slug).order_by("id")}
    if rule_id not in rows and (rule_id or isinstance(command, DeleteRule)):
        raise RuleNotFound
    newest = await RulesRow.all().order_by("-version").first()
    if not rows and not await RulesRow.exists(slug=slug) and await RulesRow.all().count() >= MOST_SLUGS:
        raise RuleRefused(f"There are rules in {MOST_SLUGS:,} rooms already")
    version = next_version(newest.version if newest else 0, now_ms)
    before = rows[rule_id].rule if rule_id else None
    secrets = _demanded_secrets(command, rows.get(rule_id))
    kept: KeptRule | None = None
    after: dict[str, Any] | None = None
    if isinstance(command, SaveRule):
        row = await _save(command, rows, version, now_ms)
        rule_id, after, kept = row.id, row.rule, _from_row(row)
    else:
        await rows.pop(rule_id).delete()
        await RuleHitRow.filter(rule_id=rule_id).delete()
    # Those of a later version are judged by the replicas that know them.
    is_unknown = len(known := _understood(rows.values())) < len(rows)
    state = state_of(slug, version, (each.rule for each in known))
    state = state._replace(judges=state.judges or is_unknown, acts=state.acts or is_unknown)
    values = {"version": version, "judges": state.judges, "acts": state.acts}
    if not await RulesRow.filter(slug=slug).update(**values):
        await RulesRow(slug=slug, **values).save(force_create=True)
    name = (after or before or {})["name"]
    details = {"rule_id": rule_id, "rule_name": name, "version": version, **_changed(before, after)}
    if kept is not None and kept.secrets != secrets:
        details["secret_changed"] = True
    return kept, state, details


def _demanded_secrets(command: SaveRule | DeleteRule, row: RuleRow | None) -> Secrets:
    """Of a rule before a command changes it. Raises NotPermitted where it is a classifier."""
    if row is None:
        return NO_SECRETS
    if row.rule["kind"] == RuleKind.CLASSIFIER:
        demand_classifiers(command.moderator)
    return _secrets_of(row)


async def _save(command: SaveRule, rows: dict[int, RuleRow], version: int, now_ms: int) -> RuleRow:
    """Write it, among the rows of its slug."""
    others = [each.rule for each in _understood(row for row in rows.values() if row.id != command.rule_id)]
    if problem := count_problem([*others, command.rule]):
        raise RuleRefused(problem)
    row = rows.get(command.rule_id) or RuleRow(slug=command.slug, hits=0, acted=0)
    row.version, row.rule = version, values_of(command.rule)
    row.changed_by, row.changed_at_ms = command.moderator.user_id, now_ms
    row.secret, row.earlier_secret, row.earlier_until_ms = _secrets_after(command, row, now_ms)
    if command.rule_id:
        secrets = ("secret", "earlier_secret", "earlier_until_ms")
        await row.save(update_fields=["version", "rule", "changed_by", "changed_at_ms", *secrets])
    else:
        await row.save()
    rows[row.id] = row
    return row


def _secrets_after(command: SaveRule, row: RuleRow, now_ms: int) -> Secrets:
    """Raises RuleRefused where a classifier has none."""
    if command.rule.kind is not RuleKind.CLASSIFIER:
        return NO_SECRETS
    secrets = _secrets_of(row).changed(command.secret, now_ms)
    if not secrets.newest:
        raise RuleRefused("A new classifier has a secret")
    return secrets


async def rules_after(version: int, first: int) -> list[RulesState]:
    """See Store."""
    rows = await RulesRow.filter(version__gt=version).order_by("version").limit(first)
    return [RulesState(row.slug, row.version, row.judges, row.acts) for row in rows]


async def rules_of(slug: str) -> tuple[int, list[KeptRule]]:
    """See Store."""
    known = await RulesRow.get_or_none(slug=slug)
    rows = await RuleRow.filter(slug=slug).order_by("id")
    return known.version if known else 0, _understood(rows)


async def find_rule(rule_id: int) -> KeptRule | None:
    """See Store."""
    found = _understood(await RuleRow.filter(id=rule_id))
    return found[0] if found else None


async def slug_of_rule(rule_id: int) -> str | None:
    """See Store."""
    found = await RuleRow.filter(id=rule_id).first()
    return None if found is None else found.slug


async def slugs_seen(since_ms: int, first: int) -> list[str]:
    """See Store."""
    seen = SightingRow.filter(seen_at_ms__gte=since_ms).order_by("-seen_at_ms").limit(first)
    return [*dict.fromkeys(row.slug for row in await seen.only("slug"))]


async def forget_rules(before: int, after: int, first: int) -> int | None:
    """As forget_policies, the slugs that have no rule since."""
    newest = await RulesRow.all().order_by("-version").first()
    below = min(before, newest.version if newest else 0)
    rows = await RulesRow.filter(version__gt=after, version__lt=below).order_by("version").limit(first)
    used = (
        {row.slug for row in await RuleRow.filter(slug__in=[row.slug for row in rows]).only("slug")} if rows else set()
    )
    for row in rows:
        if row.slug not in used:
            await RulesRow.filter(slug=row.slug, version=row.version).delete()  # unless it was changed meanwhile
    return rows[-1].version if len(rows) == first else None


async def write_hits(batch: HitBatch) -> None:
    """See Store. Rules in the order of their ids, so that two replicas take their locks in the same one."""
    found = set()
    for rule_id, (hits, acted) in sorted(batch.counts.items()):
        if await RuleRow.filter(id=rule_id).update(hits=F("hits") + hits, acted=F("acted") + acted):
            found.add(rule_id)  # and nobody deletes it before the end
    rows = [_hit_to_row(hit) for hit in batch.sample if hit.rule_id in found]
    await RuleHitRow.bulk_create(rows)
    for rule_id in {row.rule_id for row in rows}:
        of_rule = RuleHitRow.filter(rule_id=rule_id)
        oldest = await of_rule.order_by("-id").offset(SAMPLE - 1).first()
        if oldest is not None:
            await of_rule.filter(id__lt=oldest.id).delete()


async def hits_of(rule_id: int, first: int, before_id: int | None) -> list[KeptHit]:
    """See Store. What a later version did is left out already here, so that no page is short."""
    rows = RuleHitRow.filter(rule_id=rule_id, action__in=_ACTIONS)
    if before_id is not None:
        rows = rows.filter(id__lt=before_id)
    return [KeptHit(row.id, _hit_from_row(row)) for row in await rows.order_by("-id").limit(first)]


def values_of(rule: Rule) -> dict[str, Any]:
    """A rule as it is kept: each field by its name, enumerations as numbers; those of classifiers for these alone."""
    values = asdict(rule)
    if rule.kind is not RuleKind.CLASSIFIER:
        del values["url"], values["on_failure"]
    return {
        **values,
        "patterns": list(rule.patterns),
        "allow": list(rule.allow),
        **{name: int(values[name]) for name in _NUMBERS if name in values},
    }


def rule_from_values(values: Mapping[str, Any]) -> Rule:
    """The other way; fields of a later version are left out. Raises ValueError where it is one that only a later
    version knows."""
    return Rule(
        name=values["name"],
        kind=RuleKind(values["kind"]),
        action=RuleAction(values["action"]),
        mode=RuleMode(values["mode"]),
        patterns=tuple(values["patterns"]),
        allow=tuple(values["allow"]),
        threshold=values["threshold"],
        mute_minutes=values["mute_minutes"],
        exempt_from=Rank(values["exempt_from"]),
        told=values["told"],
        url=values.get("url", ""),
        on_failure=OnFailure(values.get("on_failure", OnFailure.ALLOW)),
    )


def _understood(rows: Any) -> list[KeptRule]:
    """Without those of a later version, which must not keep this one from the others."""
    found = []
    for row in rows:
        try:
            found.append(_from_row(row))
        except ValueError as problem:
            _not_understood.note(rule_id=row.id, problem=str(problem))
    return found


def _from_row(row: RuleRow) -> KeptRule:
    rule = rule_from_values(row.rule)
    counts = row.hits, row.acted
    return KeptRule(
        row.id, row.slug, row.version, rule, row.changed_by, row.changed_at_ms, *counts, secrets=_secrets_of(row)
    )


def _secrets_of(row: RuleRow) -> Secrets:
    return Secrets(row.secret or "", row.earlier_secret or "", row.earlier_until_ms or 0)


def _hit_to_row(hit: RuleHit) -> RuleHitRow:
    return RuleHitRow(
        rule_id=hit.rule_id,
        slug=hit.slug,
        at_ms=hit.at_ms,
        user_id=hit.user_id,
        username=storable(hit.username)[:NAME_LENGTH],
        text=storable(hit.text),
        pattern=storable(hit.pattern),
        action=int(hit.action),
        acted=hit.acted,
    )


def _hit_from_row(row: RuleHitRow) -> RuleHit:
    return RuleHit(
        row.rule_id,
        row.slug,
        row.at_ms,
        row.user_id,
        row.username,
        row.text,
        row.pattern,
        RuleAction(row.action),
        acted=row.acted,
    )


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields that differ, as they were before and as they are since; all of a rule that is new or gone."""
    if before is None or after is None:
        return {"before": before, "after": after}
    differ = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {"before": {n: before.get(n) for n in differ}, "after": {n: after.get(n) for n in differ}}

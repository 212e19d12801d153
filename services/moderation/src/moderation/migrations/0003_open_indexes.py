"""What is looked for among the sanctions that have not ended, and what is pruned."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex, AddPartialIndex

_PARTIAL = {
    "sanction_open": "sanction (id) WHERE lifted_at_ms IS NULL",
    "sanction_open_by_target": "sanction (target_user_id, target_username) WHERE lifted_at_ms IS NULL",
    "sanction_open_by_slug": "sanction (slug, id) WHERE lifted_at_ms IS NULL",
    "sanction_evidence": "sanction (lifted_at_ms) WHERE evidence_erased_at_ms IS NULL",
    "audit_evidence": "audit (at_ms) WHERE evidence_erased_at_ms IS NULL",
}


class Migration(migrations.Migration):
    dependencies = [("moderation", "0002_evidence")]

    initial = False
    atomic = False

    operations = [
        *(AddPartialIndex(name, rows) for name, rows in _PARTIAL.items()),
        AddIndex("AuditRow", Index(fields=["at_ms"], name="audit_by_time")),
    ]

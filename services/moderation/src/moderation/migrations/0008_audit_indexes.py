"""What rows of the audit log are looked for by: their chain, what they undo, slug, actor and target."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex, AddPartialIndex

_PARTIAL = {
    "audit_by_chain": "audit (chain, id) WHERE chain IS NOT NULL",
    "audit_unchained": "audit (id) WHERE chain IS NULL",
    "audit_by_undone": "audit (undoes_id) WHERE undoes_id IS NOT NULL",
}


class Migration(migrations.Migration):
    dependencies = [("moderation", "0008_audit_chain")]

    initial = False
    atomic = False

    operations = [
        *(AddPartialIndex(name, rows) for name, rows in _PARTIAL.items()),
        AddIndex("AuditRow", Index(fields=["slug", "id"], name="audit_by_slug")),
        AddIndex("AuditRow", Index(fields=["moderator_user_id", "id"], name="audit_by_actor")),
        AddIndex("AuditRow", Index(fields=["target_user_id", "target_username", "id"], name="audit_by_target")),
    ]

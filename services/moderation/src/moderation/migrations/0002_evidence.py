"""When addresses, and names that tell them, were erased."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0001_initial")]

    initial = False

    operations = [
        ops.AddField("SanctionRow", "evidence_erased_at_ms", fields.BigIntField(null=True)),
        ops.AddField("AuditRow", "evidence_erased_at_ms", fields.BigIntField(null=True)),
    ]

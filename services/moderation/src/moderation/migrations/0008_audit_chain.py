"""The chains of the audit log, what an undo undoes, and which change named a field of a policy last."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0006_policy")]

    initial = False

    operations = [
        ops.AddField("AuditRow", "undoes_id", fields.BigIntField(null=True)),
        ops.AddField("AuditRow", "chain", fields.CharField(null=True, max_length=512)),
        ops.AddField("AuditRow", "previous_digest", fields.CharField(null=True, max_length=64)),
        ops.AddField("AuditRow", "digest", fields.CharField(null=True, max_length=64)),
        ops.AddField("AuditRow", "evidence_salt", fields.CharField(null=True, max_length=32)),
        ops.AddField("AuditRow", "evidence_digest", fields.CharField(null=True, max_length=64)),
        ops.AddField(
            "PolicyRow",
            "field_versions",
            fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
        ),
    ]

"""What the requests to classifiers are signed with."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0019_by_user")]

    initial = False

    operations = [
        ops.AddField("RuleRow", "secret", fields.CharField(null=True, max_length=128)),
        ops.AddField("RuleRow", "earlier_secret", fields.CharField(null=True, max_length=128)),
        ops.AddField("RuleRow", "earlier_until_ms", fields.BigIntField(null=True)),
    ]

"""What was done to the policy and the pin of a room since, which an undo asks for."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex


class Migration(migrations.Migration):
    dependencies = [("moderation", "0015_case")]

    initial = False
    atomic = False

    operations = [AddIndex("AuditRow", Index(fields=["slug", "action", "id"], name="audit_by_kind"))]

"""Reports and unban requests that are open, wherever they are."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex


class Migration(migrations.Migration):
    dependencies = [("moderation", "0019_by_user")]

    initial = False
    atomic = False

    operations = [
        AddIndex("ReportRow", Index(fields=["state", "id"], name="report_by_state")),
        AddIndex("UnbanRequestRow", Index(fields=["state", "id"], name="unban_request_by_state")),
    ]

"""Indexes for settings that nobody uses, and for how many a user keeps."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex


class Migration(migrations.Migration):
    dependencies = [("rooms", "0006_last_used")]

    initial = False
    atomic = False

    operations = [
        AddIndex("KeptSettingsRow", Index(fields=["last_used_ms"], name="kept_settings_by_use")),
        AddIndex("KeptSettingsRow", Index(fields=["owner"], name="kept_settings_by_owner")),
    ]

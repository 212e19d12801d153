"""What is kept of a user, which erasing them asks for while commands wait."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex


class Migration(migrations.Migration):
    dependencies = [("moderation", "0016_hold")]

    initial = False
    atomic = False

    operations = [
        AddIndex("RuleHitRow", Index(fields=["user_id"], name="rule_hit_by_user")),
        AddIndex("NoteRow", Index(fields=["target_user_id"], name="note_by_user")),
        AddIndex("NoteRow", Index(fields=["author_user_id"], name="note_by_author")),
    ]

"""The rules of rooms and for everywhere, and a sample of what they hit."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0010_pin")]

    initial = False

    operations = [
        ops.CreateModel(
            name="RuleRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("version", fields.BigIntField()),
                ("rule", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
                ("changed_by", fields.BigIntField()),
                ("changed_at_ms", fields.BigIntField()),
                ("hits", fields.BigIntField(default=0)),
                ("acted", fields.BigIntField(default=0)),
            ],
            options={
                "table": "rule",
                "app": "moderation",
                "indexes": [Index(fields=["slug", "id"], name="rule_by_slug")],
                "pk_attr": "id",
                "table_description": "A rule of the rooms of a slug, or for everywhere where that is empty.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RulesRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=512)),
                ("version", fields.BigIntField()),
                ("judges", fields.BooleanField()),
                ("acts", fields.BooleanField()),
            ],
            options={
                "table": "rules_of_slug",
                "app": "moderation",
                "indexes": [Index(fields=["version"], name="rules_by_version")],
                "pk_attr": "slug",
                "table_description": "What replicas have to know of the rules of a slug before they read them.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RuleHitRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("rule_id", fields.BigIntField()),
                ("slug", fields.CharField(max_length=512)),
                ("at_ms", fields.BigIntField()),
                ("user_id", fields.BigIntField()),
                ("username", fields.CharField(max_length=255)),
                ("text", fields.TextField(unique=False)),
                ("pattern", fields.TextField(unique=False)),
                ("action", fields.SmallIntField()),
                ("acted", fields.BooleanField()),
            ],
            options={
                "table": "rule_hit",
                "app": "moderation",
                "indexes": [
                    Index(fields=["rule_id", "id"], name="rule_hit_by_rule"),
                    Index(fields=["at_ms"], name="rule_hit_by_time"),
                ],
                "pk_attr": "id",
                "table_description": "One of the last messages that a rule hit.",
            },
            bases=["Model"],
        ),
    ]

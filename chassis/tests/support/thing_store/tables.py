"""One table."""

from tortoise import fields
from tortoise.models import Model


class Thing(Model):
    """Anything with a name of its own."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100, unique=True)

    class Meta:
        """Tortoise's."""

        table = "thing"

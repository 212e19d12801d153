"""Everything that the chassis raises on its own account.

ServiceError                 the process cannot go on as it was asked to
 ├─ BadSetting               a setting is wrong: its name and what it must be (exit code 2)
 ├─ CannotListen             an address is taken or is not ours (exit code 1)
 ├─ FileInUse                another process serves this SQLite file (exit code 1)
 └─ DatabaseUnavailable      the database is away; trying again later may help
     └─ OutcomeUnknown       it went away while a transaction committed: what it wrote may be stored
"""


class ServiceError(Exception):
    """The text is for an operator, and holds no secret."""


class BadSetting(ServiceError):
    """A setting that cannot be used; the text begins with its name."""


class CannotListen(ServiceError):
    """The text names host and port."""


class FileInUse(ServiceError):
    """The text says what to do."""


class DatabaseUnavailable(ServiceError):
    """The cause is the driver's exception."""


class OutcomeUnknown(DatabaseUnavailable):
    """Read again before anything is decided."""

"""The port Store on SQLite and PostgreSQL: database (where it is, how long it is waited for), tables, rows (to and
from values of the domain), sanctions (the port), audit (the chains of the audit log), retention (what goes as time
goes by)."""

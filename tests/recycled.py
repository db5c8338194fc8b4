"""PostgreSQL databases that are emptied after a test and handed to the next: that costs a tenth of copying one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.servers import Postgres

LET_GO = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
HAS_STATISTICS = b"SELECT 1 FROM pg_stats WHERE schemaname = 'public' LIMIT 1"
EMPTY = b"""
DO $$
DECLARE one text;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
             AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0 LOOP
    EXECUTE 'DELETE FROM ' || one;
  END LOOP;
  FOR one IN SELECT oid::regclass FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE 'ALTER SEQUENCE ' || one || ' RESTART';
  END LOOP;
END $$
"""


@dataclass(frozen=True)
class Recycled:
    """Databases made from one migrated template, in which no table but Alembic's has rows."""

    server: Postgres
    template: str
    _spare: list[str] = field(default_factory=list)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the SQLAlchemy URL of an empty database of one's own."""
        name = self._spare.pop() if self._spare else self._made()
        yield self.server.url(name)
        if self._emptied(name):
            self._spare.append(name)

    def _made(self) -> str:
        name = f"r_{secrets.token_hex(6)}"
        self.server.copy(self.template, name)
        return name

    def _emptied(self, name: str) -> bool:
        """False: what the planner learnt here would change the next test's plans."""
        with psycopg.connect(self.server.admin, autocommit=True) as admin:
            admin.execute(LET_GO, [name])
        with psycopg.connect(self.server.admin, dbname=name) as connection:
            if connection.execute(HAS_STATISTICS).fetchone():
                return False
            connection.execute(EMPTY)
            return True

"""What an error of the database means."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.exceptions import AppException, DatabaseError, ServiceUnavailableError


def as_told(error: SQLAlchemyError) -> AppException:
    """Return what is told of it: to come again when the database was only busy, else that it is our trouble."""
    if _is_busy(error):
        return ServiceUnavailableError("The database is busy.", {"retry_after": 1})
    return DatabaseError()


def _is_busy(error: SQLAlchemyError) -> bool:
    """Did others hold SQLite's write lock, or all connections there may be, for as long as we wait?"""
    number = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return isinstance(error, PoolTimeout) or (number is not None and number & 0xFF == sqlite3.SQLITE_BUSY)

"""The SQLite file with the sandbox's persistent state."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from upstash_helper.sandbox.errors import StartupError

_VERSION_1 = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE COLLATE NOCASE,
  password_hash TEXT NOT NULL,
  created_at REAL NOT NULL
);
CREATE TABLE api_keys (
  hash BLOB PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  name TEXT NOT NULL,
  read_only INTEGER NOT NULL,
  created_at REAL NOT NULL,
  UNIQUE (account_id, name)
);
CREATE TABLE clients (id TEXT PRIMARY KEY, redirect_uris TEXT NOT NULL);
CREATE TABLE codes (
  hash BLOB PRIMARY KEY,
  family TEXT NOT NULL,
  client_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  challenge TEXT NOT NULL,
  account_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  audience TEXT NOT NULL,
  nonce TEXT,
  created_at REAL NOT NULL,
  spent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE tokens (
  hash BLOB PRIMARY KEY,
  kind TEXT NOT NULL,
  family TEXT NOT NULL,
  client_id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  audience TEXT NOT NULL,
  expires_at REAL,
  state TEXT NOT NULL DEFAULT 'live'
);
CREATE INDEX tokens_by_family ON tokens (family);
CREATE TABLE databases (id TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE backups (
  id TEXT PRIMARY KEY,
  database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
  record BLOB NOT NULL
);
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, account_id TEXT NOT NULL, record BLOB NOT NULL);
"""

# Adds teams and the open authorization server. Codes are valid for a minute, so none is worth keeping.
_VERSION_2 = """
DROP TABLE codes;
CREATE TABLE codes (
  hash BLOB PRIMARY KEY,
  server TEXT NOT NULL,
  family TEXT NOT NULL,
  client_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  challenge TEXT,
  account_id TEXT NOT NULL,
  team_id TEXT,
  read_only INTEGER NOT NULL,
  scope TEXT NOT NULL,
  audience TEXT NOT NULL,
  nonce TEXT,
  created_at REAL NOT NULL,
  spent INTEGER NOT NULL DEFAULT 0
);
ALTER TABLE tokens ADD COLUMN server TEXT NOT NULL DEFAULT 'partner';
ALTER TABLE clients ADD COLUMN server TEXT NOT NULL DEFAULT 'partner';
ALTER TABLE clients ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN scope TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN grant_types TEXT NOT NULL DEFAULT 'authorization_code refresh_token';
ALTER TABLE clients ADD COLUMN created_at REAL NOT NULL DEFAULT 0;
CREATE TABLE grants (
  id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL REFERENCES clients(id) ON DELETE CASCADE,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  team_id TEXT,
  read_only INTEGER NOT NULL,
  family TEXT NOT NULL UNIQUE,
  created_at REAL NOT NULL,
  used_at REAL NOT NULL,
  UNIQUE (client_id, account_id)
);
CREATE TABLE teams (id TEXT PRIMARY KEY, name TEXT NOT NULL, copy_cc INTEGER NOT NULL, created_at REAL NOT NULL);
CREATE TABLE team_members (
  team_id TEXT NOT NULL REFERENCES teams(id) ON DELETE CASCADE,
  email TEXT NOT NULL COLLATE NOCASE,
  role TEXT NOT NULL,
  PRIMARY KEY (team_id, email)
) WITHOUT ROWID;
"""

# Adds QStash users, and the indexes of Vector and Search.
_VERSION_3 = """
CREATE TABLE qstash_users (
  id TEXT PRIMARY KEY,
  team_id TEXT REFERENCES teams(id) ON DELETE CASCADE,
  record BLOB NOT NULL
);
CREATE TABLE indexes (id TEXT PRIMARY KEY, product TEXT NOT NULL, account_id TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX indexes_by_account ON indexes (account_id);
"""

# Adds the buckets of Blob.
_VERSION_4 = """
CREATE TABLE buckets (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX buckets_by_account ON buckets (account_id);
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
"""The statements that bring the store from each version to the next. Version 0 is an empty file."""
SCHEMA_VERSION = len(MIGRATIONS)


def open_store(path: Path) -> sqlite3.Connection:
    """
    Open the store, create it if it does not exist, and lock it: only one sandbox can use a data folder.

    Raises:
        StartupError: If another sandbox has locked it, it is damaged, or a later version wrote it.
    """
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        message = f"Cannot use {path}: {error.strerror}. Check its owner and mode, and the disk."
        raise StartupError(message) from error
    except sqlite3.OperationalError as error:
        message = (
            f"Another sandbox is using {path.parent}. Stop it, or choose another folder with --data."
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            else f"Cannot use {path} (SQLite reports {error.sqlite_errorname}). Check its owner and mode, and the disk."
        )
        raise StartupError(message) from error
    except sqlite3.DatabaseError as error:
        raise StartupError(f"{path} is damaged. Delete or rename it to start with an empty sandbox.") from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # SQLite's file lock works on every platform and is released when the process ends.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        connection.execute("ROLLBACK")
        raise StartupError(
            "This data folder was written by a later version of the sandbox. Update, or choose another one with --data."
        )
    connection.execute("COMMIT")
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")


class KeyValues:
    """Single values that persist across restarts: ports, the token signing key, and the OAuth client."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        """Return a value, or None if it is not set."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        """Set a value."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

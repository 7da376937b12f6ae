"""Accounts and their Developer API keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import sqlite3
import time

import msgspec

from upstash_helper.sandbox.errors import RequestError

MAX_API_KEYS = 37
"""Upstash's limit of API keys per account."""
MIN_PASSWORD_LENGTH = 8

PASSWORD_COST = {"n": 2**14, "r": 8, "p": 1}
"""The cost of a password's hash: that for interactive logins (RFC 7914, section 2). Takes 16 MiB and about 40 ms."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost")
_UNKNOWN_ACCOUNT_HASH = "scrypt$00$00"


class Owner(msgspec.Struct, frozen=True):
    """What databases and indexes belong to: an account, or a team, whose email is that of the user who acts for it."""

    id: str
    email: str


class Account(Owner, frozen=True):
    """A user who has signed up."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key's description. Its secret is not stored."""

    name: str
    read_only: bool
    created_at: float


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a Developer API request is authenticated as, and what it may do."""

    account: Account
    owner: Owner
    """The account, or the team that it acts for."""
    source: str
    """What the request is authenticated with, in the audit log's words."""
    read_only: bool
    grant_id: str | None = None
    """The grant of the access token; None for an API key."""


class Accounts:
    """The tables of accounts and API keys."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def sign_up(self, email: str, password: str) -> Account:
        """
        Create an account.

        Raises:
            RequestError: If the email or the password is invalid, or the email is taken (409).
        """
        email = email.strip()
        if len(email) > 254 or _EMAIL.fullmatch(email) is None:
            raise RequestError(400, "Enter an email address, such as you@example.com.")
        if not MIN_PASSWORD_LENGTH <= len(password) <= 1024:
            raise RequestError(400, f"Choose a password of at least {MIN_PASSWORD_LENGTH} characters.")
        hashed = await asyncio.to_thread(_hash_password, password)
        account = Account(f"auth0|{secrets.token_hex(12)}", email)
        try:
            self._connection.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?)", (account.id, email, hashed, time.time())
            )
        except sqlite3.IntegrityError:
            raise RequestError(409, "An account with this email already exists. Sign in instead.") from None
        return account

    async def sign_in(self, email: str, password: str) -> Account | None:
        """Return the account, or None if the email or the password is wrong."""
        row = self._connection.execute(
            "SELECT id, email, password_hash FROM accounts WHERE email = ?", (email.strip(),)
        ).fetchone()
        # An unknown email takes as long as a known one, so that the response time does not reveal which emails exist.
        matches = await asyncio.to_thread(_matches, password, row[2] if row else _UNKNOWN_ACCOUNT_HASH)
        return Account(row[0], row[1]) if row and matches else None

    def get(self, account_id: str) -> Account | None:
        """Return the account with this ID, or None."""
        row = self._connection.execute("SELECT id, email FROM accounts WHERE id = ?", (account_id,)).fetchone()
        return Account(*row) if row else None

    def by_email(self, email: str) -> Account | None:
        """Return the account with this email, or None."""
        row = self._connection.execute("SELECT id, email FROM accounts WHERE email = ?", (email,)).fetchone()
        return Account(*row) if row else None

    def all(self) -> list[Account]:
        """Return all accounts, oldest first."""
        rows = self._connection.execute("SELECT id, email FROM accounts ORDER BY created_at, rowid")
        return [Account(*row) for row in rows]

    def delete(self, account: Account) -> None:
        """Delete an account with its API keys, its grants, and the codes and tokens of its sign-ins."""
        for table in ("api_keys", "grants", "codes", "tokens"):
            # The names are the four literals above, not user input.
            self._connection.execute(f"DELETE FROM {table} WHERE account_id = ?", (account.id,))  # noqa: S608
        self._connection.execute("DELETE FROM accounts WHERE id = ?", (account.id,))

    def create_api_key(self, account: Account, name: str, *, read_only: bool = False) -> str:
        """
        Create an API key and return it. Only its hash is stored, so it cannot be shown again.

        Raises:
            RequestError: If the name is taken (409), or the account has the maximum number of keys (400).
        """
        (count,) = self._connection.execute(
            "SELECT count(*) FROM api_keys WHERE account_id = ?", (account.id,)
        ).fetchone()
        if count >= MAX_API_KEYS:
            raise RequestError(400, f"API key limit reached: an account can have at most {MAX_API_KEYS} API keys")
        key = secrets.token_urlsafe(32)
        try:
            self._connection.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)",
                (digest(key), account.id, name, read_only, time.time()),
            )
        except sqlite3.IntegrityError:
            raise RequestError(409, f"An API key with the name {name} already exists") from None
        return key

    def revoke_api_key(self, account: Account, name: str) -> bool:
        """Delete the API key with this name. Return whether it existed."""
        cursor = self._connection.execute("DELETE FROM api_keys WHERE account_id = ? AND name = ?", (account.id, name))
        return cursor.rowcount > 0

    def api_keys(self, account: Account) -> list[ApiKey]:
        """Return the account's API keys, oldest first."""
        rows = self._connection.execute(
            "SELECT name, read_only, created_at FROM api_keys WHERE account_id = ? ORDER BY created_at, rowid",
            (account.id,),
        )
        return [ApiKey(name=name, read_only=bool(read_only), created_at=created) for name, read_only, created in rows]

    def api_key_names(self, account: Account) -> list[str]:
        """Return the names of the account's API keys, oldest first."""
        return [key.name for key in self.api_keys(account)]

    def authenticate(self, email: str, api_key: str) -> Caller | None:
        """Return the caller with these credentials, or None if they are wrong."""
        row = self._connection.execute(
            "SELECT a.id, a.email, k.name, k.read_only FROM api_keys k JOIN accounts a ON a.id = k.account_id"
            " WHERE k.hash = ? AND a.email = ?",
            (digest(api_key), email),
        ).fetchone()
        if row is None:
            return None
        account = Account(row[0], row[1])
        return Caller(account=account, owner=account, source=f"API_KEY - {row[2]}", read_only=bool(row[3]))


def digest(token: str) -> bytes:
    """Return the hash to store for a random token. It has 256 bits of entropy, so no salt or KDF is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def _matches(password: str, hashed: str) -> bool:
    _, salt, expected = hashed.split("$")
    return hmac.compare_digest(bytes.fromhex(expected), _scrypt(password, bytes.fromhex(salt)))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, maxmem=2**26, **PASSWORD_COST)

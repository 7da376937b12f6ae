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

from upstash_helper.sandbox.errors import Refused

MOST_KEYS = 37
"""As many API keys as Upstash lets an account have."""
SHORTEST_PASSWORD = 8

# RFC 7914, section 2: the cost for interactive logins. 16 MiB and about 40 ms.
_COST = {"n": 2**14, "r": 8, "p": 1}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost")
_NOBODY = "scrypt$00$00"


class Account(msgspec.Struct, frozen=True):
    """Somebody who has signed up."""

    id: str
    email: str


class Caller(msgspec.Struct, frozen=True):
    """Who an API key speaks for."""

    account: Account
    key_name: str
    read_only: bool


class Accounts:
    """Who may sign in, and with which API keys."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def sign_up(self, email: str, password: str) -> Account:
        """
        Make an account.

        Raises:
            Refused: If the e-mail or the password cannot be used, or the e-mail is taken (409).
        """
        email = email.strip()
        if len(email) > 254 or _EMAIL.fullmatch(email) is None:
            raise Refused(400, "Enter an e-mail address, such as you@example.com.")
        if not SHORTEST_PASSWORD <= len(password) <= 1024:
            raise Refused(400, f"Choose a password of at least {SHORTEST_PASSWORD} characters.")
        hashed = await asyncio.to_thread(_hash_password, password)
        account = Account(f"auth0|{secrets.token_hex(12)}", email)
        try:
            self._connection.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?)", (account.id, email, hashed, time.time())
            )
        except sqlite3.IntegrityError:
            raise Refused(409, "There is an account with this e-mail already. Sign in instead.") from None
        return account

    async def sign_in(self, email: str, password: str) -> Account | None:
        """Return the account, or None if the e-mail or the password is wrong."""
        row = self._connection.execute(
            "SELECT id, email, password_hash FROM accounts WHERE email = ?", (email.strip(),)
        ).fetchone()
        # An unknown e-mail costs as much time as a known one, so that the two cannot be told apart.
        right = await asyncio.to_thread(_is_password, password, row[2] if row else _NOBODY)
        return Account(row[0], row[1]) if row and right else None

    def get(self, account_id: str) -> Account | None:
        """Return the account with this id, or None."""
        row = self._connection.execute("SELECT id, email FROM accounts WHERE id = ?", (account_id,)).fetchone()
        return Account(*row) if row else None

    def named(self, email: str) -> Account | None:
        """Return the account with this e-mail, or None."""
        row = self._connection.execute("SELECT id, email FROM accounts WHERE email = ?", (email,)).fetchone()
        return Account(*row) if row else None

    def make_key(self, account: Account, name: str, *, read_only: bool = False) -> str:
        """
        Return a new API key. It is stored as a hash, so it cannot be shown again.

        Raises:
            Refused: If the name is taken, or the account has all the keys that it may have.
        """
        (held,) = self._connection.execute(
            "SELECT count(*) FROM api_keys WHERE account_id = ?", (account.id,)
        ).fetchone()
        if held >= MOST_KEYS:
            raise Refused(400, f"API key limit reached: an account can have at most {MOST_KEYS} API keys")
        key = secrets.token_urlsafe(32)
        try:
            self._connection.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)",
                (digest(key), account.id, name, read_only, time.time()),
            )
        except sqlite3.IntegrityError:
            raise Refused(409, f"An API key with the name {name} already exists") from None
        return key

    def revoke_key(self, account: Account, name: str) -> bool:
        """Delete an API key by its name; return whether there was one."""
        cursor = self._connection.execute("DELETE FROM api_keys WHERE account_id = ? AND name = ?", (account.id, name))
        return cursor.rowcount > 0

    def key_names(self, account: Account) -> list[str]:
        """Return the names of the account's API keys, oldest first."""
        rows = self._connection.execute(
            "SELECT name FROM api_keys WHERE account_id = ? ORDER BY created_at", (account.id,)
        )
        return [name for (name,) in rows]

    def caller(self, email: str, api_key: str) -> Caller | None:
        """Return who calls with these Basic credentials, or None if they are wrong."""
        row = self._connection.execute(
            "SELECT a.id, a.email, k.name, k.read_only FROM api_keys k JOIN accounts a ON a.id = k.account_id"
            " WHERE k.hash = ? AND a.email = ?",
            (digest(api_key), email),
        ).fetchone()
        return Caller(Account(row[0], row[1]), row[2], bool(row[3])) if row else None


def digest(token: str) -> bytes:
    """Return what is stored of a random token. It has 256 bits of its own, so no salt and no cost are needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def _is_password(password: str, hashed: str) -> bool:
    _, salt, expected = hashed.split("$")
    return hmac.compare_digest(bytes.fromhex(expected), _scrypt(password, bytes.fromhex(salt)))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, maxmem=2**26, **_COST)

"""The Blob buckets of all accounts. A bucket is only a record: no server stores objects in it."""

from __future__ import annotations

import base64
import secrets
import sqlite3
import time
import uuid
from collections.abc import Sequence
from typing import Literal

import msgspec

from upstash_helper.sandbox.accounts import Owner
from upstash_helper.sandbox.errors import RequestError

Visibility = Literal["public", "private"]


class BucketRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket. Its token is stored in plaintext, because the API returns it on every read."""

    id: str
    account_id: str
    """The account or team that it belongs to."""
    email: str
    name: str
    visibility: Visibility
    cors: tuple[str, ...]
    """The origins whose pages may use the bucket."""
    domain_hash: str
    created_at: int
    token: str

    def __repr__(self) -> str:
        return f"BucketRecord({self.id})"


class Buckets:
    """The table of buckets."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list(self, owner_id: str) -> list[BucketRecord]:
        """Return the buckets of an account or team, oldest first."""
        rows = self._connection.execute(
            "SELECT record FROM buckets WHERE account_id = ? ORDER BY rowid", (owner_id,)
        ).fetchall()
        return [msgspec.json.decode(record, type=BucketRecord) for (record,) in rows]

    def get(self, owner: Owner, bucket_id: str) -> BucketRecord:
        """
        Return one of the owner's buckets.

        Raises:
            RequestError: With 404 if the owner has no bucket with this ID.
        """
        for record in self.list(owner.id):
            if record.id == bucket_id:
                return record
        raise RequestError(404, "bucket not found")

    def create(self, owner: Owner, name: str, *, visibility: Visibility, cors: Sequence[str]) -> BucketRecord:
        """
        Create a bucket.

        Raises:
            RequestError: With 409 if the owner has one with this name: clients find buckets by their names.
        """
        if any(record.name == name for record in self.list(owner.id)):
            raise RequestError(409, f"a bucket with the name {name} already exists")
        bucket_id = str(uuid.uuid4())
        record = BucketRecord(
            id=bucket_id,
            account_id=owner.id,
            email=owner.email,
            name=name,
            visibility=visibility,
            cors=tuple(cors),
            domain_hash=secrets.token_hex(8),
            created_at=int(time.time()),
            token=_new_token(bucket_id),
        )
        self._connection.execute(
            "INSERT INTO buckets VALUES (?, ?, ?)", (record.id, record.account_id, msgspec.json.encode(record))
        )
        return record

    def remove(self, record: BucketRecord) -> None:
        """Remove a bucket."""
        self._connection.execute("DELETE FROM buckets WHERE id = ?", (record.id,))


def _new_token(bucket_id: str) -> str:
    """
    Return a token in Upstash's form, from which its own command line reads the bucket's ID.

    The third of six leading bytes is the length of the ID, which follows them. The other bytes are unknown, so they
    are zero here, and the rest is a secret.
    """
    raw = bytes([0, 0, len(bucket_id), 0, 0, 0]) + bucket_id.encode() + secrets.token_bytes(32)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")

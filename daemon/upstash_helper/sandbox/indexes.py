"""The Vector and Search indexes of all accounts. An index is only a record: no server stores or finds data in it."""

from __future__ import annotations

import base64
import builtins
import secrets
import sqlite3
import time
import uuid
from typing import Any, Generic, Literal, TypeVar

import msgspec

from upstash_helper.sandbox.accounts import Owner
from upstash_helper.sandbox.errors import RequestError

Product = Literal["vector", "search"]
Plan = Literal["free", "payg", "fixed"]
Region = Literal["eu-west-1", "us-east-1", "us-central1"]
SimilarityFunction = Literal["COSINE", "EUCLIDEAN", "DOT_PRODUCT"]
IndexType = Literal["DENSE", "SPARSE", "HYBRID"]
EmbeddingModel = Literal["BGE_SMALL_EN_V1_5", "BGE_BASE_EN_V1_5", "BGE_LARGE_EN_V1_5", "BGE_M3"]
SparseEmbeddingModel = Literal["BM25", "BGE_M3"]

_REGION_CODES: dict[Region, str] = {"eu-west-1": "eu1", "us-east-1": "us1", "us-central1": "gcp-usc1"}
_ANIMALS = ("badger", "beetle", "falcon", "gecko", "heron", "lynx", "marmot", "otter", "puffin", "salmon", "tapir")


class IndexRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One index. Its tokens are stored in plaintext, because the API returns them on every read."""

    id: str
    account_id: str
    """The account or team that it belongs to."""
    email: str
    name: str
    region: Region
    plan: Plan
    created_at: int
    endpoint: str
    token: str
    read_only_token: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"


class VectorRecord(IndexRecord, frozen=True, kw_only=True):
    """One Vector index."""

    similarity_function: SimilarityFunction
    dimension_count: int
    index_type: IndexType
    embedding_model: EmbeddingModel | None = None
    sparse_embedding_model: SparseEmbeddingModel | None = None


Record = TypeVar("Record", bound=IndexRecord)


class Indexes(Generic[Record]):
    """The indexes of one product, in the table of indexes."""

    def __init__(self, connection: sqlite3.Connection, product: Product, kind: type[Record]) -> None:
        self._connection = connection
        self._product = product
        self._kind = kind

    def list(self, owner: Owner) -> builtins.list[Record]:
        """Return the owner's indexes, oldest first."""
        rows = self._connection.execute(
            "SELECT record FROM indexes WHERE product = ? AND account_id = ? ORDER BY rowid", (self._product, owner.id)
        )
        return [msgspec.json.decode(record, type=self._kind) for (record,) in rows]

    def count(self, owner_id: str) -> int:
        """Return how many indexes an account or team has."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM indexes WHERE product = ? AND account_id = ?", (self._product, owner_id)
        ).fetchone()
        return int(count)

    def get(self, owner: Owner, index_id: str) -> Record:
        """
        Return one of the owner's indexes.

        Raises:
            RequestError: With 404 if the owner has no index of this product with this ID.
        """
        row = self._connection.execute(
            "SELECT record FROM indexes WHERE product = ? AND account_id = ? AND id = ?",
            (self._product, owner.id, index_id),
        ).fetchone()
        if row is None:
            raise RequestError(404, "index not found")
        return msgspec.json.decode(row[0], type=self._kind)

    def put(self, record: Record) -> None:
        """Add an index, or replace its record."""
        self._connection.execute(
            "INSERT INTO indexes VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, record = excluded.record",
            (record.id, self._product, record.account_id, msgspec.json.encode(record)),
        )

    def remove(self, record: Record) -> None:
        """Remove an index."""
        self._connection.execute("DELETE FROM indexes WHERE id = ?", (record.id,))


def new_identity(owner: Owner, region: Region) -> Any:
    """Return a new index's ID, owner, creation time, endpoint, and tokens, as fields of an ``IndexRecord``."""
    # Upstash's begin with an adjective. A client that connects to this one must not reach another customer's index.
    endpoint = f"sandbox-{secrets.choice(_ANIMALS)}-{10_000 + secrets.randbelow(90_000)}-{_REGION_CODES[region]}"
    return {
        "id": str(uuid.uuid4()),
        "account_id": owner.id,
        "email": owner.email,
        "created_at": int(time.time()),
        "endpoint": endpoint,
        **new_tokens(endpoint),
    }


def new_tokens(endpoint: str) -> Any:
    """Return new tokens, as fields of an ``IndexRecord``."""
    return {"token": _new_token(endpoint, "admin"), "read_only_token": _new_token(endpoint, "readonly")}


def _new_token(endpoint: str, role: str) -> str:
    """Return a token in Upstash's format: the lengths of the three parts, the endpoint, the role, and a secret."""
    parts = (endpoint.encode(), role.encode(), secrets.token_urlsafe(36).encode())
    return base64.b64encode(bytes([0, *map(len, parts)]) + b"".join(parts)).decode()

"""The Developer API's documents. Unknown fields are ignored; missing and unexpected values get a default."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import msgspec

from upstash_helper.broker.models import Database, DatabaseSecrets, Secret

_DOMAIN: Final = "upstash.io"
_PORT: Final = 6379

_Text = str | int | float | bool | None


class DatabaseDocument(msgspec.Struct):
    """
    A database, as ``GET /redis/database/{id}`` returns it.

    ``password``, ``rest_token`` and ``read_only_rest_token`` are sent, but missing from the OpenAPI document. The repr
    leaves them out.
    """

    database_id: str
    database_name: _Text = None
    state: _Text = None
    endpoint: _Text = None
    port: _Text = None
    tls: _Text = None
    type: _Text = None
    plan: _Text = None
    region: _Text = None
    primary_region: _Text = None
    read_regions: list[str] | str | None = None
    eviction: _Text = None
    auto_upgrade: _Text = None
    daily_backup_enabled: _Text = None
    budget: _Text = None
    creation_time: _Text = None
    password: _Text = None
    rest_token: _Text = None
    read_only_rest_token: _Text = None
    tls_ca: Any = None
    """Only a sandbox sends it. A member of this name that Upstash may add some day can have any type."""

    def __repr__(self) -> str:
        return f"DatabaseDocument({self.database_id!r})"

    def database(self, rest_url: str) -> Database:
        """
        Return the database without its secrets.

        Args:
            rest_url: The template for its REST URL, with ``{host}`` for the host.
        """
        host = _host(_text(self.endpoint))
        return Database(
            id=self.database_id,
            name=_text(self.database_name),
            state=_text(self.state) or "unknown",
            host=host,
            port=_number(self.port) or _PORT,
            tls=_flag(self.tls, default=True),
            rest_url=rest_url.replace("{host}", host),
            plan=_text(self.plan) or _text(self.type),
            primary_region=_text(self.primary_region) or _text(self.region),
            read_regions=tuple(self.read_regions) if isinstance(self.read_regions, list) else (),
            eviction=_flag(self.eviction),
            auto_upgrade=_flag(self.auto_upgrade),
            daily_backup=_flag(self.daily_backup_enabled),
            budget=_number(self.budget),
            created_at=_number(self.creation_time) or 0,
        )

    def secrets(self) -> DatabaseSecrets | None:
        """Return the secrets, or None if the response did not include them."""
        if not self.password or not self.rest_token:
            return None
        return DatabaseSecrets(
            password=Secret(_text(self.password)),
            rest_token=Secret(_text(self.rest_token)),
            read_only_rest_token=Secret(_text(self.read_only_rest_token)),
        )

    def ca_file(self) -> str | None:
        """
        Return the certificate file that a sandbox names, or None if there is no such file on this machine.

        A sandbox behind a forwarded port names a file of another machine.
        """
        path = self.tls_ca
        if not isinstance(path, str) or not path.isprintable():
            return None
        with contextlib.suppress(OSError, ValueError):
            return path if Path(path).is_absolute() and Path(path).is_file() else None
        return None


def _host(endpoint: str) -> str:
    """Return the public host for a slug such as ``beloved-stallion-58500``. A full host name is returned unchanged."""
    if not endpoint or "." in endpoint or ":" in endpoint or endpoint == "localhost":
        return endpoint
    return f"{endpoint}.{_DOMAIN}"


def _text(value: _Text) -> str:
    return "" if value is None or isinstance(value, bool) else str(value)


def _number(value: _Text) -> int | None:
    with contextlib.suppress(ValueError, OverflowError):
        return None if value is None or isinstance(value, bool) else int(float(value))
    return None


def _flag(value: _Text, *, default: bool = False) -> bool:
    if value is None or value == "":
        return default
    return value.strip().lower() in {"true", "1", "yes", "on"} if isinstance(value, str) else bool(value)

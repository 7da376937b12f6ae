"""What may be done with the account's databases."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from upstash_helper.client.calls import Calls
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterator


class DatabaseCalls(Calls):
    """The methods for databases. They raise what ``DaemonClient`` says."""

    def regions(self) -> tuple[wire.Region, ...]:
        """Return the regions that a database can be made in."""
        return self._ask("GET", "/v1/regions", wire.RegionList).regions

    def database_page(
        self, *, page_size: int | None = None, page_token: str | None = None, refresh: bool = False
    ) -> wire.DatabaseList:
        """Return one page of the databases. ``refresh`` asks Upstash even if the daemon knows a recent list."""
        query = {
            "page_size": page_size,
            "page_token": page_token,
            "refresh": "true" if refresh else None,
        }
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", f"/v1/databases?{given}" if given else "/v1/databases", wire.DatabaseList)

    def databases(self, *, refresh: bool = False) -> Iterator[wire.Database]:
        """Yield all databases of the account, by name."""
        page = self.database_page(refresh=refresh)
        yield from page.databases
        while page.next_page_token is not None:
            page = self.database_page(page_token=page.next_page_token)
            yield from page.databases

    def create_database(self, new: wire.CreateDatabase, *, idempotency_key: str) -> wire.Database:
        """
        Make a database.

        Args:
            new: What to make.
            idempotency_key: Repeat a call whose outcome is not known with the same key, and there will be one database.
        """
        headers = {"Idempotency-Key": idempotency_key}
        return self._ask("POST", "/v1/databases", wire.Database, body=new, headers=headers)

    def database(self, database_id: str) -> wire.Database:
        """Return one database."""
        return self._ask("GET", _database(database_id), wire.Database)

    def credentials(self, database_id: str) -> wire.DatabaseCredentials:
        """Return what lets a client into one database."""
        return self._ask("GET", f"{_database(database_id)}/credentials", wire.DatabaseCredentials)

    def change_database(self, database_id: str, change: wire.ChangeDatabase) -> wire.Database:
        """Change what ``change`` names, and return the database as it is then."""
        return self._ask("PATCH", _database(database_id), wire.Database, body=change)

    def reset_password(self, database_id: str) -> wire.Database:
        """Give the database a new password and new REST tokens; the old ones stop working."""
        return self._ask("POST", f"{_database(database_id)}/reset-password", wire.Database)

    def delete_database(self, database_id: str) -> None:
        """Delete the database and what is in it."""
        self._send("DELETE", _database(database_id))


def _database(database_id: str) -> str:
    return f"/v1/databases/{quote(database_id, safe='')}"

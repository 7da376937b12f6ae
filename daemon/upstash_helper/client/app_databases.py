"""The databases of the connected account, as an app may use them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, Literal

from msgspec import UNSET

from upstash_helper.client.deadline import Deadline
from upstash_helper.client.errors import DaemonUnreachable, OutcomeUnknown, RequestInProgress
from upstash_helper.protocol.wire import ChangeDatabase, CreateDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.client.app_session import AppSession
    from upstash_helper.protocol.wire import Database, DatabaseCredentials, Plan, Platform

CREATE_SECONDS: Final = 150.0
"""The daemon is sure after two minutes that a create whose answer was lost has made nothing."""

# After a daemon that broke off; it may be starting again.
_AGAIN_SECONDS: Final = 0.5


class Databases:
    """
    ``helper.databases``. Each method tells the scope that it needs, and raises ``InsufficientScope`` without it.

    All raise ``NotConnected`` if no account is connected, ``DatabaseNotFound`` for an id that the account does not
    have, and otherwise what ``Helper`` says.
    """

    def __init__(self, session: AppSession) -> None:
        """Is made by ``Helper``."""
        self._session = session

    def list(self, *, refresh: bool = False) -> tuple[Database, ...]:
        """
        Return all databases, by name. Scope: ``databases:read``.

        Args:
            refresh: Ask Upstash even if the daemon knows a list that is some seconds old.
        """
        return self._session.run(lambda daemon: tuple(daemon.databases(refresh=refresh)))

    def get(self, database_id: str) -> Database:
        """Return one database. Scope: ``databases:read``."""
        return self._session.run(lambda daemon: daemon.database(database_id))

    def create(
        self,
        name: str,
        *,
        primary_region: str,
        read_regions: Iterable[str] = (),
        platform: Platform | None = None,
        plan: Plan | None = None,
        budget: int | None = None,
        eviction: bool | None = None,
        tls: bool | None = None,
        idempotency_key: str | None = None,
        timeout: float = CREATE_SECONDS,
    ) -> Database:
        """
        Make a database, and return it. Scope: ``databases:write``. What is left out is left to Upstash.

        However often the connection breaks on the way, one call makes one database: it is repeated with the same
        idempotency key until the outcome is known.

        Args:
            name: 1 to 64 letters, digits, spaces and ``.:@+-_``.
            primary_region: As ``Helper.regions`` lists them, such as ``eu-west-1``.
            read_regions: Further regions, to read from.
            platform: ``aws`` or ``gcp``; by default that of the region.
            plan: Such as ``free`` or ``payg``.
            budget: US dollars a month.
            eviction: Whether old keys make room for new ones when the database is full.
            tls: Whether clients must use TLS.
            idempotency_key: 1 to 255 visible ASCII characters that stand for this very database: for 24 hours the same
                key returns it, also when the app was started anew in between. By default one that is made for this
                call.
            timeout: Seconds in which an unknown outcome is asked for again.

        Raises:
            OutcomeUnknown: If it is not known in time, or only a person can tell which database it is.
        """
        new = CreateDatabase(
            name=name,
            primary_region=primary_region,
            read_regions=tuple(read_regions),
            platform=platform,
            plan=plan,
            budget=budget,
            eviction=eviction,
            tls=tls,
        )
        return self._create(new, idempotency_key or str(uuid.uuid4()), Deadline(timeout))

    def change(
        self,
        database_id: str,
        *,
        name: str | None = None,
        eviction: bool | None = None,
        auto_upgrade: bool | None = None,
        daily_backup: bool | None = None,
        read_regions: Iterable[str] | None = None,
        plan: Plan | None = None,
        budget: int | None = None,
        tls: Literal[True] | None = None,
    ) -> Database:
        """
        Rename a database, or change its settings, and return it as it is then. Scope: ``databases:write``.

        What is left out stays as it is. Upstash makes one change after the other: if one fails, ``ApiProblem`` has
        those that were made in ``problem.applied``.

        Args:
            database_id: Which one.
            name: 1 to 64 letters, digits, spaces and ``.:@+-_``.
            eviction: Whether old keys make room for new ones when the database is full.
            auto_upgrade: Whether it goes to a larger plan by itself when it is full.
            daily_backup: Whether it is backed up each day.
            read_regions: All the regions to read from.
            plan: Such as ``payg``.
            budget: US dollars a month.
            tls: True turns TLS on, and nothing turns it off again.
        """
        change = ChangeDatabase(
            name=UNSET if name is None else name,
            eviction=UNSET if eviction is None else eviction,
            auto_upgrade=UNSET if auto_upgrade is None else auto_upgrade,
            daily_backup=UNSET if daily_backup is None else daily_backup,
            read_regions=UNSET if read_regions is None else tuple(read_regions),
            plan=UNSET if plan is None else plan,
            budget=UNSET if budget is None else budget,
            tls=UNSET if tls is None else tls,
        )
        return self._session.run(lambda daemon: daemon.change_database(database_id, change))

    def reset_password(self, database_id: str) -> Database:
        """Give the database a new password and new REST tokens; the old ones stop working. ``databases:write``."""
        return self._session.run(lambda daemon: daemon.reset_password(database_id))

    def delete(self, database_id: str) -> None:
        """Delete the database and all that is in it. Scope: ``databases:delete``."""
        self._session.run(lambda daemon: daemon.delete_database(database_id))

    def credentials(self, database_id: str) -> DatabaseCredentials:
        """
        Return what lets a client into one database: URLs, password and tokens. Scope: ``databases:credentials``.

        Raises:
            NotTheCreator: If the app did not create it, and the user did not allow all databases.
        """
        return self._session.run(lambda daemon: daemon.credentials(database_id))

    def env(self, database_id: str) -> dict[str, str]:
        """Return the variables for a ``.env`` file or ``os.environ``, by their names; otherwise as ``credentials``."""
        return self.credentials(database_id).env

    def _create(self, new: CreateDatabase, key: str, deadline: Deadline) -> Database:
        begun = False
        while True:
            try:
                return self._session.run(lambda daemon: daemon.create_database(new, idempotency_key=key))
            except DaemonUnreachable as error:
                begun = begun or error.sent
                wait = _AGAIN_SECONDS if begun else None
                if wait is None or not deadline.wait(wait):
                    raise
            except (OutcomeUnknown, RequestInProgress) as error:
                begun = True
                if error.retry_after is None or not deadline.wait(error.retry_after):
                    raise

"""Who may read the credentials of which database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.broker.errors import NotTheCreator

if TYPE_CHECKING:
    from upstash_helper.broker.callers import Caller
    from upstash_helper.broker.databases.operations.operations import Access, Databases
    from upstash_helper.broker.ledger import CreateJournal


class ReadCredentials:
    """An app reads those of databases that it created; of others only if the user granted all of them."""

    def __init__(self, *, databases: Databases, journal: CreateJournal) -> None:
        self._databases = databases
        self._journal = journal

    async def __call__(self, database_id: str, caller: Caller) -> Access:
        """
        Return a database with its secrets.

        Raises:
            NotTheCreator: If ``caller`` is an app that did not create it; Upstash is not asked then.
            DatabaseNotFound: If the account has none of that id.
            LedgerUnavailable: If it is not known who created it.
            HelperError: As ``Databases.access``.
        """
        if not caller.is_owner and not caller.all_databases:
            creator = await self._journal.creator(database_id)
            if creator is None or creator != caller.owns_as:
                message = (
                    "This app may read the credentials of databases that it created, and this is another one. The user "
                    'can allow all of them: ask with a new pairing, and let the user choose "all databases".'
                )
                raise NotTheCreator(message)
        return await self._databases.access(database_id)

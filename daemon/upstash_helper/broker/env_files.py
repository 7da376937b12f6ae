"""Writing a database's connection variables to one of the user's files, so that they reach a project, not the app."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from upstash_helper.broker.apps.display_text import clean
from upstash_helper.broker.audit import OK
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.errors import AccessEnded, FileRefused, HelperError
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.databases.operations import DatabaseAccess, Databases
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import CreateJournal

ACTION: Final = "env.write"
_REST: Final = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
_REDIS: Final = ("REDIS_URL", "REDIS_CA_FILE")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file is, or will be."""

    path: str
    """The absolute path, without links and relative parts."""
    folder: str
    """The folder that contains it."""
    agreed: str = ""
    """The folder that the user allowed and that contains the file; empty if there is none."""
    can_agree: bool = True
    """Whether the whole folder can be allowed. The home folder and its parents contain too much."""


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What writing variables to a file changes."""

    is_new: bool
    """Whether the file does not exist yet."""
    is_changed: bool
    """Whether anything is different."""
    replaced: tuple[str, ...] = ()
    """The variables that have a different value in the file."""
    git: Literal["ignored", "not_ignored", "no_repository", "not_known"] = "no_repository"
    """Whether Git ignores the file."""


class EnvFiles(Protocol):
    """Files of variables. Every method may raise ``FileRefused`` and ``FileNotWritten``, and nothing else."""

    async def locate(self, path: str, agreed: tuple[str, ...]) -> Place:
        """
        Return the place that an app names.

        Args:
            path: An absolute path, or one relative to the only allowed folder.
            agreed: The folders in which the app may write.
        """

    async def check(self, place: Place, variables: Mapping[str, Secret]) -> FileChange:
        """Return what ``write`` would change, without changing anything. Refuses what ``write`` refuses."""

    async def write(self, place: Place, variables: Mapping[str, Secret], *, may_replace: tuple[str, ...]) -> FileChange:
        """
        Set variables in a file, or create it with them, atomically. All other lines are kept.

        Args:
            place: The file. It is refused if it, or a folder that contains it, has become a link, or Git tracks it.
            variables: The variables.
            may_replace: Those whose value in the file may be replaced.
        """


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, without the values."""

    path: str
    variables: tuple[str, ...]
    change: FileChange


class WriteEnvFile:
    """
    Writes a database's variables to a file for an app, without showing them to the app.

    The user allows a folder once. They are asked each time about a database that the app did not create, whatever else
    it was granted, and before a variable gets another value.
    """

    def __init__(
        self,
        *,
        files: EnvFiles,
        apps: AppRegistry,
        connection: Connection,
        databases: Databases,
        journal: CreateJournal,
        audit: Audit,
        background: Background,
    ) -> None:
        self._files = files
        self._apps = apps
        self._connection = connection
        self._databases = databases
        self._journal = journal
        self._audit = audit
        self._background = background

    async def __call__(
        self,
        caller: Caller,
        database_id: str,
        path: str,
        *,
        redis_url: bool,
        confirm: Callable[[Question], Awaitable[bool]],
    ) -> Written | None:
        """
        Write the variables, and return what was written; None if the user did not allow it.

        Args:
            caller: The app.
            database_id: The database.
            path: As for ``EnvFiles.locate``.
            redis_url: Whether to write ``REDIS_URL``, too.
            confirm: Asks the user. It is called at most once, and before anything is changed.

        Raises:
            FileRefused: If this file is never written to, whatever the user says.
            FileNotWritten: If the file cannot be read or written.
            AccessEnded: If the app's access has ended.
            DatabaseNotFound: If the account has none with this ID.
            LedgerUnavailable: If the creator cannot be looked up, or the change cannot be recorded.
            HelperError: Like ``Databases.access``.
        """
        folders = (await self._apps.get(caller.id)).folders
        place = await self._files.locate(path, folders)
        _require_readable(place.path)
        access = await self._access(caller, database_id)
        is_own = await self._is_own(caller, database_id)
        variables = _variables(access, redis_url=redis_url)
        change = await self._files.check(place, variables)
        if not place.agreed or not is_own or change.replaced:
            question = _question(place, access, tuple(variables), change, is_own=is_own)
            if not await confirm(question):
                return None
            # The password may have been reset while the user decided.
            access = await self._access(caller, database_id)
            variables = _variables(access, redis_url=redis_url)
            if not place.agreed and place.can_agree:
                await self._audit.note(caller, "app.agree_folder", place.folder)
                await self._apps.agree(caller.id, place.folder)
        elif not change.is_changed:
            return Written(path=place.path, variables=tuple(variables), change=change)
        written = await self._background.finish(self._write(caller, place, variables, change.replaced, database_id))
        return Written(path=place.path, variables=tuple(variables), change=written)

    async def _access(self, caller: Caller, database_id: str) -> DatabaseAccess:
        async with self._apps.exchanges.begin(caller):
            return await self._databases.access(database_id)

    async def _is_own(self, caller: Caller, database_id: str) -> bool:
        # The option "all databases" does not count: it is about reading credentials and running commands, and the
        # user agreed to a folder for databases that the app created.
        account = (await self._connection.usable()).account_key
        creator = await self._journal.creator(database_id, account=account)
        return creator is not None and creator == caller.creator_key

    async def _write(
        self,
        caller: Caller,
        place: Place,
        variables: Mapping[str, Secret],
        may_replace: tuple[str, ...],
        database_id: str,
    ) -> FileChange:
        target = f"{database_id} {place.path}"
        entry = await self._audit.begin(caller, ACTION, target)
        result = "internal_error"
        try:
            if not self._apps.has_access(caller):  # it has ended while this was recorded
                raise AccessEnded
            change = await self._files.write(place, variables, may_replace=may_replace)
            result = OK
        except HelperError as error:
            result = error.code
            raise
        finally:
            await self._audit.settle(entry, target=target, result=result)
        return change


def _variables(access: DatabaseAccess, *, redis_url: bool) -> dict[str, Secret]:
    names = (*_REST, *_REDIS) if redis_url else _REST
    return {name: Secret(access.env[name]) for name in names if name in access.env}


def _require_readable(path: str) -> None:
    """Refuse a path that the user could not read in a question."""
    normal = unicodedata.normalize("NFC", path)
    if clean(normal, len(normal)) != normal:
        raise FileRefused("The path contains characters that cannot be shown to the user.")


def _question(
    place: Place, access: DatabaseAccess, names: tuple[str, ...], change: FileChange, *, is_own: bool
) -> Question:
    database = access.database
    name = clean(database.name, 80) or "(no name)"
    sets = f"{', '.join(names[:-1])} and {names[-1]}"
    sentences = [f"It sets {sets} {'in a new file' if change.is_new else 'and keeps all other lines'}."]
    if change.replaced:
        sentences.append(f"It replaces the current values of: {', '.join(change.replaced)}.")
    if not is_own:
        sentences.append("The app did not create this database.")
    if not place.agreed and place.can_agree:
        sentences.append(
            "If you allow this, the app can also write variables of databases that it created to other files in"
            f" {place.folder} and its subfolders, until you revoke its access."
        )
    if change.git == "not_ignored":
        sentences.append("Git does not ignore this file, so it could be committed by mistake.")
    if change.git == "not_known":
        sentences.append(
            "It is not known whether Git ignores this file. If it does not, it could be committed by mistake."
        )
    return Question(
        action=ACTION,
        title=f'Write the credentials of the database "{name}" ({database.id}) to {place.path}?',
        detail=" ".join(sentences),
        target=place.path,
        lasting=not place.agreed and place.can_agree,
    )

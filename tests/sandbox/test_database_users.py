"""Database users: ACL over REST and TCP, and the users' tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as LostConnection

from tests.sandbox.callers import Caller, bearer
from tests.sandbox.rest_target import Target
from tests.support.sandbox import Sandbox
from tests.support.until import SECONDS
from upstash_helper.sandbox.redis.dialect.tokens import VERSION, UserToken, checksum, parse_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no users")


@pytest.fixture
async def database(caller: Caller, shared_database: dict[str, Any]) -> dict[str, Any]:
    """A database with only its built-in users."""
    own = set(await caller.run(shared_database, "ACL", "USERS")) - {"default"}
    await caller.run(shared_database, "ACL", "DELUSER", "nobody", *own)
    return shared_database


@pytest.fixture
def target(shared_sandbox: Sandbox, shared_database: dict[str, Any]) -> Target:
    """The REST API, and the token of a database that is shared by all examples."""
    return Target(shared_sandbox.rest_url, shared_database["rest_token"])


async def error_of(caller: Caller, database: dict[str, Any], *command: str) -> str:
    """Run a command that must fail over REST, and return the error."""
    response = await caller.rest(database["rest_token"], method="POST", json=list(command))
    assert response.status == 400, response.body
    return str(response.json["error"])


async def make(caller: Caller, database: dict[str, Any], name: str, *rules: str) -> str:
    """Create a user that can sign in, and return its token."""
    token = str(await caller.run(database, "ACL", "GENTOKEN", name))
    assert await caller.run(database, "ACL", "SETUSER", name, "on", f">{token}", *rules) == "OK"
    return token


async def run_as(caller: Caller, token: str, *command: str) -> tuple[int, Any]:
    """Run a command over REST with a user's token."""
    response = await caller.rest(token, method="POST", json=list(command))
    return response.status, response.json.get("result", response.json.get("error"))


@pytest.fixture
async def owner(database: dict[str, Any]) -> AsyncIterator[Redis]:
    """A TCP connection as the database's default user."""
    async with connected(database, "default", database["password"]) as client:
        yield client


def connected(database: dict[str, Any], user: str, password: str, **options: Any) -> Redis:
    """Return a TCP client that signs in as a user."""
    address = {"host": database["endpoint"], "port": database["port"]}
    return Redis(**address, username=user, password=password, decode_responses=True, **options)


async def execute(client: Redis, *command: str) -> Any:
    """Run a command over TCP, and return its reply."""
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_token_is_the_password_over_tcp_and_the_token_over_rest(caller: Caller, database: dict[str, Any]) -> None:
    """
    What `ACL GENTOKEN` returns, and `ACL SETUSER` adds, gives the user's rights, and no others, over both.
    """
    token = await make(caller, database, "app", "~cache:*", "+get", "+set")

    over_rest = [
        await run_as(caller, token, *command)
        for command in (("SET", "cache:a", "1"), ("GET", "cache:a"), ("GET", "other"), ("DEL", "cache:a"))
    ]
    async with connected(database, "app", token) as client:
        over_tcp = await client.get("cache:a")
        with pytest.raises(NoPermissionError):
            await client.get("other")
        with pytest.raises(NoPermissionError):
            await client.delete("cache:a")

    assert [(200, "OK"), (200, "1")] == over_rest[:2]
    assert [400, 400] == [status for status, _ in over_rest[2:]]
    assert all(text.startswith("NOPERM ") for _, text in over_rest[2:])
    assert over_tcp == "1"


async def test_rest_token_of_a_user(caller: Caller, database: dict[str, Any], owner: Redis) -> None:
    """
    `ACL RESTTOKEN` takes the token, or the password that it was made from, and returns the token. For built-in users,
    it returns the tokens that the Developer API shows.
    """
    password = "correct horse battery"
    token = await execute(owner, "ACL", "GENTOKEN", "app", password)
    await execute(owner, "ACL", "SETUSER", "app", "on", f">{token}", "+ping")

    tokens = [
        await execute(owner, "ACL", "RESTTOKEN", name, secret)
        for name, secret in (
            ("app", token),
            ("app", password),
            ("default", database["password"]),
            ("default_ro", database["read_only_rest_token"]),
        )
    ]

    assert [token, token, database["rest_token"], database["read_only_rest_token"]] == tokens
    assert await run_as(caller, tokens[1], "PING") == (200, "PONG")


@pytest.mark.parametrize(
    ("name", "password"),
    [("app", "wrong"), ("nobody", "wrong"), ("default", "wrong"), ("sandbox", "wrong"), ("x" * 300, "wrong")],
)
async def test_rest_token_needs_the_password(
    caller: Caller, database: dict[str, Any], name: str, password: str
) -> None:
    """
    A wrong password, and a user that does not exist, are the same error, in Upstash's words.
    """
    await make(caller, database, "app", "+ping")

    error = await error_of(caller, database, "ACL", "RESTTOKEN", name, password)

    assert f'ERR Wrong password or user "{name[:64]}" does not exist' == error


INVALID_RULES = {
    "plain password": (
        ">s3cret-password",
        "'>(password)': The password must be a token that ACL GENTOKEN has returned",
    ),
    "hash": ("#" + "0" * 64, "'#(password)': A hashed password is not supported"),
    "no password": ("nopass", "'nopass': Every user must have a password"),
    "subcommand": ("+client|list", "'+client|list': Rules for subcommands are not supported"),
    "selector": ("(+get ~a)", "'(+get ~a)': Syntax error"),
    "unknown": ("+nonsense", "'+nonsense': Unknown command or category name in ACL"),
    "administration": ("+shutdown", "'+shutdown': Administrative commands are not available to this user"),
    "users": ("+ACL", "'+ACL': Administrative commands are not available to this user"),
    "category": ("+@admin", "'+@admin': Administrative commands are not available to this user"),
    "nothing": ("", "'': Syntax error"),
}


@pytest.mark.parametrize(("rule", "text"), INVALID_RULES.values(), ids=INVALID_RULES.keys())
async def test_rule_that_is_not_available(caller: Caller, database: dict[str, Any], rule: str, text: str) -> None:
    """
    The error names the rule, but not a password in it, and the user is not created.
    """
    error = await error_of(caller, database, "ACL", "SETUSER", "app", "on", rule)

    assert error.startswith(f"ERR Error in ACL SETUSER modifier {text}")
    assert await caller.run(database, "ACL", "GETUSER", "app") is None


async def test_token_is_for_one_user_of_one_database(caller: Caller, database: dict[str, Any]) -> None:
    """
    A token for another user or another database is not accepted as a password.
    """
    other = await caller.create()
    tokens = [
        str(await caller.run(database, "ACL", "GENTOKEN", "other")),
        str(await caller.run(other, "ACL", "GENTOKEN", "app")),
    ]

    errors = [await error_of(caller, database, "ACL", "SETUSER", "app", f">{token}") for token in tokens]

    assert all("must be a token that ACL GENTOKEN has returned for this user" in error for error in errors)
    assert not any(token in error for token, error in zip(tokens, errors, strict=True))


@pytest.mark.parametrize("password", ["short", "a" * 100, "12345678901"])
async def test_weak_password_is_refused(caller: Caller, database: dict[str, Any], password: str) -> None:
    """
    No token is made from a password that is easy to guess.
    """
    assert "too weak" in await error_of(caller, database, "ACL", "GENTOKEN", "app", password)


async def test_no_rule_gives_administrative_commands(caller: Caller, database: dict[str, Any], owner: Redis) -> None:
    """
    A user with all commands can neither manage users nor use what is reserved for the server's administrator.
    """
    token = await make(caller, database, "app", "allkeys", "allchannels", "+@all")

    async with connected(database, "app", token) as client:
        for command in (
            ("ACL", "SETUSER", "app", "+get"),
            ("ACL", "DELUSER", "app"),
            ("ACL", "LIST"),
            ("ACL", "GETUSER", "default"),
            ("ACL", "GENTOKEN", "app"),
            ("ACL", "RESTTOKEN", "default", database["password"]),
            ("CONFIG", "SET", "dir", "."),
            ("DEBUG", "JMAP"),
            ("SHUTDOWN",),
            ("MODULE", "LIST"),
            ("REPLICAOF", "localhost", "1"),
        ):
            with pytest.raises(RedisError, match=r"no permissions|not available"):
                await execute(client, *command)
            assert (await run_as(caller, token, *command))[0] == 400
        assert await execute(client, "ACL", "WHOAMI") == "app"
        assert await client.set("a", "1")
    assert await owner.get("a") == "1"


async def test_users_of_the_sandbox_are_hidden(caller: Caller, database: dict[str, Any], owner: Redis) -> None:
    """
    Only `default` and created users are listed. The others cannot be seen, changed, or deleted. `default` is unchanged.
    """
    await make(caller, database, "app", "+get")

    names = await execute(owner, "ACL", "USERS")
    lines = await execute(owner, "ACL", "LIST")
    hidden = [await execute(owner, "ACL", "GETUSER", name) for name in ("sandbox", "default_ro", "nobody")]
    errors = [
        await error_of(caller, database, "ACL", *arguments)
        for name in ("default", "default_ro", "sandbox")
        for arguments in (("SETUSER", name, "+get"), ("DELUSER", "app", name), ("GENTOKEN", name))
    ]

    assert ["app", "default"] == sorted(names)
    assert ["app", "default"] == sorted(line.split()[1] for line in lines)
    assert [None, None, None] == hidden
    assert all("cannot be" in error for error in errors)
    assert "ERR User 'sandbox' not found" == await error_of(caller, database, "ACL", "DRYRUN", "sandbox", "GET", "a")
    assert ["app", "default"] == sorted(await execute(owner, "ACL", "USERS"))


async def test_getuser_has_the_fields_of_upstash(caller: Caller, database: dict[str, Any]) -> None:
    """
    There are five fields, and the patterns are arrays.
    """
    token = await make(caller, database, "app", "~a:*", "~b:*", "&c", "+get", "+@hash")

    reply = await caller.run(database, "ACL", "GETUSER", "app")

    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    (stored,) = fields.pop("passwords")
    expected = {"flags": ["on"], "commands": "-@all +get +@hash", "keys": ["~a:*", "~b:*"], "channels": ["&c"]}
    assert expected == fields
    assert len(stored) == 64
    assert token not in str(reply)


async def test_other_subcommands(caller: Caller, database: dict[str, Any], owner: Redis) -> None:
    """
    WHOAMI, CAT, GENPASS, and DRYRUN work; LOG is empty; SAVE has no effect, as at Upstash.
    """
    await make(caller, database, "app", "~a", "+get")

    assert await execute(owner, "ACL", "WHOAMI") == "default"
    assert await caller.run(database, "ACL", "WHOAMI") == "default"
    assert "read" in await caller.run(database, "ACL", "CAT")
    assert len(await caller.run(database, "ACL", "GENPASS")) == 64
    assert await caller.run(database, "ACL", "DRYRUN", "app", "GET", "a") == "OK"
    assert "no permissions" in await caller.run(database, "ACL", "DRYRUN", "app", "SET", "a", "b")
    assert await caller.run(database, "ACL", "LOG") == []
    assert await caller.run(database, "ACL", "LOG", "RESET") == "OK"
    assert await caller.run(database, "ACL", "SAVE") == "OK"


async def test_acl_in_a_transaction_and_in_resp3(caller: Caller, database: dict[str, Any]) -> None:
    """
    The replies are the same in a transaction, and in version 3 of the protocol. Nothing hidden is shown.
    """
    client = Redis(
        host=database["endpoint"],
        port=database["port"],
        password=database["password"],
        protocol=3,
        decode_responses=True,
    )
    async with client, client.pipeline(transaction=True) as transaction:
        token = await execute(client, "ACL", "GENTOKEN", "app")
        transaction.execute_command("ACL", "SETUSER", "app", "on", f">{token}", "+ping")
        transaction.execute_command("ACL", "USERS")
        transaction.execute_command("ACL", "RESTTOKEN", "app", token)
        results = await transaction.execute()
        over_rest = await caller.rest(
            database["rest_token"], "/multi-exec", method="POST", json=[["ACL", "USERS"], ["ACL", "GETUSER", "sandbox"]]
        )
        fields = await execute(client, "ACL", "GETUSER", "app")

    assert ["OK", token] == [results[0], results[2]]
    assert ["app", "default"] == sorted(results[1])
    assert ["app", "default"] == sorted(over_rest.json[0]["result"])
    assert {"result": None} == over_rest.json[1]
    assert ["on"] == list(fields["flags"])


async def test_changes_apply_to_tokens_at_once(caller: Caller, database: dict[str, Any]) -> None:
    """
    A token is invalid after its password was removed, the user was disabled, or the user was deleted.
    """
    for name, change in (("a", ["SETUSER", "a", "<{token}"]), ("b", ["SETUSER", "b", "off"]), ("c", ["DELUSER", "c"])):
        token = await make(caller, database, name, "+ping")
        before = await run_as(caller, token, "PING")
        await caller.run(database, "ACL", *(part.format(token=token) for part in change))
        after = await caller.rest(token, "/ping")

        assert (200, "PONG") == before
        assert after.status == 401
        assert after.json["error"].startswith("WRONGPASS invalid or missing auth token")


async def test_narrowed_user(caller: Caller, database: dict[str, Any]) -> None:
    """
    A token has the rights that its user has when it is used.
    """
    token = await make(caller, database, "app", "+ping", "+echo")
    await caller.run(database, "ACL", "SETUSER", "app", "-echo")

    assert (await run_as(caller, token, "PING"))[0] == 200
    assert (await run_as(caller, token, "ECHO", "x"))[0] == 400


async def test_deleting_a_user_ends_its_connections(
    caller: Caller, database: dict[str, Any], session: aiohttp.ClientSession
) -> None:
    """
    Connections and streams of a deleted user are closed.
    """
    token = await make(caller, database, "app", "&*", "+ping", "+subscribe")
    headers = {**bearer(token), "Accept": "text/event-stream"}
    async with (
        connected(database, "app", token) as client,
        session.get(f"{caller.sandbox.rest_url}/subscribe/chat", headers=headers) as events,
    ):
        await client.ping()
        await events.content.readline()
        removed = await caller.run(database, "ACL", "DELUSER", "app", "nobody")

        async with asyncio.timeout(SECONDS):
            await events.content.read()
        with pytest.raises((AuthenticationError, LostConnection)):
            await client.ping()

    assert removed == 1


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_users_are_kept(tmp_path: Path, session: aiohttp.ClientSession, *, kill: bool) -> None:
    """
    Users and their tokens are valid after a restart, also one after a crash, and only hashes are on the disk.
    """
    async with Sandbox.running(tmp_path) as sandbox:
        caller = await Caller.new(sandbox, session)
        database = await caller.create()
        token = await make(caller, database, "Ada-é", "~“*", "+get", "+ping")
        await make(caller, database, "gone", "+ping")
        await until_kept(tmp_path, "gone", exists=True)
        await caller.run(database, "ACL", "DELUSER", "gone")
        if kill:
            await until_kept(tmp_path, "gone", exists=False)
            await sandbox.kill()
        await sandbox.restart()

        assert await run_as(caller, token, "PING") == (200, "PONG")
        assert ["Ada-é", "default"] == sorted(await caller.run(database, "ACL", "USERS"))
        assert ["~“*"] == (await caller.run(database, "ACL", "GETUSER", "Ada-é"))[7]
        await sandbox.stop()

    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(token.encode() in content for content in files)


@pytest.mark.parametrize("denied", ["xtrim", "xsetid", "xadd"])
async def test_document_stays_if_a_command_is_denied(caller: Caller, database: dict[str, Any], denied: str) -> None:
    """
    A document is stored as a stream. If one of the commands that write it is denied, the document stays as it is.
    """
    await caller.run(database, "JSON.SET", "doc", "$", '{"a":[1,2]}')
    token = await make(caller, database, "reader", "~*", "+@all", f"-{denied}")

    replies = [
        await run_as(caller, token, *command)
        for command in (["JSON.SET", "doc", "$.a", "1"], ["JSON.ARRPOP", "doc", "$.a"], ["JSON.DEL", "doc", "$.a"])
    ]
    kept = await caller.run(database, "JSON.GET", "doc")

    assert [True] * 3 == [status == 400 and error.startswith("NOPERM ") for status, error in replies]
    assert '{"a":[1,2]}' == kept


async def until_kept(folder: Path, name: str, *, exists: bool) -> None:
    """Wait until a user is in the files, or no longer: they are written after the reply."""

    def mentioned() -> bool:
        return any(name.encode() in path.read_bytes() for path in folder.rglob("valkey.conf"))

    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(mentioned) != exists:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("token", ["AQ", "AQ==", "AQFhAWI", "é", "A" * 2000, "AQFhAWJjY2NjY2M"])
async def test_malformed_token_is_401(caller: Caller, database: dict[str, Any], token: str) -> None:
    """
    A string that only looks like a user's token is rejected.
    """
    response = await caller.rest(token, "/ping")

    assert response.status == 401
    assert database


RULES = st.lists(
    st.sampled_from(
        (
            *("on", "off", "reset", "resetkeys", "allkeys", "~*", "&*", "allcommands", "AllCommands", "nocommands"),
            *("+@all", "+@ALL", "-@all", "+@admin", "-@admin", "+@dangerous", "-@dangerous", "+@slow", "+@fast"),
            *("+@connection", "+@read", "-@read", "+acl", "+ACL", "-acl", "+acl|setuser", "+shutdown", "+debug"),
            *("+get", "-get", "+client", "-client", "+monitor", "+keys", "+replicaof", "+migrate", "+module", "+save"),
        )
    ),
    max_size=6,
)
FORBIDDEN = (
    ("ACL", "SETUSER", "app", "+@all"),
    ("ACL", "LIST"),
    ("SHUTDOWN",),
    ("DEBUG", "SLEEP", "0"),
    ("REPLICAOF", "localhost", "1"),
    ("MODULE", "LIST"),
    ("SAVE",),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(RULES, min_size=1, max_size=3))
def test_no_sequence_of_rules_gives_administrative_commands(target: Target, calls: list[list[str]]) -> None:
    """
    Whatever rules are set, in whatever calls, the server itself lets no database user administer it.
    """
    body = [["ACL", "DELUSER", "app"], *(["ACL", "SETUSER", "app", *rules] for rules in calls)]
    body += [
        ["ACL", "SETUSER", "app"],
        *(["ACL", "DRYRUN", "app", *command] for command in FORBIDDEN),
        ["ACL", "USERS"],
    ]

    status, replies = target.send("POST", "/pipeline", json.dumps(body).encode())

    assert status == 200
    *_, names = replies
    checks = [reply["result"] for reply in replies[-1 - len(FORBIDDEN) : -1]]
    assert all(check.startswith("User app has no permissions to run the ") for check in checks), checks
    assert {"app", "default"} == set(names["result"])


@given(st.binary(max_size=60))
def test_any_bytes_can_be_taken_for_a_token(data: bytes) -> None:
    """
    A string that is not a token yields None, even if it has a token's form and checksum.
    """
    content = VERSION + data
    forged = base64.urlsafe_b64encode(content + checksum(content)).rstrip(b"=")

    parsed = parse_token(forged)

    assert parse_token(data) is None
    assert parsed is None or isinstance(parsed, UserToken)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=60), st.binary(max_size=60))
def test_token_has_what_it_was_made_of(database_id: str, user: str, password: bytes) -> None:
    """
    Every name and password can be read from its token, and a changed token is invalid.
    """
    token = UserToken(database_id, user.encode(), password)

    encoded = token.encode()

    assert token == parse_token(encoded)
    assert parse_token(encoded[:-8]) is None
    assert parse_token(encoded + b"AAAA") is None

"""``demo``: the main job, on a sandbox, step by step."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import click

from upstash_helper.cli.commands.sandbox import require_sandbox
from upstash_helper.cli.errors import Failure

if TYPE_CHECKING:
    from upstash_helper.cli.demo.processes import DemoWorld
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import Database, DatabaseCredentials

CONNECTED: Final = "Your account has been connected"
_ATTEMPT_SECONDS: Final = 60.0


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop after the last step instead of staying up.")
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON.")
def demo(*, once: bool, as_json: bool) -> None:
    """
    See it all work, on a sandbox: no Upstash account is needed, and nothing leaves this machine.

    A daemon and a sandbox are started, an account is made and connected through the real sign-in, a database is
    created, listed, written and read. Then all stays up to be tried, until Ctrl-C. Nothing is left behind: the demo's
    folders are temporary, and its API key is kept in memory.
    """
    require_sandbox()
    from upstash_helper.cli.demo.processes import demo_world

    with _interrupted_by_sigterm(), demo_world() as world:
        teller = Teller(as_json=as_json)
        client, database, credentials = _main_job(world, teller)
        teller.addresses(world, client, database, credentials)
        if not once:
            click.echo("\nIt stays up until Ctrl-C.", err=as_json)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    click.echo("Stopped. Nothing is left behind.", err=True)


def _main_job(world: DemoWorld, teller: Teller) -> tuple[DaemonClient, Database, DatabaseCredentials]:
    from upstash_helper.cli.demo.browserless_login import BrowserSession
    from upstash_helper.protocol import wire

    step = teller.step
    try:
        step("The sandbox, a local Upstash, is up", world.start_sandbox)
        client = step("The daemon is up", world.start_daemon)
        visitor = BrowserSession()
        started = step("An app asks it to connect an account", lambda: client.connect(open_browser=False))
        assert isinstance(started, wire.StartedAttempt)  # noqa: S101 - nothing is connected yet
        redirect = step(
            f"The user signs up on Upstash's page as {world.email}",
            lambda: visitor.sign_up(started.authorization_url, email=world.email, password=world.password),
        )
        step("The browser comes back to the daemon with a code", lambda: visitor.follow(redirect))
        step("The daemon makes an API key and stores it", lambda: _connected(client, started.attempt_id))
        step(f'The browser shows "{CONNECTED}"', lambda: _shows_connected(visitor, world, started.attempt_id))
        new = wire.CreateDatabase(name="demo", primary_region="eu-west-1")
        key = str(uuid.uuid4())
        database = step("A database is created", lambda: client.create_database(new, idempotency_key=key))
        step("It is in the list", lambda: _listed(client, database))
        credentials = step("Its credentials are read", lambda: client.credentials(database.id))
        step("SET and GET over TCP, with redis-py", lambda: _use_tcp(credentials.redis_url))
        step("SET and GET over REST", lambda: _use_rest(credentials.rest_url, credentials.rest_token))
    except StepFailed as failed:
        message = "\n".join([str(failed), *world.traces()])
        raise Failure(message, code="demo_failed") from failed
    return client, database, credentials


class StepFailed(Exception):
    """A step of the demo did not work."""


class Teller:
    """Says what happens, with the time that it took."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json

    def step(self, what: str, do: Callable[[], Any]) -> Any:
        """
        Do something and say so.

        Raises:
            StepFailed: If it raises.
        """
        begun = time.perf_counter()
        try:
            result = do()
        except Failure:
            raise
        except Exception as error:
            message = f"✗ {what}: {error}"
            raise StepFailed(message) from error
        milliseconds = (time.perf_counter() - begun) * 1000
        if self._json:
            click.echo(json.dumps({"step": what, "milliseconds": round(milliseconds, 1)}))
        else:
            click.echo(f"✓ {milliseconds:7.0f} ms  {what}")
        return result

    def addresses(
        self, world: DemoWorld, client: DaemonClient, database: Database, credentials: DatabaseCredentials
    ) -> None:
        """Say where everything is."""
        found = {
            "Dashboard": client.open_dashboard().url,
            "API": client.base_url,
            "Sandbox": world.sandbox["auth_url"],
            "Redis": credentials.redis_url,
        }
        if self._json:
            named = {name.lower(): address for name, address in found.items()}
            click.echo(json.dumps({"database": database.id, **named, "env": credentials.env}))
            return
        click.echo()
        for name, address in found.items():
            click.echo(f"{name + ':':<11} {address}")
        click.echo("\nThe dashboard's address is good once, for a minute. For another one:")
        click.echo(f"  upstash-helper open --print     with UPSTASH_HELPER_HOME={world.home}")
        click.echo("\nThe database, for a .env file:")
        for name, value in credentials.env.items():
            click.echo(f"  {name}={value}")


def _connected(client: DaemonClient, attempt_id: str) -> None:
    attempt = client.wait_for_attempt(attempt_id, timeout=_ATTEMPT_SECONDS)
    if attempt.state != "succeeded":
        message = str(attempt.detail or attempt.state)
        raise StepFailed(message)


def _shows_connected(visitor: Any, world: DemoWorld, attempt_id: str) -> None:
    page = visitor.follow(f"http://localhost:{world.port}/?attempt={attempt_id}")
    if page.title != CONNECTED:
        message = f"the page says {page.title!r}"
        raise StepFailed(message)


def _listed(client: DaemonClient, database: Database) -> None:
    if database.id not in {it.id for it in client.databases()}:
        message = "the list does not have it"
        raise StepFailed(message)


def _use_tcp(url: str) -> None:
    import redis

    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.set("greeting", "hello over TCP")
        _same("hello over TCP", client.get("greeting"))


def _use_rest(url: str, token: str) -> None:
    opener = build_opener(ProxyHandler({}))

    def command(*words: str) -> object:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = Request(url, data=json.dumps(words).encode(), headers=headers)  # noqa: S310 - the daemon's own answer
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)["result"]

    _same("hello over TCP", command("GET", "greeting"))
    command("SET", "greeting", "hello over REST")
    _same("hello over REST", command("GET", "greeting"))


def _same(expected: str, actual: object) -> None:
    if actual != expected:
        message = f"{actual!r} was read instead of {expected!r}"
        raise StepFailed(message)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that what it has started is stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

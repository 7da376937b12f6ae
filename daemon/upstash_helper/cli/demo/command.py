"""``demo``: from signing in to using a database, step by step, on a sandbox."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import click

from upstash_helper.cli.commands.sandbox import require_sandbox
from upstash_helper.cli.errors import Failure
from upstash_helper.protocol.messages import ATTEMPTS

if TYPE_CHECKING:
    from upstash_helper.cli.demo.processes import DemoEnvironment
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import Database, DatabaseCredentials

CONNECTED: Final = ATTEMPTS["succeeded"].title
_ATTEMPT_SECONDS: Final = 60.0


@click.command("demo")
@click.option("--once", is_flag=True, help="Exit after the last step instead of waiting for Ctrl-C.")
@click.option("--partner", is_flag=True, help="Use the partner sign-in, with an OAuth client ID and an API key.")
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON.")
def demo(*, once: bool, partner: bool, as_json: bool) -> None:
    """
    Try everything on a local sandbox, without an account. Nothing leaves this machine.

    Starts a daemon and a sandbox, creates an account and connects it through the real sign-in, and creates, lists,
    writes, and reads a database. Everything then keeps running until Ctrl-C. Nothing remains: the demo uses
    temporary folders, and keeps its credential in memory.
    """
    require_sandbox()
    from upstash_helper.cli.demo.processes import demo_environment

    with _interrupted_by_sigterm(), demo_environment(partner=partner) as environment:
        printer = StepPrinter(as_json=as_json)
        client, database, credentials = _main_job(environment, printer)
        if as_json or not once:
            printer.addresses(environment, client, database, credentials)
        if not once:
            click.echo("\nPress Ctrl-C to stop.", err=as_json)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    remains = environment.home.exists()  # Windows keeps files that a program still has open
    click.echo(f"Stopped. Remove this folder: {environment.home}" if remains else "Stopped. Nothing remains.", err=True)


def _main_job(environment: DemoEnvironment, printer: StepPrinter) -> tuple[DaemonClient, Database, DatabaseCredentials]:
    from upstash_helper.cli.sandbox.browserless_login import BrowserSession
    from upstash_helper.protocol import wire

    step = printer.step
    try:
        step("Start the sandbox, a local Upstash", environment.start_sandbox)
        client = step("Start the daemon", environment.start_daemon)
        browser = BrowserSession()
        started = step("An app asks to connect an account", lambda: client.connect(open_browser=False))
        assert isinstance(started, wire.StartedAttempt)  # noqa: S101 - nothing is connected yet
        redirect = step(
            f"The user signs up as {environment.email}",
            lambda: browser.sign_up(started.authorization_url, email=environment.email, password=environment.password),
        )
        if not environment.partner:
            redirect = step("The user allows full access", lambda: browser.allow(redirect))
        page = step("The browser is redirected to the daemon with a code", lambda: browser.follow(redirect))
        stored = "creates and stores an API key" if environment.partner else "stores the sign-in"
        step(f"The daemon {stored}", lambda: _connected(client, started.attempt_id))
        step(f'The browser shows "{CONNECTED}"', lambda: _shows_connected(browser, page.url))
        new = wire.CreateDatabase(name="demo", primary_region="eu-west-1")
        key = str(uuid.uuid4())
        database = step("Create a database", lambda: client.create_database(new, idempotency_key=key))
        step("List the databases", lambda: _listed(client, database))
        credentials = step("Read its credentials", lambda: client.credentials(database.id))
        step("SET and GET over TCP, with redis-py", lambda: _use_tcp(credentials.redis_url))
        step("SET and GET over REST", lambda: _use_rest(credentials.rest_url, credentials.rest_token))
    except StepFailed as failed:
        message = "\n".join([str(failed), *environment.diagnostics()])
        raise Failure(message, code="demo_failed") from failed
    return client, database, credentials


class StepFailed(Exception):
    """A step of the demo failed."""


class StepPrinter:
    """Runs steps and prints each with its duration."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json

    def step(self, what: str, do: Callable[[], Any]) -> Any:
        """
        Run a step and print it.

        Raises:
            StepFailed: If the step raises.
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
        self, environment: DemoEnvironment, client: DaemonClient, database: Database, credentials: DatabaseCredentials
    ) -> None:
        """Print the addresses of everything that is running."""
        found = {
            "Dashboard": client.open_dashboard().url,
            "API": client.base_url,
            "Sandbox": environment.sandbox["auth_url" if environment.partner else "issuer_url"],
            "Redis": credentials.redis_url,
        }
        if self._json:
            named = {name.lower(): address for name, address in found.items()}
            click.echo(json.dumps({"database": database.id, **named, "env": credentials.env}))
            return
        click.echo()
        for name, address in found.items():
            click.echo(f"{name + ':':<11} {address}")
        click.echo("\nThe dashboard's address works once, within a minute. To get another one:")
        click.echo(f"  {_open_command(environment)}")
        click.echo("\nEnvironment variables of the database:")
        for name, value in credentials.env.items():
            click.echo(f"  {name}={value}")


def _open_command(environment: DemoEnvironment) -> str:
    """Return a command for another terminal. It names this interpreter: the helper may not be installed."""
    home, python = str(environment.home), sys.executable
    if sys.platform == "win32":
        return f'set "UPSTASH_HELPER_HOME={home}" && "{python}" -m upstash_helper open --print'
    return f"UPSTASH_HELPER_HOME={shlex.quote(home)} {shlex.quote(python)} -m upstash_helper open --print"


def _connected(client: DaemonClient, attempt_id: str) -> None:
    attempt = client.wait_for_attempt(attempt_id, timeout=_ATTEMPT_SECONDS)
    if attempt.state != "succeeded":
        message = str(attempt.detail or attempt.state)
        raise StepFailed(message)


def _shows_connected(browser: Any, url: str) -> None:
    page = browser.follow(url)
    if page.title != CONNECTED:
        message = f"the page shows {page.title!r}"
        raise StepFailed(message)


def _listed(client: DaemonClient, database: Database) -> None:
    if database.id not in {it.id for it in client.databases()}:
        message = "the database is not in the list"
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
        request = Request(url, data=json.dumps(words).encode(), headers=headers)  # noqa: S310 - a URL from the daemon
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)["result"]

    _same("hello over TCP", command("GET", "greeting"))
    command("SET", "greeting", "hello over REST")
    _same("hello over REST", command("GET", "greeting"))


def _same(expected: str, actual: object) -> None:
    if actual != expected:
        message = f"read {actual!r} instead of {expected!r}"
        raise StepFailed(message)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Handle SIGTERM as Ctrl-C, so that the processes of the demo are stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

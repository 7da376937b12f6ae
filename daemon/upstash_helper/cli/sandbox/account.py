"""The account of ``sandbox up``: it signs in without a browser, through the real OAuth flow, and has one database."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Final
from urllib.error import URLError

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.sandbox.own_profile import new_password
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.cli.sandbox.browserless_login import BrowserSession
    from upstash_helper.cli.sandbox.own_profile import Kept, SandboxProfile
    from upstash_helper.client.daemon import DaemonClient

DATABASE: Final = "sandbox"
"""The name of the database."""
_REGION: Final = "us-east-1"
_ATTEMPT_SECONDS: Final = 30.0


def ensure_database(client: DaemonClient, profile: SandboxProfile, kept: Kept) -> wire.DatabaseCredentials:
    """
    Return the credentials of the sandbox's database. Connect an account and create the database if necessary.

    Raises:
        Failure: If that fails.
        ClientError: If the daemon does not respond, or the sandbox fails.
    """
    from upstash_helper.client import errors

    for _ in range(3):
        try:
            if kept.database_id is not None:
                return client.credentials(kept.database_id)
            kept.database_id = _find_or_create(client)
            profile.save(kept)
        except (errors.NotConnected, errors.ReconnectRequired):
            _connect(client, profile, kept)
        except errors.DatabaseNotFound:
            kept.database_id = None
    return client.credentials(kept.database_id or "")


def _find_or_create(client: DaemonClient) -> str:
    databases = sorted(client.databases(refresh=True), key=lambda each: each.name != DATABASE)
    if databases:
        return databases[0].id
    new = wire.CreateDatabase(name=DATABASE, primary_region=_REGION)
    return client.create_database(new, idempotency_key=str(uuid.uuid4())).id


def _connect(client: DaemonClient, profile: SandboxProfile, kept: Kept) -> None:
    from upstash_helper.cli.sandbox.browserless_login import BrowserSession, UnexpectedPage

    started = client.connect(open_browser=False, force=True)
    if not isinstance(started, wire.StartedAttempt):
        return
    browser = BrowserSession()
    try:
        redirect = _signed_in(browser, started.authorization_url, profile, kept)
        browser.follow(browser.allow(redirect))
    except (UnexpectedPage, URLError, OSError) as error:
        message = f"Signing in to the sandbox failed: {error}. See {profile.log}."
        raise Failure(message, code="sandbox_sign_in_failed") from None
    attempt = client.wait_for_attempt(started.attempt_id, timeout=_ATTEMPT_SECONDS)
    if attempt.state != "succeeded":
        message = f"Signing in to the sandbox failed: {attempt.detail or attempt.state}"
        raise Failure(message, code="sandbox_sign_in_failed")


def _signed_in(browser: BrowserSession, url: str, profile: SandboxProfile, kept: Kept) -> str:
    """Sign in, or sign up if the account does not exist, and return the redirect's target."""
    from upstash_helper.cli.sandbox.browserless_login import UnexpectedPage

    enter: Callable[..., str] = browser.sign_in
    if not kept.password:
        kept.password = new_password()
        profile.save(kept)  # first: without its password, the account could not be used again
        enter = browser.sign_up
    with contextlib.suppress(UnexpectedPage):
        return enter(url, email=kept.email, password=kept.password)
    # Either the password was saved but no account was created, or the account exists and its password was lost.
    with contextlib.suppress(UnexpectedPage):
        return browser.sign_up(url, email=kept.email, password=kept.password)
    kept.email = f"sandbox-{uuid.uuid4().hex[:6]}@example.com"
    profile.save(kept)
    return browser.sign_up(url, email=kept.email, password=kept.password)

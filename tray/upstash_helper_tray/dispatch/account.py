"""The actions that call the daemon: approvals, the connection, and credentials. Each returns what to tell the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.client.dotenv import env_lines
from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol.wire import Connection
from upstash_helper_tray.menu.actions import (
    AllowQuestion,
    Approve,
    Block,
    Deny,
    DenyQuestion,
    KeepAccount,
    ReplaceAccount,
)
from upstash_helper_tray.presentation.notifications import Notification
from upstash_helper_tray.presentation.text import shorten

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import DatabaseCredentials, Recorded
    from upstash_helper.protocol.wire_apps import DashboardTicket
    from upstash_helper_tray.dispatch.opener import Opener
    from upstash_helper_tray.menu.actions import CopyCredentials, CredentialsFormat

Decision = Approve | Deny | Block
QuestionDecision = AllowQuestion | DenyQuestion
AccountDecision = ReplaceAccount | KeepAccount

# Not found, already decided, and expired or withdrawn.
_NOT_PENDING: Final = frozenset({404, 409, 410})
_REST_VARIABLES: Final = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")


class Decided(NamedTuple):
    """The outcome of a decision about an app's request. The menu shows the result."""

    notification: Notification | None
    """What the menu does not show: that the request was no longer pending, or that the decision is not saved yet."""
    was_pending: bool = True


def decide(client: DaemonClient, decision: Decision) -> Decided:
    """Approve, deny, or block an app's request."""
    result: Recorded
    try:
        match decision:
            case Approve(pairing_id=pairing, once=once):
                result = client.approve(pairing, once=once)
            case Deny(pairing_id=pairing):
                result = client.deny(pairing)
            case Block(pairing_id=pairing, site=site):
                result = client.block(pairing, scope="site" if site else "identity")
    except ApiProblem as error:
        if error.status in _NOT_PENDING:
            return Decided(Notification("The request is no longer pending", error.detail), was_pending=False)
        raise
    return Decided(not_recorded(result))


def answer(client: DaemonClient, decision: QuestionDecision) -> Decided:
    """Answer an app's question."""
    try:
        if isinstance(decision, AllowQuestion):
            result = client.allow_confirmation(decision.confirmation_id)
        else:
            result = client.deny_confirmation(decision.confirmation_id)
    except ApiProblem as error:
        if error.status in _NOT_PENDING:
            return Decided(Notification("The question is no longer pending", error.detail), was_pending=False)
        raise
    return Decided(not_recorded(result))


def not_recorded(result: Recorded | DashboardTicket) -> Notification | None:
    """Return a notification about a change that has taken effect and could not be saved yet."""
    return None if result.recorded or not result.notice else Notification("Not saved yet", result.notice)


def revoke(client: DaemonClient, app_id: str) -> Notification | None:
    """Revoke an app's access. An app that no longer has any is not an error."""
    try:
        return not_recorded(client.revoke_app(app_id))
    except ApiProblem as error:
        if error.status != 404:
            raise
        return None


def connect(client: DaemonClient, opener: Opener, runtime: Path, *, force: bool) -> Notification | None:
    """Start a sign-in. If the daemon cannot open the browser, for example without a display, the tray does."""
    answer = client.connect(open_browser=True, force=force, link=True)
    if isinstance(answer, Connection):
        email = answer.account.email if answer.account else "your account"
        return Notification("Connected to Upstash", f"{email} is already connected.")
    if not answer.authorization_url:
        return None  # the sign-in is being finished, or waits for a decision: the menu shows it
    # If a sign-in was already pending, the daemon opens no page; the user may have closed the one it opened.
    if answer.browser_opened or opener.open_privately(
        answer.authorization_url, link=answer.link or None, folder=runtime, name="sign-in"
    ):
        return None
    # Without the address: on some desktops, a notification is an argument of a command.
    return Notification("Sign in to Upstash", "No browser could be opened. Run: upstash-helper connect --no-browser")


def cancel(client: DaemonClient, attempt_id: str) -> Notification | None:
    """Cancel a sign-in. One that is already over is not an error."""
    try:
        return not_recorded(client.cancel_attempt(attempt_id))
    except ApiProblem as error:
        if error.status != 404:
            raise
        return None


def decide_replacement(client: DaemonClient, decision: AccountDecision) -> Notification | None:
    """Let a sign-in replace the account, or keep it. One that no longer waits for that returns a notification."""
    result: Recorded
    try:
        match decision:
            case ReplaceAccount(attempt_id=attempt):
                result = client.confirm_attempt(attempt)
            case KeepAccount(attempt_id=attempt):
                result = client.cancel_attempt(attempt)
    except ApiProblem as error:
        if error.status in _NOT_PENDING:
            return Notification("Nothing left to decide", error.detail)
        raise
    return not_recorded(result)


def disconnect(client: DaemonClient) -> Notification:
    """Disconnect the account."""
    result = client.disconnect()
    return Notification("Disconnected from Upstash", " ".join(filter(None, (result.detail, result.notice))))


def clipboard_text(credentials: DatabaseCredentials, form: CredentialsFormat) -> tuple[str, str]:
    """
    Return the text to copy, and what to call it.

    Raises:
        NotExpressible: If a value cannot be written as a line.
    """
    if form == "redis_url":
        return credentials.redis_url, "Redis URL"
    if form == "rest":
        return env_lines({name: credentials.env[name] for name in _REST_VARIABLES}, "dotenv"), "REST URL and token"
    return env_lines(credentials.env, "dotenv", credentials.ca_usage), ".env lines"


def copied(action: CopyCredentials, what: str, seconds: float) -> Notification:
    """Return the notification after a copy. It never contains the secret."""
    return Notification(
        f"Copied {what} of {shorten(action.name)}", f"The clipboard will be cleared in {seconds:.0f} seconds."
    )

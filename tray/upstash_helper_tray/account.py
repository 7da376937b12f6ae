"""What the user chooses about apps and the account, as calls of the daemon. Each returns what there is to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.client.dotenv import env_lines
from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol.wire import Connection, DatabaseCredentials
from upstash_helper_tray.actions import Approve, Block, CopyCredentials, Deny
from upstash_helper_tray.notifications import Notice
from upstash_helper_tray.text import short

if TYPE_CHECKING:
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper_tray.opener import Opener

Decision = Approve | Deny | Block

# Not found, decided already, and expired or withdrawn.
_NO_LONGER_WAITS: Final = frozenset({404, 409, 410})
_REST: Final = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")


def decide(client: DaemonClient, decision: Decision) -> Notice | None:
    """Let an app in, or not. The menu shows that it was done; what is told is that nothing waited any longer."""
    try:
        match decision:
            case Approve(pairing_id=pairing, once=once):
                client.approve(pairing, once=once)
            case Deny(pairing_id=pairing):
                client.deny(pairing)
            case Block(pairing_id=pairing):
                client.block(pairing)
    except ApiProblem as error:
        if error.status in _NO_LONGER_WAITS:
            return Notice("The request no longer waits", error.detail)
        raise
    return None


def revoke(client: DaemonClient, app_id: str) -> None:
    """Let an app in no longer; one that is not let in is revoked."""
    try:
        client.revoke_app(app_id)
    except ApiProblem as error:
        if error.status != 404:
            raise


def connect(client: DaemonClient, opener: Opener, *, again: bool) -> Notice | None:
    """Sign in. The daemon opens the browser; where it cannot, having no display for instance, the tray does."""
    answer = client.connect(open_browser=True, force=again)
    if isinstance(answer, Connection):
        email = answer.account.email if answer.account else "your account"
        return Notice("Connected to Upstash", f"{email} is connected already.")
    # Of a sign-in that runs already, the user may have closed the page.
    if answer.browser_opened or opener.page(answer.authorization_url):
        return None
    return Notice("Sign in to Upstash", f"No browser could be opened. Open this address: {answer.authorization_url}")


def cancel(client: DaemonClient, attempt_id: str) -> None:
    """Give up a sign-in; one that is over is given up."""
    try:
        client.cancel_attempt(attempt_id)
    except ApiProblem as error:
        if error.status != 404:
            raise


def disconnect(client: DaemonClient) -> Notice:
    """Forget the account."""
    return Notice("Disconnected from Upstash", client.disconnect().detail)


def text_of(credentials: DatabaseCredentials, form: str) -> tuple[str, str]:
    """
    Return what goes on the clipboard, and what that is called.

    Raises:
        NotExpressible: If a value cannot stand in a line.
    """
    if form == "redis_url":
        return credentials.redis_url, "Redis URL"
    if form == "rest":
        return env_lines({name: credentials.env[name] for name in _REST}, "dotenv"), "REST URL and token"
    return env_lines(credentials.env, "dotenv"), ".env lines"


def copied(action: CopyCredentials, what: str, seconds: float) -> Notice:
    """Return what is told after a copy: never the secret itself."""
    return Notice(f"Copied: {what} of {short(action.name)}", f"The clipboard is cleared in {seconds:.0f} s.")

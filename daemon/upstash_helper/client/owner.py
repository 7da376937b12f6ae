"""What the owner alone may call: who is let in, who did what, and the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from upstash_helper.client.calls import Calls
from upstash_helper.protocol import wire_apps

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_AUDIT_PAGE: Final = 500
"""Entries that the API answers at once."""


class OwnerCalls(Calls):
    """The methods for pairings, apps, the audit and the dashboard. They raise what ``DaemonClient`` says."""

    # --- who wants in -------------------------------------------------------------------------------------------------

    def pairings(self) -> tuple[wire_apps.Pairing, ...]:
        """Return the requests that wait for the user, the oldest first."""
        return self._ask("GET", "/v1/pairings", wire_apps.PairingList).pairings

    def approve(
        self,
        pairing_id: str,
        *,
        scopes: tuple[wire_apps.Scope, ...] | None = None,
        all_databases: bool = False,
        once: bool = False,
    ) -> wire_apps.Pairing:
        """
        Let an app in. A second yes changes nothing.

        Args:
            pairing_id: Whose.
            scopes: Fewer than it wishes for; None: all of them.
            all_databases: With ``databases:credentials``: of all databases, not only of those that it created.
            once: For an hour.
        """
        body = wire_apps.Approve(scopes=scopes, all_databases=all_databases, once=once)
        return self._ask("POST", f"{_pairing(pairing_id)}/approve", wire_apps.Pairing, body=body)

    def deny(self, pairing_id: str) -> wire_apps.Pairing:
        """Do not let an app in. It may ask again after a while."""
        return self._ask("POST", f"{_pairing(pairing_id)}/deny", wire_apps.Pairing)

    def block(self, pairing_id: str) -> wire_apps.Blocked:
        """Do not let an app in, and never be asked by it again."""
        return self._ask("POST", f"{_pairing(pairing_id)}/block", wire_apps.Blocked)

    def blocks(self) -> tuple[wire_apps.Blocked, ...]:
        """Return who may not ask."""
        return self._ask("GET", "/v1/blocks", wire_apps.BlockList).blocks

    def unblock(self, block_id: str) -> None:
        """Let somebody ask again."""
        self._send("DELETE", f"/v1/blocks/{quote(block_id, safe='')}")

    # --- who is in ----------------------------------------------------------------------------------------------------

    def apps(self) -> tuple[wire_apps.App, ...]:
        """Return the apps that are let in, the newest first."""
        return self._ask("GET", "/v1/apps", wire_apps.AppList).apps

    def app(self, app_id: str) -> wire_apps.App:
        """Return one app."""
        return self._ask("GET", _app(app_id), wire_apps.App)

    def rename_app(self, app_id: str, name: str) -> wire_apps.App:
        """Give an app the name that the user wants to see."""
        return self._ask("PATCH", _app(app_id), wire_apps.App, body=wire_apps.RenameApp(name=name))

    def revoke_app(self, app_id: str) -> None:
        """Let an app in no longer. Its token stops working at once."""
        self._send("DELETE", _app(app_id))

    # --- who did what -------------------------------------------------------------------------------------------------

    def audit_page(
        self,
        *,
        app: str | None = None,
        since: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> wire_apps.AuditPage:
        """
        Return one page of the audit, the newest entry first.

        Args:
            app: Only of the app with this id or name; ``owner`` for the user's own tools.
            since: Only from this moment on (RFC 3339).
            page_size: Entries, at most ``LARGEST_AUDIT_PAGE``; None leaves it to the daemon.
            page_token: Of the page before.
        """
        query = {"app": app, "since": since, "page_size": page_size, "page_token": page_token}
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", f"/v1/audit?{given}" if given else "/v1/audit", wire_apps.AuditPage)

    def audit(
        self, *, app: str | None = None, since: str | None = None, limit: int | None = None
    ) -> Iterator[wire_apps.AuditPage]:
        """
        Yield the audit page by page, the newest entry first.

        Args:
            app: As for ``audit_page``.
            since: As for ``audit_page``.
            limit: How many entries there are at most on all pages together; None: all.
        """
        left, token = limit, None
        while left is None or left > 0:
            size = LARGEST_AUDIT_PAGE if left is None else min(left, LARGEST_AUDIT_PAGE)
            page = self.audit_page(app=app, since=since, page_size=size, page_token=token)
            yield page
            token = page.next_page_token
            if token is None:
                return
            left = None if left is None else left - len(page.entries)

    # --- the dashboard ------------------------------------------------------------------------------------------------

    def open_dashboard(self) -> wire_apps.DashboardTicket:
        """
        Return an address that opens the dashboard with all that its user may do, once, within a minute. It is a secret:
        it belongs on no command line and in no log.
        """
        return self._ask("POST", "/v1/dashboard/tickets", wire_apps.DashboardTicket)


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"


def _app(app_id: str) -> str:
    return f"/v1/apps/{quote(app_id, safe='')}"

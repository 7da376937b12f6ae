"""The routes of the admin API, without their handlers, so that ``--help`` can list them without loading them."""

from __future__ import annotations

from typing import NamedTuple


class AdminRoute(NamedTuple):
    """One route."""

    method: str
    path: str
    """Below the admin API's URL."""
    handler: str
    """The name of the method that handles it."""
    does: str
    """What it does, in a sentence."""


ROUTES = (
    AdminRoute("GET", "accounts", "list_accounts", "List all accounts."),
    AdminRoute("POST", "accounts", "add_account", "Create an account."),
    AdminRoute(
        "DELETE",
        "accounts/{email}",
        "delete_account",
        "Delete an account and all that it has or owns.",
    ),
    AdminRoute("GET", "api-keys", "list_keys", "List the names of an account's API keys."),
    AdminRoute("POST", "api-keys", "change_key", "Create an API key, or revoke one."),
    AdminRoute("GET", "teams", "list_teams", "List the teams of an account."),
    AdminRoute("POST", "teams", "add_team", "Create a team with members."),
    AdminRoute("DELETE", "teams/{id}", "delete_team", "Delete a team with its databases and indexes."),
    AdminRoute("GET", "databases", "list_databases", "List the databases of all accounts and teams."),
    AdminRoute("POST", "databases", "add_database", "Create a database for an account or a team."),
    AdminRoute("GET", "grants", "list_grants", "List the grants of all accounts, or of one."),
    AdminRoute("POST", "grants", "change_grant", "Revoke a grant, or let its access tokens expire."),
    AdminRoute("GET", "clients", "list_clients", "List the clients that have registered at the issuer."),
    AdminRoute("DELETE", "clients/{id}", "remove_client", "Delete a client with its grants."),
    AdminRoute("GET", "settings", "show_settings", "Show all settings."),
    AdminRoute("POST", "settings", "change_settings", "Change some settings, and keep the others."),
    AdminRoute("PUT", "settings", "replace_settings", "Change some settings, and reset the others."),
    AdminRoute("GET", "faults", "list_faults", "List the faults."),
    AdminRoute("POST", "faults", "add_fault", "Make requests fail."),
    AdminRoute("DELETE", "faults", "clear_faults", "Remove all faults."),
    AdminRoute("PATCH", "faults/{id}", "switch_fault", "Turn a fault off or on."),
    AdminRoute("DELETE", "faults/{id}", "remove_fault", "Remove a fault."),
    AdminRoute("GET", "requests", "list_requests", "List the requests received, or wait for one."),
    AdminRoute("DELETE", "requests", "clear_requests", "Empty the request log."),
    AdminRoute("POST", "console-links", "add_console_link", "Create a link that opens the console once."),
    AdminRoute("POST", "stop", "stop", "Stop the sandbox."),
    AdminRoute("DELETE", "everything", "reset", "Delete everything, as if the sandbox were new."),
)
"""Each requires the admin token as a bearer token. Bodies and responses are JSON."""

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
    """A sentence for the documentation."""


ROUTES = (
    AdminRoute("GET", "accounts", "list_accounts", "List all accounts."),
    AdminRoute("POST", "accounts", "add_account", "Create an account."),
    AdminRoute("DELETE", "accounts/{email}", "delete_account", "Delete an account and everything it owns."),
    AdminRoute("GET", "api-keys", "list_keys", "List the names of an account's API keys."),
    AdminRoute("POST", "api-keys", "change_key", "Create an API key, or revoke one."),
    AdminRoute("GET", "teams", "list_teams", "List the teams of an account."),
    AdminRoute("POST", "teams", "add_team", "Create a team with members."),
    AdminRoute("DELETE", "teams/{id}", "delete_team", "Delete a team and everything it owns."),
    AdminRoute("GET", "databases", "list_databases", "List the databases of all accounts and teams."),
    AdminRoute("POST", "databases", "add_database", "Create a database for an account or a team."),
    AdminRoute("GET", "grants", "list_grants", "List the grants of all accounts, or of one account."),
    AdminRoute("POST", "grants", "change_grant", "Revoke a grant, or expire its access tokens."),
    AdminRoute("GET", "clients", "list_clients", "List the clients that have registered at the issuer."),
    AdminRoute("DELETE", "clients/{id}", "remove_client", "Delete a client and its grants."),
    AdminRoute("GET", "settings", "show_settings", "Show all settings."),
    AdminRoute("POST", "settings", "change_settings", "Change some settings and keep the others."),
    AdminRoute("PUT", "settings", "replace_settings", "Change some settings and reset the others."),
    AdminRoute("GET", "faults", "list_faults", "List the faults."),
    AdminRoute("POST", "faults", "add_fault", "Make requests fail."),
    AdminRoute("DELETE", "faults", "clear_faults", "Remove all faults."),
    AdminRoute("PATCH", "faults/{id}", "switch_fault", "Turn a fault on or off."),
    AdminRoute("DELETE", "faults/{id}", "remove_fault", "Remove a fault."),
    AdminRoute("GET", "requests", "list_requests", "List received requests, or wait for one."),
    AdminRoute("DELETE", "requests", "clear_requests", "Clear the request log."),
    AdminRoute("POST", "console-links", "add_console_link", "Create a link to the console that works once."),
    AdminRoute("POST", "stop", "stop", "Stop the sandbox."),
    AdminRoute("DELETE", "everything", "reset", "Delete all data, faults, and logs, and reset the settings."),
)
"""Each requires the admin token as a bearer token. Bodies and responses are JSON."""

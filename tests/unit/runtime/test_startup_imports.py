"""What is imported at startup, and how."""

from __future__ import annotations

import gc
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import free_port
from tests.support.imported import running
from tests.support.until import until
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.runtime.process import quick_imports, without_trust_store

if TYPE_CHECKING:
    from pathlib import Path

# Each of them costs every start of a daemon about a fifth of a millisecond and some kilobytes. A module that is needed
# only by some requests, such as one with texts, belongs in the function that needs it.
MODULES = """
__main__
api api.app api.guard api.guard.audit api.guard.middleware api.guard.policy api.guard.tokens
api.mcp api.mcp.resource api.oauth api.oauth.resource api.pages
api.pages.callback api.pages.continuation api.pages.icons api.pages.links api.pages.outcome api.pages.page
api.pages.pages_address api.pages.static
api.resources api.resources.apps api.resources.confirmations api.resources.connection api.resources.daemon
api.resources.dashboard
api.resources.databases api.resources.events api.resources.pairings api.resources.passthrough api.resources.proof
api.server api.server.arrivals api.server.body api.server.connections api.server.problems
api.server.refusal_page api.server.render api.server.routes api.server.unread_fields
broker broker.account broker.account.api_key broker.account.attempts broker.account.browser_windows
broker.account.callback_lease broker.account.connection broker.account.credential_cache
broker.account.grant_sign_in broker.account.grants broker.account.key_check
broker.account.oauth_flow broker.account.sign_in broker.apps broker.apps.approvals broker.apps.dashboard_sessions
broker.apps.display_text broker.apps.exchanges broker.apps.one_time_links
broker.apps.pairing_limits broker.apps.pairing_queue broker.apps.pairings
broker.apps.rate_limits broker.apps.registry broker.apps.sites broker.audit broker.background
broker.databases broker.databases.audit_target broker.databases.create broker.databases.operations
broker.databases.pass_through broker.errors
broker.events broker.identity broker.idle broker.ledger broker.models broker.pending_writes broker.ports
broker.trays
cli cli.daemon cli.daemon.run cli.daemon.run_flags cli.exit_codes
protocol protocol.discovery protocol.errors protocol.literals protocol.lock protocol.pages_origin protocol.proof
protocol.shorten protocol.wake_note protocol.wire protocol.wire_apps
runtime runtime.callback_port runtime.compose runtime.idle_exit runtime.listeners runtime.logs
runtime.numeric_address runtime.port_wait runtime.process runtime.serve runtime.systemd
settings settings.config settings.profiles
storage storage.credentials storage.credentials.file_store storage.credentials.record storage.ledger
storage.ledger.apps storage.ledger.audit storage.ledger.backup storage.ledger.creates storage.ledger.elapsed
storage.ledger.errors storage.ledger.rows storage.ledger.schema storage.ledger.sqlite storage.ledger.sqlite_file
storage.ledger.oversized storage.ledger.transactions storage.registrations storage.tombstones
system system.allowed system.blocking_call system.clock system.console system.core_dumps system.default_browser
system.disk_errors system.network_stack system.notifications system.open_files system.peers system.ports
system.printable system.private_files system.proc_programs system.proxies system.public_suffixes system.redaction
system.session_bus system.signals system.socket_owners system.text system.trust system.validation
upstream upstream.api_keys upstream.authorization upstream.circuit_breaker upstream.connector
upstream.developer_api upstream.http_client upstream.oauth upstream.open_sign_in upstream.pass_through
upstream.request upstream.response upstream.streaming upstream.wire
"""
LIBRARIES = {
    "aiohappyeyeballs", "aiohttp", "aiohttp_sse", "aiosignal", "attr", "frozenlist", "idna", "msgspec", "multidict",
    "propcache", "yarl",
}  # fmt: skip
NOT_AT_STARTUP = {"difflib", "sqlite3", "tomllib", "webbrowser"}

IMPORT = """
import gc
from upstash_helper.runtime.process import quick_imports
with quick_imports():
    import aiohttp.connector as connector
contexts = connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED
print(*(context.cert_store_stats()["x509"] for context in contexts), contexts[0].check_hostname, gc.isenabled())
"""


def test_aiohttp_is_imported_without_the_trust_store() -> None:
    """Importing aiohttp does not load the system's certificates, and its default context still verifies."""
    found = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)

    assert "0 0 True True" == found.stdout.strip()


def test_tls_context_without_trust_store_fails_closed() -> None:
    """A TLS context without the trust store requires a certificate, and accepts none."""
    with without_trust_store():
        context = ssl.create_default_context()

    assert {"x509": 0, "crl": 0, "x509_ca": 0} == context.cert_store_stats()
    assert ssl.CERT_REQUIRED == context.verify_mode
    assert context.check_hostname


def test_ssl_is_restored_afterwards() -> None:
    """A context that is created later loads the system's trust store as usual."""
    before = (ssl.SSLContext.load_default_certs, ssl.SSLContext.set_default_verify_paths)

    with quick_imports():
        assert not gc.isenabled()

    assert before == (ssl.SSLContext.load_default_certs, ssl.SSLContext.set_default_verify_paths)
    assert gc.isenabled()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: other systems have other modules")
def test_daemon_imports_only_what_it_needs_to_start(tmp_path: Path) -> None:
    """A daemon that has started, and has answered that it runs, has loaded exactly these modules and libraries."""
    home = tmp_path / "home"
    port, quietly = str(free_port()), ("--credential-store=memory", "--no-browser", "--no-notifications")

    with running("run", "--port", port, *quietly, home=home) as (process, imported):
        until(lambda: _responds(home))
        process.terminate()

    assert set(MODULES.split()) == set(imported.ours)
    assert LIBRARIES == imported.libraries
    assert not NOT_AT_STARTUP & imported.names


def _responds(home: Path) -> bool:
    try:
        return DaemonClient.discover(home / "run").health().status == "ok"
    except DaemonUnreachable:
        return False

"""Cheaper imports at startup."""

from __future__ import annotations

import gc
import ssl
import subprocess
import sys

from upstash_helper.runtime.process import quick_imports, without_trust_store

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

"""Imports that cost less."""

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


def test_aiohttps_own_contexts_trust_nobody() -> None:
    """
    What the import of aiohttp would load for every daemon is not loaded, and its default context verifies still.
    """
    found = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)

    assert "0 0 True True" == found.stdout.strip()


def test_a_context_made_meanwhile_fails_closed() -> None:
    """
    A TLS context that is made without the trust store demands a certificate that nobody has.
    """
    with without_trust_store():
        context = ssl.create_default_context()

    assert {"x509": 0, "crl": 0, "x509_ca": 0} == context.cert_store_stats()
    assert ssl.CERT_REQUIRED == context.verify_mode
    assert context.check_hostname


def test_afterwards_contexts_are_as_ever() -> None:
    """
    A context that is made later loads the system's trust store as if nothing had been.
    """
    before = (ssl.SSLContext.load_default_certs, ssl.SSLContext.set_default_verify_paths)

    with quick_imports():
        assert not gc.isenabled()

    assert before == (ssl.SSLContext.load_default_certs, ssl.SSLContext.set_default_verify_paths)
    assert gc.isenabled()

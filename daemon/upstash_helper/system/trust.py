"""The certificates that connections to Upstash trust: the system's, and those in a file that the user has named."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class CaFileUnusable(Exception):
    """The file cannot be read, or has no certificate. ``str()`` names it and what to do."""


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """
    Return a context that verifies servers. It reads the trust store, which can take 100 ms.

    Args:
        ca_file: Certificates (PEM) to trust in addition to the system's. (``SSL_CERT_FILE``, which OpenSSL
            reads, replaces the system's.)

    Raises:
        CaFileUnusable: If the file cannot be used. Nothing is contacted then: the user relies on it.
    """
    context = ssl.create_default_context()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        problem = "has no certificate in PEM format"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    else:
        return context
    message = f"The setting ca_file names {ca_file}, which {problem}. Fix it, then run: upstash-helper restart"
    raise CaFileUnusable(message)


def certificate_variable(environ: Mapping[str, str]) -> str | None:
    """Return the variable that replaces the system's certificates (``SSL_CERT_FILE(7ssl)``), if one is set."""
    return next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)), None)

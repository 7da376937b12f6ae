"""Starting quickly: what the imports of a daemon need not do."""

from __future__ import annotations

import contextlib
import gc
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """
    Import within this, and imports cost less time and memory.

    - No garbage collection: modules are not garbage. What they made is frozen afterwards, so that later collections
      need not look at it.
    - No trust store: ``aiohttp.connector`` makes two TLS contexts when it is imported and loads every certificate
      authority of the system into each, for a daemon that may not speak TLS for days.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with without_trust_store():
            yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def without_trust_store() -> Iterator[None]:
    """
    Let TLS contexts that are made within this trust nobody.

    It fails closed: such a context still demands a certificate and a matching name, and no certificate satisfies it.
    What speaks TLS makes a context of its own later, and passes it explicitly.
    """
    context = ssl.SSLContext
    load = context.load_default_certs

    def load_nothing(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Leave the context as it is."""

    def set_nothing(self: ssl.SSLContext) -> None:
        """Leave the context as it is."""

    context.load_default_certs = load_nothing  # type: ignore[method-assign]
    # Inherited from the C type: set on the class it hides that one, and deleted it shows it again.
    context.set_default_verify_paths = set_nothing  # type: ignore[method-assign]
    try:
        yield
    finally:
        context.load_default_certs = load  # type: ignore[method-assign]
        del context.set_default_verify_paths

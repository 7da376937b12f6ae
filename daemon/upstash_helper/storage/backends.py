"""Which keyrings the daemon uses: the trusted ones (see ``keyrings.trusted``), with its own way out where none is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.system import keyrings as known
from upstash_helper.system.keyrings import TRUSTED, native

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OTHERWISE", "TRUSTED", "candidates", "native"]

OTHERWISE: Final = (
    'On a machine without a keyring, credential_store = "file" in config.toml keeps the API key in a file, in clear.'
)


def candidates(*, trusted: Mapping[str, str], environ: Mapping[str, str], config: Path) -> tuple[str, ...]:
    """
    Return the backends to try, best first; the arguments are those of ``keyrings.trusted.candidates``.

    Raises:
        StoreUnavailable: If the one that the user has named is not trusted: it is not even imported.
    """
    try:
        return known.candidates(trusted=trusted, environ=environ, config=config)
    except known.ChoiceRefused as error:
        raise StoreUnavailable(f"{error} {OTHERWISE}") from None

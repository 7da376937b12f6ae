"""
Who an app is, as far as somebody other than the app vouches for it.

The browser vouches for an origin, the operating system for an executable. What the app says of itself is its name, and
is always shown second.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

LOCAL_PROGRAM: Final = "a local program"

# RFC 1035, section 2.3.4. What is longer is no name that a person could read in a prompt.
_LONGEST_HOST: Final = 253

# RFC 6454, section 6.2: the ASCII serialization, which browsers send in lower case and without a default port.
_WEB: Final = re.compile(r"https://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:(?P<port>[1-9][0-9]{0,4}))?")
# On loopback there is no network between page and browser that could forge it. RFC 6761, section 6.3: *.localhost too.
_LOOPBACK: Final = re.compile(
    r"http://(?P<host>(?:[a-z0-9-]{1,63}\.)*localhost|127\.0\.0\.1|\[::1\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_EXTENSION: Final = re.compile(
    r"chrome-extension://[a-p]{32}"
    r"|(moz-extension|safari-web-extension)://[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_DEFAULT_PORT: Final = {"https": "443", "http": "80"}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A web origin, a browser extension, or a native program."""

    kind: Literal["web", "extension", "native"]
    name: str
    """The exact origin; for a native program its executable, or nothing where the system does not tell."""
    program: str = ""
    """
    The executable that sent the request, where the system tells: the browser, of a page or extension. The browser is
    who vouches for an origin, and any program can say one.
    """
    pid: int | None = None
    """Of that program, when it asked."""

    @property
    def key(self) -> str:
        """What makes two requests those of the same app-to-be: everything but the process."""
        return f"{self.kind}:{self.name}"

    @property
    def shown(self) -> str:
        """The identity for a person, as long as its process is there."""
        if self.kind != "native" or self.pid is None:
            return self.lasting
        return f"{self.lasting} (process {self.pid})"

    @property
    def lasting(self) -> str:
        """The identity for a person, beyond the process that it was."""
        return self.name or LOCAL_PROGRAM

    @property
    def origin(self) -> str | None:
        """The origin that its tokens are bound to; None for a native program."""
        return None if self.kind == "native" else self.name


def of_origin(origin: str) -> Identity | None:
    """
    Return whom ``origin`` names, or None if it is not one that can be let in: only https, http on loopback, and
    extensions of browsers are, each as the exact string that a browser sends (RFC 6454, section 6.2).
    """
    if _EXTENSION.fullmatch(origin):
        return Identity(kind="extension", name=origin)
    match = _WEB.fullmatch(origin) or _LOOPBACK.fullmatch(origin)
    if match is None or len(match["host"]) > _LONGEST_HOST:
        return None
    port = match["port"]
    if port is not None and (int(port) > 65_535 or port == _DEFAULT_PORT[origin.partition(":")[0]]):
        return None
    return Identity(kind="web", name=origin)

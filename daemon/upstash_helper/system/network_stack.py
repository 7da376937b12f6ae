"""The network stack of this process, in which its loopback addresses lead to the same programs; and who shares it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

_KERNEL: Final = Path("/proc/sys/kernel/osrelease")


def has_wsl_kernel(kernel: Path = _KERNEL) -> bool:
    """
    Return whether this is Linux on Windows (WSL 2), or a container there. The browser usually is one of Windows. It
    reaches 127.0.0.1, and none of the other loopback addresses.

    Args:
        kernel: The file with the release of the kernel.
    """
    try:
        return "microsoft" in kernel.read_text(encoding="ascii", errors="replace").lower()
    except OSError:
        return False


def network_stack() -> str:
    """
    Return a name of this process's network stack: of the running system, and on Linux of the network namespace.

    A home folder can be shared with other machines (NFS) and containers, where 127.0.0.1 leads elsewhere.

    Returns:
        An empty string if it is not known, and on other systems, whose home folders are rarely shared.
    """
    if sys.platform != "linux":
        return ""
    try:
        # A new value for each start of the system (random(4)); network_namespaces(7).
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/net')}"  # noqa: PTH115 - not a path: net:[4026531840]
    except OSError:
        return ""

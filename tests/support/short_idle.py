"""
The daemon with an idle time of a fraction of a second: ``python -m tests.support.short_idle``.

The setting is in whole seconds, which is right for users but would make tests with many exits take minutes. The
environment variable ``SHORT_IDLE_SECONDS`` has the fraction.
"""

from __future__ import annotations

import os

import msgspec

from upstash_helper.runtime import serve, systemd
from upstash_helper.settings.config import load_profile


def main() -> None:
    """Run the daemon."""
    passed = systemd.take_passed_sockets()
    seconds = float(os.environ["SHORT_IDLE_SECONDS"])
    profile = load_profile()
    # Structs created in code are not validated.
    settings = msgspec.structs.replace(profile.settings, idle_exit=seconds)
    serve.run_daemon(msgspec.structs.replace(profile, settings=settings), passed)


if __name__ == "__main__":
    main()

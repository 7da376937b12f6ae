"""Entry point of ``upstash-helper`` and ``python -m upstash_helper``."""

from __future__ import annotations

import sys
from typing import NoReturn

from upstash_helper.system import console


def main() -> NoReturn:
    """Run the command and exit."""
    console.prepare()
    arguments = sys.argv[1:]
    if "run" in arguments[:3]:
        from upstash_helper.cli.daemon.run_flags import RunUsageError, parse_command_line

        try:
            request = parse_command_line(arguments)
        except RunUsageError:
            request = None  # click parses it the same way, and shows the error with the usage
        if request is not None:
            # Imports create no garbage, and collecting it takes a tenth of the startup time.
            import gc

            gc.disable()
            from upstash_helper.cli.daemon.run import run_daemon

            sys.exit(run_daemon(request))

    if "mcp" in arguments[:3]:
        from upstash_helper.cli.mcp import arguments as mcp_arguments

        try:
            bridge = mcp_arguments.parse_command_line(arguments)
        except mcp_arguments.McpUsageError:
            bridge = None  # as above
        if bridge is not None:
            import gc

            gc.disable()
            from upstash_helper.cli.mcp.run import run_bridge

            gc.enable()
            sys.exit(run_bridge(bridge))

    from upstash_helper.cli.app import cli

    cli.main()
    raise AssertionError  # click exits


if __name__ == "__main__":
    main()

"""``run``: run the daemon in this process."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import TYPE_CHECKING

from upstash_helper.cli import exit_codes
from upstash_helper.settings.config import load_profile
from upstash_helper.settings.profiles import START_LOG, SettingsError, open_output

if TYPE_CHECKING:
    from upstash_helper.cli.daemon.run_flags import RunRequest


def run_daemon(request: RunRequest) -> int:
    """Run the daemon until it is stopped, and return the exit code."""
    from upstash_helper.system import console, core_dumps

    core_dumps.disable()  # before anything reads a secret
    console.write_missing_stderr_to(lambda: open_output(request.profile, START_LOG))
    # The only import of the daemon by the command line.
    from upstash_helper.runtime import serve, systemd

    passed = systemd.take_passed_sockets()

    def fail(detail: str, exit_code: int, code: str) -> int:
        _print_error(detail, exit_code, code, as_json=request.as_json)
        rejected = passed.refuse_connections()
        if rejected:
            _print(f"Connections rejected: {rejected}.")
        return exit_code

    try:
        profile = load_profile(profile=request.profile, flags=request.flags)
        if request.stop_with_parent:
            from upstash_helper.system.signals import stop_with_parent

            stop_with_parent()
        # Disabled in `__main__` during the imports so far; `serve` handles its own.
        gc.enable()
        serve.run_daemon(profile, passed, on_port_wait=_print if request.wait_for_port else None)
    except SettingsError as error:
        return fail(str(error), exit_codes.USAGE, "invalid_setting")
    except serve.PortBusy as error:
        return fail(error.detail, exit_codes.PORT_BUSY, "port_busy")
    except serve.AlreadyRunning as error:
        # For a user this is success. A service manager that passed sockets must know that nobody accepts on them.
        return fail(error.detail, exit_codes.ALREADY_RUNNING if passed else exit_codes.OK, "already_running")
    except OSError as error:
        from upstash_helper.system import disk_errors

        disk = disk_errors.describe(error)
        if disk is None:
            raise
        return fail(f"The daemon stopped. {disk}", exit_codes.FAILURE, "disk_unwritable")
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    return exit_codes.OK


def _print_error(detail: str, exit_code: int, code: str, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        title = exit_codes.MEANING[exit_code]
        text = msgspec.json.encode({"code": code, "title": title, "detail": detail, "exit_code": exit_code}).decode()
    else:
        text = f"Error: {detail}" if exit_code else detail
    _print(text)


def _print(text: str) -> None:
    if sys.stderr is not None:  # None under pythonw, which Windows starts at login
        with contextlib.suppress(OSError):  # it may be a file on a full disk
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

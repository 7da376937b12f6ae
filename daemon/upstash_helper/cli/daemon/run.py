"""``run``: be the daemon."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from upstash_helper.cli import exit_codes
from upstash_helper.settings.config import load_profile
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from upstash_helper.cli.daemon.run_flags import RunRequest


def become_daemon(request: RunRequest, *, as_json: bool = False) -> int:
    """Run the daemon until it is stopped, and return the exit code."""
    # The one place of the command line that reaches into the daemon.
    from upstash_helper.runtime import serve, systemd

    passed = systemd.take_passed_sockets()

    def refused(detail: str, exit_code: int, code: str) -> int:
        _say(detail, exit_code, code, as_json=as_json)
        turned_away = passed.refuse_connections()
        if turned_away:
            _write(f"Connections turned away: {turned_away}.")
        return exit_code

    try:
        world = load_profile(profile=request.profile, flags=request.flags)
        if request.stop_with_parent:
            _stop_with_parent()
        # Off since `__main__`, for the imports so far; for its own, `serve` takes care of it.
        gc.enable()
        serve.run_daemon(world, passed, on_port_wait=_write if request.wait_for_port else None)
    except SettingsError as error:
        return refused(str(error), exit_codes.USAGE, "invalid_setting")
    except serve.PortBusy as error:
        return refused(error.detail, exit_codes.PORT_BUSY, "port_busy")
    except serve.AlreadyRunning as error:
        # What was wanted is so; but not where a service manager waits for a daemon that takes its connections.
        return refused(error.detail, exit_codes.TURNED_AWAY if passed else exit_codes.OK, "already_running")
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    return exit_codes.OK


def _say(detail: str, exit_code: int, code: str, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        title = exit_codes.MEANING[exit_code]
        text = msgspec.json.encode({"code": code, "title": title, "detail": detail, "exit_code": exit_code}).decode()
    else:
        text = f"Error: {detail}" if exit_code else detail
    _write(text)


def _write(text: str) -> None:
    if sys.stderr is not None:  # there is none under pythonw, which Windows starts at login
        sys.stderr.write(f"{text}\n")


def _stop_with_parent() -> None:
    """
    Stop when the standard input ends.

    Whoever starts the daemon for a while (the demo, a test) holds the other end of a pipe, which the system closes
    however that program ends: no daemon is left behind, on any platform.
    """

    def wait() -> None:
        # Below Python's buffers: a thread that sits in one of them at exit holds its lock, and the exit fails.
        while os.read(0, 4096):
            pass
        if sys.platform == "win32":
            signal.raise_signal(signal.SIGTERM)  # os.kill would end the process at once, without a handler
        else:
            # To the main thread: it is the one that waits, and a signal to this thread would not wake it up.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=wait, name="stop-with-parent", daemon=True).start()

"""T65: what was taken away while the home folder could not be written is remembered in the session's folder."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.security.test_t80_meeting_place import daemon, environment
from tests.support.daemon import free_port
from tests.support.mounts import run_with_mounts
from tests.support.until import until
from upstash_helper.client.app_session import AppClient
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.protocol.wire_apps import PairingRequest
from upstash_helper.settings.profiles import locate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("platform: other systems have no folder of the session in memory", allow_module_level=True)


def owner_of(environ: Mapping[str, str]) -> DaemonClient:
    """Return an owner's client of the running daemon, once there is one."""

    def found() -> DaemonClient | None:
        try:
            return DaemonClient.discover(locate()[1].runtime)
        except DaemonUnreachable:
            return None

    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(name, environ[name])
        owner = until(found)
    assert owner is not None
    return owner


async def revoke_on_a_read_only_disk(home: Path, session: Path) -> dict[str, Any]:
    """Revoke an app's access while the home folder is read-only, and start the daemon again after a crash."""
    environ = environment(home) | {"XDG_RUNTIME_DIR": str(session)}
    with daemon(environ, free_port()):
        owner = owner_of(environ)
        started = AppClient(owner.base_url, None).start_pairing(PairingRequest(name="App", scopes=("databases:read",)))
        owner.approve(started.id)
        AppClient(owner.base_url, started.poll_secret).fetch_token(started.id)
    subprocess.run(["mount", "--bind", home, home], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
    with daemon(environ, free_port()):
        owner = owner_of(environ)
        [approved] = owner.apps()
        revoked = owner.revoke_app(approved.id)
    with daemon(environ, free_port()):
        left = owner_of(environ).apps()
    return {"recorded": revoked.recorded, "notice": revoked.notice, "left": len(left)}


def test_t65_revoked_app_stays_revoked_after_a_crash_on_a_read_only_disk(tmp_path: Path) -> None:
    """
    The response says that the change could not be saved yet, and the app has no access after a restart either.
    """
    home, session = tmp_path / "home", tmp_path / "session"
    for folder in (home, session):
        folder.mkdir(mode=0o700)

    seen = run_with_mounts("", revoke_on_a_read_only_disk, home, session)

    assert (False, 0) == (seen["recorded"], seen["left"])
    assert "a restart of the helper undoes it" not in seen["notice"]

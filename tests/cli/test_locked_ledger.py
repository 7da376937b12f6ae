"""T65: commands that take rights away, while the ledger cannot be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.security.test_t65_full_disk import locked
from tests.support.sample_app import SampleApp

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

NOTICE = "This has taken effect, but could not be saved yet."


async def test_t65_commands_succeed_and_say_that_it_is_not_saved_yet(shell: Shell, running: DaemonProcess) -> None:
    """The exit code is 0, and one sentence on stderr says why it is not saved; with --json, it is in the result."""
    app = SampleApp.approved(running, "connection:read", origin="https://one.example.com")
    other = SampleApp.approved(running, "connection:read", origin="https://two.example.com")
    asked = SampleApp.requesting(running, "connection:read", origin="https://three.example.com")

    with locked(running.folders.ledger_file):
        revoked = await shell("apps", "revoke", app.app_id, "--yes")
        as_json = await shell("apps", "revoke", other.app_id, "--yes", "--json")
        denied = await shell("approvals", "deny", asked.id)
        opened = await shell("open", "--print")
        listed = await shell("apps", "list")
        stopped = await shell("stop")

    assert [0] * 6 == [ran.code for ran in (revoked, as_json, denied, opened, listed, stopped)]
    assert [True] * 4 == [NOTICE in ran.err for ran in (revoked, denied, opened, stopped)]
    assert "in use by another program. Stop that program. The helper will save it" in revoked.err
    assert {"revoked": True, "recorded": False} == {
        key: value for key, value in msgspec.json.decode(as_json.out).items() if key in {"revoked", "recorded"}
    }
    assert (".upstash-helper.localhost:" in opened.out, listed.out) == (True, "")
    assert stopped.out.startswith("The daemon was stopped.")

"""Automatic approval of access requests: only with a sandbox, and visibly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.daemon import DaemonFailed, DaemonProcess
from tests.support.questions import asking
from tests.support.world import World, as_page
from upstash_helper.cli import exit_codes
from upstash_helper.client import Helper, MemoryTokens
from upstash_helper.runtime.auto_approve import require_sandbox
from upstash_helper.settings.config import load_profile
from upstash_helper.upstream.sandbox import ASK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
AUTO: dict[str, Any] = {"auto_approve": True, "credential_store": "memory", "sign_in": "open"}


def urls_of(sandbox: Sandbox) -> dict[str, Any]:
    """Return the settings of a daemon that uses the sandbox."""
    return {name: getattr(sandbox, name) for name in ("auth_url", "api_url", "rest_url", "issuer_url")}


async def start(tmp_path: Path, urls: Mapping[str, Any], **settings: Any) -> str:
    """Start a daemon with auto_approve, and return the error that it ends with."""
    daemon = DaemonProcess(tmp_path, environment={"UPSTASH_HELPER_AUTO_APPROVE": "true"}, **urls, **settings)
    with pytest.raises(DaemonFailed) as caught:
        await asyncio.to_thread(daemon.start)
    daemon.kill()
    assert exit_codes.USAGE == caught.value.returncode
    return " ".join(caught.value.output.split())


async def test_every_surface_can_be_approved_at_once(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A page and a program get the scopes that they request, and the user is neither asked nor notified."""
    async with World.running(tmp_path, sandbox, daemon_port, **AUTO) as world:
        for origin in (PAGE, None):
            headers = {} if origin is None else as_page(origin)
            asked = (await world.ask("databases:read", "databases:credentials", origin=origin)).json
            at, secret = f"/v1/pairings/{asked['id']}", asked["poll_secret"]
            state = (await world.get(at, token=secret, headers=headers)).json["state"]
            token = await world.call("POST", f"{at}/token", token=secret, headers=headers)

            assert "approved" == state
            assert (200, ["databases:read", "databases:credentials"], False) == (
                token.status, token.json["scopes"], token.json["all_databases"]
            )  # fmt: skip
        await world.daemon.background.drain(5)

        assert [] == world.desktop.shown
        assert (await world.get("/v1/daemon")).json["auto_approve"]


async def test_what_apps_ask_is_allowed_at_once(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """After the same check, and visibly. Tests of the questions themselves can turn that off."""
    answers = []
    for auto_confirm in (True, False):
        settings = {**AUTO, "auto_confirm": auto_confirm}
        async with World.running(tmp_path / str(auto_confirm), sandbox, daemon_port, **settings) as world:
            asked = (await world.ask("databases:delete", audience="mcp", name="Agent")).json
            at, secret = f"/v1/pairings/{asked['id']}/token", asked["poll_secret"]
            app_id = (await world.call("POST", at, token=secret)).json["app_id"]
            async with asking(world, app_id) as task:
                waiting = world.daemon.confirmations().waiting
                answers.append((await task if task.done() else "asks", len(waiting)))
            entries = (await world.get("/v1/audit")).json["entries"]
            answers.append(sum(it["action"] == "confirmation.allow_automatically" for it in entries))

    assert [("allowed", 0), 1, ("asks", 1), 0] == answers


async def test_many_apps_can_be_approved_at_once(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """No limit applies that is for prompts: the tests of a project request access as often as they start."""
    async with World.running(tmp_path, sandbox, daemon_port, **AUTO) as world:
        for _ in range(4):
            replies = await asyncio.gather(
                *(world.ask("databases:read", name=f"App {number % 3}") for number in range(10))
            )

            assert {202} == {reply.status for reply in replies}


async def test_approval_is_marked_in_the_audit(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """As one that nobody has made."""
    async with World.running(tmp_path, sandbox, daemon_port, **AUTO) as world:
        asked = (await world.ask("databases:read", name="Tests")).json

        entries = (await world.get("/v1/audit")).json["entries"]

        [entry] = [it for it in entries if it["action"] == "pairing.approve_automatically"]
        assert ("Tests", asked["id"], "ok") == (entry["app_name"], entry["target"], entry["result"])
        assert not any(it["action"] == "pairing.approve" for it in entries)


async def test_blocked_app_is_not_approved(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The user can still block an app."""
    async with World.running(tmp_path, sandbox, daemon_port, **AUTO) as world:
        asked = (await world.ask("databases:read", origin=PAGE)).json
        await world.call("POST", f"/v1/pairings/{asked['id']}/block")

        assert 403 == (await world.ask("databases:read", origin=PAGE)).status


async def test_block_counts_for_a_request_that_is_being_written(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Whichever comes first: once the app is blocked, none of its requests leads to a token."""
    tokens = set()
    async with World.running(tmp_path, sandbox, daemon_port, **AUTO) as world:
        for number in range(24):
            page = f"https://app{number}.example{number}.com"
            first = (await world.ask("databases:read", origin=page)).json
            asking = asyncio.create_task(world.ask("databases:read", origin=page))
            await asyncio.sleep(number / 1000)  # so that it comes at every stage of the request
            await world.call("POST", f"/v1/pairings/{first['id']}/block")
            second = await asking
            for asked in (first, second.json) if second.status == 202 else (first,):
                at, secret = f"/v1/pairings/{asked['id']}/token", asked["poll_secret"]
                tokens.add((await world.call("POST", at, token=secret, headers=as_page(page))).status)

    assert {403} == tokens


async def test_request_waits_for_the_user_once_the_sandbox_is_gone(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Each approval is preceded by a check that the upstream is a sandbox now: another program may have its port."""
    answers: dict[str, Any] = {}

    async def identity(_: web.Request) -> web.Response:
        return web.json_response(answers)

    app = web.Application()
    app.router.add_get("/.well-known/upstash-sandbox", identity)
    async with TestServer(app) as server:
        names = ("api_url", "rest_url", "issuer_url", "auth_url")
        urls: dict[str, Any] = dict.fromkeys(names, str(server.make_url("")).rstrip("/"))
        answers |= {"service": "upstash-helper-sandbox", **urls}
        async with World.running(tmp_path, sandbox, daemon_port, **AUTO, **urls) as world:
            first = await world.ask("databases:read", origin=PAGE)
            answers["service"] = "something-else"
            second = await world.ask("databases:read", origin="https://other.example")
            pending = (await world.get("/v1/pairings")).json["pairings"]

    assert [202, 202] == [first.status, second.status]
    assert [second.json["id"]] == [it["id"] for it in pending]


async def test_sandbox_on_a_busy_machine_may_take_a_while(tmp_path: Path) -> None:
    """Otherwise, tests on such a machine would now and then wait for a user who is not there."""
    answers: dict[str, Any] = {}
    answered = []

    async def identity(_: web.Request) -> web.Response:
        await asyncio.sleep(ASK_SECONDS + 0.5)
        answered.append(True)
        return web.json_response(answers)

    app = web.Application()
    app.router.add_get("/.well-known/upstash-sandbox", identity)
    async with TestServer(app) as server:
        names = ("api_url", "rest_url", "issuer_url", "auth_url")
        urls: dict[str, Any] = dict.fromkeys(names, str(server.make_url("")).rstrip("/"))
        answers |= {"service": "upstash-helper-sandbox", **urls}
        profile = load_profile(flags={**AUTO, **urls}, environ={"UPSTASH_HELPER_HOME": str(tmp_path)})

        await require_sandbox(profile)

    assert [True] == answered


# --- refused ----------------------------------------------------------------------------------------------------------


async def test_daemon_of_a_sandbox_starts_and_approves(tmp_path: Path, sandbox: Sandbox) -> None:
    """The real daemon, with the Python client: nobody is asked."""
    with DaemonProcess.running(
        tmp_path, environment={"UPSTASH_HELPER_AUTO_APPROVE": "true"}, sign_in="open", **urls_of(sandbox)
    ) as daemon:
        helper = await asyncio.to_thread(
            Helper.pair,
            name="Tests",
            scopes=("connection:read", "databases:read"),
            base_url=daemon.client.base_url,
            token_store=MemoryTokens(),
            timeout=30,
        )
        status = await asyncio.to_thread(daemon.client.status)

    assert ("connection:read", "databases:read") == helper.scopes
    assert (True, "sandbox") == (status.auto_approve, status.upstream)


async def test_daemon_of_upstash_does_not_start(tmp_path: Path) -> None:
    """Nothing has to be running for that to be known."""
    error = await start(tmp_path, {})

    assert "UPSTASH_HELPER_AUTO_APPROVE" in error
    assert "it requires a local sandbox (upstash-helper sandbox), but api_url is https://api.upstash.com" in error


async def test_daemon_of_another_local_server_does_not_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """Neither with one that answers every path, nor with a tunnel to a sandbox, nor with one that is not running."""

    async def anything(_: web.Request) -> web.Response:
        return web.json_response({"service": "upstash-helper", "status": "ok"})

    async def forwarded(request: web.Request) -> web.Response:
        del request
        return web.json_response({"service": "upstash-helper-sandbox", **urls_of(sandbox)})

    one, errors = "", []
    for handler in (anything, forwarded):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        async with TestServer(app) as server:
            one = str(server.make_url("")).rstrip("/")
            errors.append(await start(tmp_path, dict.fromkeys(urls_of(sandbox), one), sign_in="open"))
            errors.append(await start(tmp_path, urls_of(sandbox) | {"api_url": one}, sign_in="open"))
    errors.append(await start(tmp_path, dict.fromkeys(urls_of(sandbox), one), sign_in="open"))

    for error in errors:
        assert f"these URLs do not belong to one: api_url {one}" in error or "api_url http://" in error
        assert "Start the sandbox first (upstash-helper sandbox), or remove auto_approve" in error


async def test_daemon_of_a_profile_with_a_real_credential_does_not_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nor one that would use the keyring."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "credential.json").touch(mode=0o600)

    stored = await start(tmp_path, urls_of(sandbox), sign_in="open", credential_store="file")
    keyring = await start(tmp_path, urls_of(sandbox), sign_in="open", credential_store="keyring")

    assert "has the credential of a real account" in stored
    assert "it cannot be combined with the keyring" in keyring

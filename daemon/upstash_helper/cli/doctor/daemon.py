"""Checks of the daemon: its version, its ports, its connection, and its credential store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.cli.doctor.check import CheckResult, State, error, ok, warning
from upstash_helper.cli.doctor.loopback_ports import FAMILIES, address, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext
    from upstash_helper.protocol.wire import DaemonStatus, Listener


def daemon(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the daemon is running, answers, and has this version."""
    from upstash_helper.client.errors import DaemonUnreachable

    name, answer = "Daemon", context.daemon()
    if answer.status is None:
        if not answer.running and _is_on_demand(context):
            yield ok(name, "not running; systemd starts it on the first request")
        elif not answer.running:
            yield error(name, "not running", f"Start it with: {context.command('start')}")
        elif isinstance(answer.error, DaemonUnreachable):
            fix = f"See {context.folders.log_file}, or: {context.command('restart')}"
            yield error(name, str(answer.error), fix)
        else:
            yield error(name, str(answer.error), context.command("restart"))
        return
    status = answer.status
    if status.version != __version__:
        detail = (
            f"version {status.version}, and this command is version {__version__}; they are compatible"
            f" (protocol {status.api_version})"
        )
        yield warning(name, detail, context.command("restart"))
        return
    yield ok(name, f"version {status.version} (protocol {status.api_version}), process {status.pid}")


def _is_on_demand(context: DoctorContext) -> bool:
    candidates = (context.settings.port, *context.settings.api_ports)
    return any(state_of(host, port).state == "on-demand" for port in candidates for host, _ in FAMILIES)


def ports(context: DoctorContext) -> Iterator[CheckResult]:
    """Who listens on the callback port and the API port."""
    status, settings = context.daemon().status, context.settings
    listeners = {one.address: one for one in status.listeners} if status else {}
    for hint in status.hints if status else ():
        yield warning("Port", hint.detail)
    on_demand = settings.port_policy == "on-demand"
    yield from _port(settings.port, listeners, on_demand=on_demand)
    if on_demand:
        yield from _api_ports(context, listeners)
    elif status is not None:
        # It was started with other settings than the current ones.
        known = {address(host, settings.port) for host, _ in FAMILIES}
        yield from (_listener(one) for place, one in listeners.items() if place not in known)


def _port(port: int, listeners: dict[str, Listener], *, on_demand: bool) -> Iterator[CheckResult]:
    for host, _ in FAMILIES:
        place = address(host, port)
        known = listeners.get(place)
        if known is not None and known.state != "on_demand":
            yield _listener(known)
            continue
        held = state_of(host, port)
        if held.state == "taken" and on_demand:
            yield warning(
                "Port",
                f'{place} is in use by {held.holder}. With port_policy = "on-demand", the helper needs it only while a'
                " sign-in is pending",
                "Stop that program while you sign in, or connect with an API key.",
            )
        elif held.state == "taken":
            yield _in_use("Port", place, held.holder)
        else:
            yield ok("Port", f"{place} {_STATES['on_demand' if held.state == 'free' and on_demand else held.state]}")


def _api_ports(context: DoctorContext, listeners: dict[str, Listener]) -> Iterator[CheckResult]:
    name, candidates = "API port", context.settings.api_ports
    own = [one for one in listeners.values() if int(one.address.rpartition(":")[2]) != context.settings.port]
    if own:
        yield from (_listener(one, name) for one in own)
        return
    in_use = {port: holder for port in candidates if (holder := _holder(port)) is not None}
    who = ", ".join(f"{port} is in use by {holder}" for port, holder in in_use.items())
    if len(in_use) < len(candidates):
        free = next(port for port in candidates if port not in in_use)
        yield ok(name, f"{free} is free{f'; {who}' if who else ''}")
        return
    yield error(
        name,
        f"none of {', '.join(map(str, candidates))} is free, so the API is not reachable: {who}",
        "Stop one of these programs, or set another port: api_port = …",
    )


def _holder(port: int) -> str | None:
    for host, _ in FAMILIES:
        held = state_of(host, port)
        if held.state == "taken":
            return held.holder
    return None


def _listener(listener: Listener, name: str = "Port") -> CheckResult:
    if listener.state == "taken":
        return _in_use(name, listener.address, listener.holder or "another program")
    return ok(name, f"{listener.address} {_STATES[listener.state]}")


def _in_use(name: str, address: str, holder: str) -> CheckResult:
    return error(
        name,
        f"{address} is in use by {holder}, which would receive the response to your sign-in",
        "Stop that program, or set another port that is registered with Upstash: port = …",
    )


_STATES: Final = {
    "listening": "is used by the daemon",
    "absent": "does not exist on this machine",
    "free": "is free",
    "on-demand": "is held by systemd, which starts the daemon on the first request",
    "on_demand": "is used only while a sign-in is pending",
}


def connection(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether an account is connected, and the credential store works."""
    status = context.daemon().status
    if status is not None:
        if status.upstream != "upstash":
            what = "a sandbox, a local Upstash" if status.upstream == "sandbox" else "not Upstash"
            yield ok("Upstream", f"{what}, at {status.api_url}")
        yield from _connection(context, status)


def _connection(context: DoctorContext, status: DaemonStatus) -> Iterator[CheckResult]:
    from upstash_helper.cli.commands.status import connection_summary, next_step

    found = status.connection
    fix = found.detail or ""
    match found.state:
        case "connected" | "connecting":
            state: State = "ok"
        case "disconnected":
            state, fix = "warning", next_step(context.session, found)
        case _:
            # A keyring or a port has its own checks.
            steps = found.next_steps if found.state in {"reconnect_required", "needs_email"} else ()
            command = next((f" {it.text}: {context.command(*it.command.split()[1:])}" for it in steps), "")
            state, fix = "error", f"{fix}{command}".strip() or f"See: {context.command('status')}"
    yield CheckResult(name="Connection", state=state, detail=connection_summary(found), fix=fix)

    store = found.credential_store
    if store is None or (state == "error" and store.detail and store.detail == found.detail):
        return  # the reason was given above
    if store.state in {"locked", "unavailable"}:
        fix = store.detail or "Unlock or start your session's keyring."
        yield error("Credentials", f"{store.kind}: {store.state}", fix)
    elif store.state == "unknown" and store.detail:
        yield warning("Credentials", f"{store.kind}: not created yet", store.detail)
    else:
        yield ok("Credentials", f"{store.kind}: {'not used yet' if store.state == 'unknown' else store.state}")

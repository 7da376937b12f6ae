"""The checks of the daemon: its version, its ports, its connection, and where it keeps the API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.cli.doctor.check import CheckResult, State, error, ok, warning
from upstash_helper.cli.doctor.loopback_ports import FAMILIES, address, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext
    from upstash_helper.protocol.wire import DaemonStatus, Listener


def daemon(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether it runs, answers, and is of this version."""
    from upstash_helper.client.errors import DaemonUnreachable

    name, answer = "Daemon", context.daemon()
    if answer.status is None:
        if not answer.running and _is_on_demand(context):
            yield ok(name, "it is not running; your systemd starts it when it is asked for")
        elif not answer.running:
            yield error(name, "it is not running", f"Start it with: {context.command('start')}")
        elif isinstance(answer.error, DaemonUnreachable):
            fix = f"See {context.folders.log_file}, or: {context.command('restart')}"
            yield error(name, str(answer.error), fix)
        else:
            yield error(name, str(answer.error), context.command("restart"))
        return
    status = answer.status
    if status.version != __version__:
        detail = (
            f"it has version {status.version}, and this command {__version__}; they understand each other"
            f" (protocol {status.api_version})"
        )
        yield warning(name, detail, context.command("restart"))
        return
    yield ok(name, f"version {status.version} (protocol {status.api_version}), process {status.pid}")


def _is_on_demand(context: DoctorContext) -> bool:
    candidates = (context.settings.port, *context.settings.api_ports)
    return any(look(host, port).state == "on-demand" for port in candidates for host, _ in FAMILIES)


def ports(context: DoctorContext) -> Iterator[CheckResult]:
    """Who has the addresses that a sign-in comes back to, and those of the API."""
    status, settings = context.daemon().status, context.settings
    listeners = {one.address: one for one in status.listeners} if status else {}
    for hint in status.hints if status else ():
        yield warning("Port", hint.detail)
    at_rest = settings.port_policy == "on-demand"
    yield from _port(settings.port, listeners, at_rest=at_rest)
    if at_rest:
        yield from _api_ports(context, listeners)
    elif status is not None:
        # It was started with other settings than there are now.
        known = {address(host, settings.port) for host, _ in FAMILIES}
        yield from (_listener(one) for place, one in listeners.items() if place not in known)


def _port(port: int, listeners: dict[str, Listener], *, at_rest: bool) -> Iterator[CheckResult]:
    for host, _ in FAMILIES:
        place = address(host, port)
        known = listeners.get(place)
        if known is not None and known.state != "on_demand":
            yield _listener(known)
            continue
        held = look(host, port)
        if held.state == "taken" and at_rest:
            yield warning(
                "Port",
                f"{place} belongs to {held.holder}. The helper leaves it alone, as port_policy says, and needs it for"
                " the moments of a sign-in",
                "Stop that program for as long as you sign in, or connect with an API key.",
            )
        elif held.state == "taken":
            yield _taken("Port", place, held.holder)
        else:
            yield ok("Port", f"{place} {_WORDS['on_demand' if held.state == 'free' and at_rest else held.state]}")


def _api_ports(context: DoctorContext, listeners: dict[str, Listener]) -> Iterator[CheckResult]:
    name, candidates = "API port", context.settings.api_ports
    theirs = [one for one in listeners.values() if int(one.address.rpartition(":")[2]) != context.settings.port]
    if theirs:
        yield from (_listener(one, name) for one in theirs)
        return
    taken = {port: holder for port in candidates if (holder := _holder(port)) is not None}
    who = ", ".join(f"{port} belongs to {holder}" for port, holder in taken.items())
    if len(taken) < len(candidates):
        free = next(port for port in candidates if port not in taken)
        yield ok(name, f"{free} is free{f'; {who}' if who else ''}")
        return
    yield error(
        name,
        f"none of {', '.join(map(str, candidates))} is free, so the API cannot be reached: {who}",
        "Stop one of these programs, or give the API another port: api_port = …",
    )


def _holder(port: int) -> str | None:
    for host, _ in FAMILIES:
        held = look(host, port)
        if held.state == "taken":
            return held.holder
    return None


def _listener(listener: Listener, name: str = "Port") -> CheckResult:
    if listener.state == "taken":
        return _taken(name, listener.address, listener.holder or "another program")
    return ok(name, f"{listener.address} {_WORDS[listener.state]}")


def _taken(name: str, address: str, holder: str) -> CheckResult:
    return error(
        name,
        f"{address} belongs to {holder}, which would receive your sign-in",
        "Stop that program, or give the helper another port that is registered with Upstash: port = …",
    )


_WORDS: Final = {
    "listening": "is the daemon's",
    "absent": "does not exist on this machine",
    "free": "is free",
    "on-demand": "is your systemd's, which starts the helper when it is asked for",
    "on_demand": "is taken while a sign-in runs, and left to others at other times",
}


def connection(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether an account is connected, and the daemon could use the keyring."""
    status = context.daemon().status
    if status is not None:
        yield from _of_daemon(context, status)


def _of_daemon(context: DoctorContext, status: DaemonStatus) -> Iterator[CheckResult]:
    from upstash_helper.cli.commands.status import described

    found = status.connection
    fix = found.detail or ""
    match found.state:
        case "connected" | "connecting":
            state: State = "ok"
        case "disconnected":
            state, fix = "warning", fix or f"Connect an account with: {context.command('connect')}"
        case _:
            state, fix = "error", fix or f"See: {context.command('status')}"
    yield CheckResult(name="Connection", state=state, detail=described(found), fix=fix)

    store = found.credential_store
    if store is None:
        return
    if store.state in {"locked", "unavailable"}:
        remedy = store.detail or "Unlock or start the keyring of your session."
        yield error("Credentials", f"{store.kind}: {store.state}", remedy)
    else:
        yield ok("Credentials", f"{store.kind}: {'not used yet' if store.state == 'unknown' else store.state}")

"""The gate's refusals: each says what was wrong and what is taken, in words that quote no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from upstash_helper.broker.apps.identity import Caller

if TYPE_CHECKING:
    from upstash_helper.api.guard.policy.policy import Facts
    from upstash_helper.broker.apps.identity import Scope

LONGEST_TARGET: Final = 2048

REALM: Final = 'Bearer realm="upstash-helper"'
PAIRINGS: Final = "/v1/pairings"


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """Turned away."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Where to go on, by what is there."""
    close: bool = False
    """Whether the connection cannot be trusted any further."""
    misused: Caller | None = None
    """Whose token came from where it does not belong."""


# Constant, so that a page which may load it as an image or script learns nothing, not even which rule it hit.
CROSS_SITE: Final = Deny(status=403, code="cross_site_request", detail="A page of another site may not do this.")
WRONG_USER: Final = Deny(
    status=403, code="wrong_user", detail="This helper serves another user of this machine. Start your own.", close=True
)
OWNER_ONLY: Final = Deny(
    status=403, code="owner_only", detail="Only the user's own tools may do this: the command line and the tray."
)


def of_target(target: str) -> Deny | None:
    """
    Take the origin-form alone (RFC 9112, section 3.2.1). In the absolute form the target names a host of its own, and
    every later question about Host would have two answers.
    """
    if not target.startswith("/"):
        return _bad("invalid_target", "Send the path alone as the request target, such as /v1/databases.")
    if "#" in target:
        # RFC 9112, section 3.2.1: there is no fragment in a request-target; aiohttp would pass over it in silence.
        return _bad("invalid_target", "The request target has a fragment.")
    if len(target) > LONGEST_TARGET:
        return _bad("invalid_target", f"The request target is longer than {LONGEST_TARGET} characters.")
    path = unquote_to_bytes(target.partition("?")[0])
    segments = path.split(b"/")
    if b"." in segments or b".." in segments or b"" in segments[1:-1] or re.search(rb"[\x00-\x1f\x7f-\xff\\]", path):
        return _bad("invalid_target", "The path has empty, '.' or '..' segments, or characters that no path here has.")
    if "%2f" in target.partition("?")[0].lower():
        return _bad("invalid_target", "The path has an encoded slash.")
    return None


def of_host(hosts: tuple[str, ...], taken: tuple[str, ...]) -> Deny | None:
    """
    Compare Host with an exact set, port included. This is what stops DNS rebinding: the attacker's page then has our
    address, but still says its own name.
    """
    if len(hosts) > 1:
        return _bad("invalid_host", "Send one Host header.")
    host = hosts[0] if hosts else ""
    if host.lower() in taken and host.isascii():
        return None
    detail = f"This is not the host you asked for: {_shown(host) or '(none)'}. Taken are: {', '.join(taken)}."
    return Deny(status=421, code="host_not_allowed", detail=detail, close=True)


def of_origins(origins: tuple[str, ...]) -> Deny | None:
    """Take one Origin at most, and one that names somebody."""
    if len(origins) > 1:
        return _bad("invalid_origin", "Send one Origin header at most.")
    if origins == ("null",):
        # Sandboxed frames, data: and file: pages all say null: it names nobody, so nobody can be approved by it.
        return Deny(status=403, code="origin_not_allowed", detail="The origin 'null' names nobody and is not taken.")
    return None


def of_route(*, known: bool, allowed_methods: tuple[str, ...], has_api: bool) -> Deny | None:
    """Say that there is nothing, or that it is not done in this way."""
    if known:
        return None
    if allowed_methods:
        allow = ", ".join(sorted(allowed_methods))
        detail = f"This path takes: {allow}."
        return Deny(status=405, code="method_not_allowed", detail=detail, headers=(("Allow", allow),))
    where = " The API is listed in /openapi.json." if has_api else ""
    return Deny(status=404, code="not_found", detail=f"There is nothing at this path.{where}")


def of_foreign_origin(origin: str, *, reason: Literal["not_yet", "cannot_be"] = "not_yet") -> Deny:
    """Say that the user has not let this origin in, or never could."""
    if reason == "cannot_be":
        detail = (
            f"The origin {_shown(origin)} cannot be let in: https, http on localhost, and browser extensions can, each "
            "as the browser writes it."
        )
    else:
        detail = f"The origin {_shown(origin)} has not been let in by the user."
    return Deny(status=403, code="origin_not_allowed", detail=detail)


def of_mismatch(origin: str | None, caller: Caller) -> Deny:
    """Say that the token belongs elsewhere."""
    where = "a request without Origin" if origin is None else f"the origin {_shown(origin)}"
    detail = f"This token is not bound to {where}. Whoever sent it may have stolen it."
    return Deny(status=403, code="origin_mismatch", detail=detail, misused=caller)


def of_token(*, sent: bool) -> Deny:
    """Ask for a token (RFC 6750, section 3)."""
    links = (("pair", PAIRINGS),)
    if sent:
        detail = (
            "The token is not known here, or no longer: the user may have revoked it. Ask to be let in: POST "
            f"{PAIRINGS}. (The owner's token changes whenever the helper starts.)"
        )
        challenge = f'{REALM}, error="invalid_token"'
        return Deny(
            status=401, code="invalid_token", detail=detail, headers=(("WWW-Authenticate", challenge),), links=links
        )
    detail = f"Send a token: Authorization: Bearer <token>. An app gets one by asking the user: POST {PAIRINGS}."
    return Deny(
        status=401,
        code="token_required",
        detail=detail,
        headers=(("WWW-Authenticate", REALM), ("Link", f'<{PAIRINGS}>; rel="pair"')),
        links=links,
    )


def of_scope(scope: Scope) -> Deny:
    """Say which scope is missing (RFC 6750, section 3.1)."""
    challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
    detail = f"This needs the scope {scope}, which the user has not granted. Ask for it with a new pairing."
    return Deny(status=403, code="insufficient_scope", detail=detail, headers=(("WWW-Authenticate", challenge),))


def of_content(facts: Facts) -> Deny | None:
    """
    Take JSON bodies alone. The types that an HTML form can send are the ones that a browser posts across sites without
    asking first.
    """
    body = "none" if facts.policy is None else facts.policy.body
    if body == "any":
        return None
    if body == "json" or (facts.has_body and facts.method not in ("GET", "HEAD", "OPTIONS")):
        kind = facts.content_types[0].partition(";")[0].strip().lower() if len(facts.content_types) == 1 else ""
        if kind != "application/json":
            detail = "Send the body as JSON with Content-Type: application/json."
            return Deny(
                status=415, code="unsupported_media_type", detail=detail, headers=(("Accept", "application/json"),)
            )
    return None


def _bad(code: str, detail: str) -> Deny:
    return Deny(status=400, code=code, detail=detail, close=True)


def _shown(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:100]

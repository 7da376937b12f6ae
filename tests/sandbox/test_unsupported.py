"""What of the Developer API the sandbox does not have, and methods that a path does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.callers import send

if TYPE_CHECKING:
    import aiohttp

    from tests.sandbox.callers import Caller
    from tests.support.sandbox import Sandbox


@pytest.mark.parametrize(
    ("method", "path", "product"),
    [
        ("GET", "/v2/kafka/clusters", "Kafka"),
        ("DELETE", "/v2/kafka/cluster/x", "Kafka"),
    ],
)
async def test_missing_product_is_501(caller: Caller, method: str, path: str, product: str) -> None:
    """
    A request to a product that the sandbox does not have is 501, and the error names the product and the request.
    """
    response = await caller.call(method, path)

    error = f"The sandbox has no {product}, so it cannot answer {method} {path}."
    assert (501, {"error": error}) == (response.status, response.json)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/"),
        ("GET", "/v2/redis"),
        ("GET", "/v2/redis/nothing"),
        ("GET", "/v2/redis/databases/"),
        ("POST", "/v2/qstash/publish/x"),
        ("PUT", "/v2/team/x/y/z"),
        ("GET", "/v2/blob"),
        ("PUT", "/v2/blob/bucket/x/y"),
        ("GET", "/v2/a%2Fb"),
        ("GET", "/v2/%00%ff%C3%A9"),
        ("OPTIONS", "/v2/nothing"),
    ],
)
async def test_missing_operation_is_501(caller: Caller, method: str, path: str) -> None:
    """
    A request to any other unknown path below `/v2` is 501, and the error names the request.
    """
    response = await caller.call(method, path)

    assert (501, {"error": f"The sandbox has no operation {method} {path}."}) == (response.status, response.json)


async def test_missing_operation_is_501_without_credentials(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    What is missing does not depend on who asks. A query is not repeated, since it can contain secrets.
    """
    response = await send(session, "GET", f"{sandbox.api_url}/v2/nothing?token=s3cret")

    assert (501, "The sandbox has no operation GET /v2/nothing.") == (response.status, response.json["error"])


async def test_long_path_is_shortened(caller: Caller) -> None:
    """
    The error repeats only the beginning of a long path.
    """
    response = await caller.call("GET", "/v2/" + "x" * 5000)

    assert response.status == 501
    assert len(response.json["error"]) < 300
    assert response.json["error"].endswith("xxx....")


@pytest.mark.parametrize("at", ["api_url", "issuer_url"])
@pytest.mark.parametrize("path", ["/v1/redis/databases", "/v2x", "/v20/redis", "/nothing", "/_sandbox/nothing"])
async def test_unknown_path_elsewhere_is_501(
    sandbox: Sandbox, session: aiohttp.ClientSession, at: str, path: str
) -> None:
    """
    A path that is not below `/v2` is 501 as well, and the error says what is missing.
    """
    response = await send(session, "GET", getattr(sandbox, at) + path)

    error = f"The sandbox has no GET {path} at this address."
    assert (501, {"error": error}) == (response.status, response.json)


@pytest.mark.parametrize("at", ["api_url", "issuer_url"])
async def test_unknown_metadata_is_404(sandbox: Sandbox, session: aiohttp.ClientSession, at: str) -> None:
    """
    Clients look below `/.well-known/` for several kinds of metadata, and go on if the response is 404.
    """
    response = await send(session, "GET", f"{getattr(sandbox, at)}/.well-known/oauth-protected-resource")

    assert (404, True) == (response.status, response.json["error"].startswith("The sandbox has no GET"))


async def test_issuer_has_no_developer_api(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    At the issuer, the Developer API is missing.
    """
    response = await send(session, "GET", f"{sandbox.issuer_url}/v2/redis/databases")

    assert response.status == 501


@pytest.mark.parametrize("base", ["", "/v2"])
@pytest.mark.parametrize("path", ["/user", "/invoices", "/billingdetails/cards", "/billingdetails", "/listkeys"])
async def test_what_only_the_console_has_is_403(
    caller: Caller, session: aiohttp.ClientSession, base: str, path: str
) -> None:
    """
    Upstash refuses to API keys what it has for its console only. Without a key, the response is 401.
    """
    refused = [await caller.call(method, base + path) for method in ("GET", "POST")]
    unknown = await send(session, "GET", caller.sandbox.api_url + base + path)

    assert [403, 403, 401] == [response.status for response in (*refused, unknown)]
    assert refused[0].json["error"].startswith("Forbidden")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/redis/databases", "GET"),
        ("HEAD", "/v2/redis/databases", "GET"),
        ("GET", "/v2/redis/change-plan/x", "POST"),
        ("GET", "/v2/redis/enable-dailybackup/x", "PATCH,POST"),
        ("PATCH", "/v2/team", "POST"),
        ("POST", "/v2/teams", "GET"),
        ("PUT", "/v2/teams/member", "DELETE,GET,POST"),
        ("POST", "/v2/qstash/users", "GET"),
        ("DELETE", "/v2/qstash/user/x", "GET"),
        ("POST", "/v2/qstash/ipv4", "GET"),
        ("GET", "/v2/qstash/rotate-token/x", "POST"),
        ("GET", "/v2/qstash/set-plan/x", "POST"),
        ("POST", "/v2/qstash/stats/x", "GET"),
        ("POST", "/v2/qstash/update-budget/x", "PATCH"),
        ("PATCH", "/v2/qstash/enable-prodpack/x", "POST"),
        ("GET", "/v2/qstash/disable-prodpack/x", "POST"),
        ("GET", "/v2/qstash/move-to-team", "POST"),
        ("POST", "/v2/account/oauth/token-info", "GET"),
        ("PATCH", "/v2/blob/bucket", "GET,POST"),
        ("POST", "/v2/blob/bucket/x", "DELETE,GET"),
        ("POST", "/auditlogs", "GET"),
        ("GET", "/apikey", "POST"),
        ("GET", "/oauth/token", "POST"),
        ("PUT", "/_sandbox/accounts", "GET,POST"),
        ("POST", "/", "GET"),
    ],
)
async def test_wrong_method_of_a_known_path_is_405(caller: Caller, method: str, path: str, allowed: str) -> None:
    """
    A method that a known path does not have is 405 with an error and `Allow`.
    """
    response = await caller.call(method, path)

    assert (405, allowed) == (response.status, response.headers["Allow"])
    error = f"{method} is not allowed at {path}. Allowed: {allowed.replace(',', ', ')}."
    assert method == "HEAD" or error == response.json["error"]

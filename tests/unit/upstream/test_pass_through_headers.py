"""Which header fields are forwarded in each direction."""

import pytest

from upstash_helper.upstream.pass_through import VIA, request_headers, response_headers

ADDED_TO_REQUESTS = (("Accept-Encoding", "identity"), ("Via", VIA))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Encoding", "gzip"),
        ("Idempotency-Key", "k-1"),
        ("If-None-Match", '"x"'),
        ("If-Match", "*"),
        ("Range", "bytes=0-9"),
        ("Upstash-Telemetry-Sdk", "sdk@1"),
        ("Accept-Language", "ünïcode"),
        ("Accept", ""),
        ("Accept", "a\tb"),
    ],
)
def test_request_fields_for_upstash_are_forwarded(name: str, value: str) -> None:
    """
    A client that uses the daemon's URL works as before.
    """
    assert ((name, value), *ADDED_TO_REQUESTS) == request_headers([(name, value)])


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Anything",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "HTTP2-Settings",
        "Host",
        "Authorization",
        "authorization",
        "Cookie",
        "Origin",
        "Referer",
        "Sec-Fetch-Site",
        "Sec-CH-UA",
        "Sec-WebSocket-Key",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "x-forwarded-proto",
        "X-Real-IP",
        "Via",
        "User-Agent",
        "Content-Length",
        "Access-Control-Request-Headers",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Method",
        "X-Original-Host",
        "X-Original-Method",
        "X-Original-URI",
        "X-Envoy-Original-Path",
        "X-Envoy-Original-Host",
        "X-Forwarded-Uri",
        "X-Host",
        "X-HTTP-Destinationurl",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Base-Url",
        "Request-Uri",
        "Destination",
        "Traceparent",
        "Upstash-Helper-On-Behalf-Of",
        "Upstash-Forward-Authorization",
        "X-Made-Up",
    ],
)
def test_t71_all_other_request_fields_are_dropped(name: str) -> None:
    """
    Neither the app's token nor fields about its browser and connection are forwarded, nor ones that override the method
    or path, nor any that nobody has thought of.
    """
    assert ADDED_TO_REQUESTS == request_headers([(name, "value")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", "12"),
        ("Content-Encoding", "br"),
        ("ETag", 'W/"x"'),
        ("Last-Modified", "Mon, 21 Sep 2026 14:14:20 GMT"),
        ("Location", "/v2/redis/database/1"),
        ("Retry-After", "7"),
        ("Vary", "Accept-Encoding"),
        ("X-RateLimit-Remaining", "0"),
    ],
)
def test_response_fields_for_the_app_are_forwarded(name: str, value: str) -> None:
    """
    A client finds the fields it needs in a response.
    """
    assert ((name, value), ("Via", VIA)) == response_headers([(name, value)])


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Set-Cookie",
        "set-cookie",
        "Set-Cookie2",
        "Authorization",
        "WWW-Authenticate",
        "Authentication-Info",
        "Server",
        "X-Powered-By",
        "Date",
        "Alt-Svc",
        "Strict-Transport-Security",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Content-Security-Policy",
        "Content-Security-Policy-Report-Only",
        "Cross-Origin-Opener-Policy",
        "Cross-Origin-Resource-Policy",
        "Referrer-Policy",
        "Permissions-Policy",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "Cache-Control",
        "Expires",
        "Clear-Site-Data",
        "Refresh",
        "Service-Worker-Allowed",
        "NEL",
        "Report-To",
        "Upstash-Helper-Probe",
        "Link",
        "Set-Login",
        "Document-Policy",
        "X-Made-Up",
    ],
)
def test_t71_all_other_response_fields_are_dropped(name: str) -> None:
    """
    Upstash cannot set cookies for localhost, allow other origins, or have responses with passwords cached.
    """
    assert (("Via", VIA),) == response_headers([(name, "value")])


@pytest.mark.parametrize("connection", ["ETag", "etag", "close, ETag", " keep-alive ,eTAG ", "ETag, If-Match"])
def test_fields_listed_in_connection_are_dropped(connection: str) -> None:
    """
    RFC 9110, section 7.6.1, in both directions.
    """
    both = [("Connection", f"{connection}, Accept"), ("Content-Type", "1")]
    fields = [*both, ("ETag", "2"), ("Accept", "3")]

    assert (("Content-Type", "1"), *ADDED_TO_REQUESTS) == request_headers(fields)
    assert (("Content-Type", "1"), ("Via", VIA)) == response_headers(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "a\r\nSet-Cookie: a=b"),
        ("Content-Type", "a\nb"),
        ("Content-Type", "a\rb"),
        ("Content-Type", "a\0b"),
        ("Content-Type", "a\x1bb"),
        ("Content-Type", "a\x7fb"),
        ("Content-Type", "not utf-8: \udce9"),
        ("Content Type", "x"),
        ("Content-Type:", "x"),
        ("Content-Type\r\nSet-Cookie", "x"),
        ("Content-Type\u200b", "x"),
        ("", "x"),
    ],
)
def test_invalid_fields_are_dropped(name: str, value: str) -> None:
    """
    Line breaks are not forwarded, nor anything else that cannot be written unchanged.
    """
    assert ADDED_TO_REQUESTS == request_headers([(name, value)])
    assert (("Via", VIA),) == response_headers([(name, value)])


def test_repeated_fields_keep_their_number_and_order() -> None:
    """
    A list in several lines is forwarded in several lines.
    """
    fields = [("Content-Language", "1"), ("Content-Type", "2"), ("Content-Language", "3")]

    assert (*fields, *ADDED_TO_REQUESTS) == request_headers(fields)
    assert (*fields, ("Via", VIA)) == response_headers(fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], "identity"),
        ([("Accept-Encoding", "")], "identity"),
        ([("accept-encoding", "gzip, br")], "gzip, br"),
        ([("Accept-Encoding", "gzip"), ("Accept-Encoding", "br;q=0.5")], "gzip, br;q=0.5"),
        ([("Accept-Encoding", "gzip\r\nX: y")], "identity"),
    ],
)
def test_only_the_apps_encodings_are_requested(fields: list[tuple[str, str]], expected: str) -> None:
    """
    Bodies are forwarded unchanged, so the app must be able to decode them.
    """
    assert (("Accept-Encoding", expected), ("Via", VIA)) == request_headers(fields)


def test_daemon_is_appended_to_via() -> None:
    """
    RFC 9110, section 7.6.3: the last entry is the nearest.
    """
    assert (("Via", f"1.1 google, {VIA}"),) == response_headers([("via", "1.1 google")])

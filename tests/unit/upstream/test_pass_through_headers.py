"""Which header fields pass through the daemon, as tables."""

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
        ("X-Request-Id", "ünïcode"),
        ("X-Empty", ""),
        ("X-Tab", "a\tb"),
    ],
)
def test_what_an_app_says_to_upstash_arrives(name: str, value: str) -> None:
    """
    A client that is pointed at the daemon is understood as before.
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
    ],
)
def test_what_is_between_app_and_daemon_stays_there(name: str) -> None:
    """
    Neither the app's token nor what its browser and its connection say goes to Upstash, and no other method or path.
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
def test_what_upstash_says_to_an_app_arrives(name: str, value: str) -> None:
    """
    A client finds what it looks for in an answer.
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
    ],
)
def test_what_is_about_upstash_s_own_host_stays_there(name: str) -> None:
    """
    Upstash cannot set cookies for localhost, let other origins in, or have an answer with passwords cached.
    """
    assert (("Via", VIA),) == response_headers([(name, "value")])


@pytest.mark.parametrize("connection", ["X-Hop", "x-hop", "close, X-Hop", " keep-alive ,x-HOP ", "X-Hop, Content-Type"])
def test_what_connection_lists_is_about_the_connection(connection: str) -> None:
    """
    RFC 9110, section 7.6.1, in both directions.
    """
    fields = [("Connection", connection), ("X-Hop", "1"), ("X-End", "2")]

    assert (("X-End", "2"), *ADDED_TO_REQUESTS) == request_headers(fields)
    assert (("X-End", "2"), ("Via", VIA)) == response_headers(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Bad", "a\r\nSet-Cookie: a=b"),
        ("X-Bad", "a\nb"),
        ("X-Bad", "a\rb"),
        ("X-Bad", "a\0b"),
        ("X-Bad", "a\x1bb"),
        ("X-Bad", "a\x7fb"),
        ("X-Bad", "not utf-8: \udce9"),
        ("X Bad", "x"),
        ("X-Bad:", "x"),
        ("X-Bad\r\nSet-Cookie", "x"),
        ("X-Bäd", "x"),
        ("", "x"),
    ],
)
def test_a_field_that_could_become_another_is_dropped(name: str, value: str) -> None:
    """
    No line break passes, and nothing that could not be written down again as it was.
    """
    assert ADDED_TO_REQUESTS == request_headers([(name, value)])
    assert (("Via", VIA),) == response_headers([(name, value)])


def test_fields_of_one_name_keep_their_number_and_order() -> None:
    """
    A list that came in several lines leaves in several lines.
    """
    fields = [("X-A", "1"), ("X-B", "2"), ("X-A", "3")]

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
def test_only_an_encoding_that_the_app_reads_is_asked_for(fields: list[tuple[str, str]], expected: str) -> None:
    """
    Bodies pass as they are, so the app must be able to decode them.
    """
    assert (("Accept-Encoding", expected), ("Via", VIA)) == request_headers(fields)


def test_the_daemon_adds_itself_to_those_that_an_answer_came_through() -> None:
    """
    RFC 9110, section 7.6.3: the last of the list is the nearest.
    """
    assert (("Via", f"1.1 google, {VIA}"),) == response_headers([("via", "1.1 google")])

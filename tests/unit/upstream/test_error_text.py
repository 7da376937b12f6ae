import pytest

from upstash_helper.upstream.response import Response, error_text


def response(body: str | bytes, media_type: str = "application/json") -> Response:
    """Return an error response with that body."""
    encoded = body if isinstance(body, bytes) else body.encode()
    return Response(status=400, media_type=media_type, retry_after=None, body=encoded)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "name taken", "message": "other"}', "name taken"),
        ('{"error": null, "message": "region unknown"}', "region unknown"),
        ('{"error": {"code": 3, "message": "deep"}}', "deep"),
        ('{"error": "invalid_grant", "error_description": "Invalid authorization code"}', "Invalid authorization code"),
        ('"plain JSON text"', "plain JSON text"),
        ("plain text", "plain text"),
        ('{"something": "else"}', ""),
        ("[1, 2]", ""),
        ("", ""),
    ],
)
def test_error_text_is_found_in_upstashs_fields(body: str, words: str) -> None:
    """
    The text is in `error`, `message`, or the body itself.
    """
    assert words == error_text(response(body))


@pytest.mark.parametrize("body", ["<html><h1>Bad</h1>", "<!DOCTYPE html>", '{"error": " <p>no</p>"}', '"<b>x</b>"'])
def test_html_is_ignored(body: str) -> None:
    """
    The HTML error page of a gateway is of no use in a message.
    """
    assert "" == error_text(response(body, "text/plain"))


def test_other_media_types_are_ignored() -> None:
    """
    Only JSON and plain text are shown.
    """
    assert "" == error_text(response("body { color: red }", "text/css"))


def test_error_text_is_one_short_line_without_control_characters() -> None:
    """
    A response cannot break a terminal, a log line or a layout.
    """
    words = error_text(response("a\r\nb\x1b[31mc\u202ed\x00" + "x" * 1000, "text/plain"))

    assert words.startswith("a b [31mc d x")
    assert 300 == len(words)
    assert words.isprintable()


@pytest.mark.parametrize("echo", ["key-12345678", "KEY-12345678"])
def test_secrets_are_removed(echo: str) -> None:
    """
    A response that repeats the credential does not leak it, not even where the text is cut.
    """
    words = error_text(response("x" * 290 + echo + " was refused", "text/plain"), "key-12345678", None, "")

    assert "key-1" not in words.lower()


def test_invalid_utf8_is_replaced() -> None:
    """
    A broken encoding is shown as far as possible.
    """
    assert "bad \ufffd byte" == error_text(response(b"bad \xff byte"))


def test_deeply_nested_json_is_not_an_error() -> None:
    """
    A document that would exhaust the stack counts as no JSON.
    """
    assert error_text(response("[" * 100_000, "text/html")) == ""

import pytest

from upstash_helper.upstream.response import Response, error_text


def reply(body: str | bytes, media_type: str = "application/json") -> Response:
    """Return a refusal with that body."""
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
def test_the_words_are_found_where_upstash_puts_them(body: str, words: str) -> None:
    """
    A refusal is quoted from `error`, then `message`, then the text itself.
    """
    assert words == error_text(reply(body))


@pytest.mark.parametrize("body", ["<html><h1>Bad</h1>", "<!DOCTYPE html>", '{"error": " <p>no</p>"}', '"<b>x</b>"'])
def test_html_is_not_shown(body: str) -> None:
    """
    An error page of some gateway says nothing to a person who reads a message.
    """
    assert "" == error_text(reply(body, "text/plain"))


def test_text_of_another_media_type_is_not_shown() -> None:
    """
    What is neither JSON nor plain text was not written to be read.
    """
    assert "" == error_text(reply("body { color: red }", "text/css"))


def test_words_are_one_bounded_line_without_control_characters() -> None:
    """
    Nothing an answer holds can break a terminal, a log line or a layout.
    """
    words = error_text(reply("a\r\nb\x1b[31mc\u202ed\x00" + "x" * 1000, "text/plain"))

    assert words.startswith("a b [31mc d x")
    assert 300 == len(words)
    assert words.isprintable()


@pytest.mark.parametrize("echo", ["key-12345678", "KEY-12345678"])
def test_secrets_are_taken_out(echo: str) -> None:
    """
    An answer that repeats the credential does not carry it on, not even at the cut.
    """
    words = error_text(reply("x" * 290 + echo + " was refused", "text/plain"), "key-12345678", None, "")

    assert "key-1" not in words.lower()


def test_bytes_that_are_no_text_do_no_harm() -> None:
    """
    A broken encoding is shown as far as it can be.
    """
    assert "bad \ufffd byte" == error_text(reply(b"bad \xff byte"))


def test_deeply_nested_json_does_no_harm() -> None:
    """
    A document made to exhaust the stack is simply not JSON.
    """
    assert error_text(reply("[" * 100_000, "text/html")) == ""

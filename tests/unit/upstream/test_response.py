import pytest

from upstash_helper.upstream.response import Response, retry_after

NOW = 1_784_000_000.0  # Tue, 14 Jul 2026 03:33:20 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Tue, 14 Jul 2026 03:34:20 GMT", 60.0),
        ("Tue, 14 Jul 2026 03:33:00 GMT", 0.0),
        ("999999999", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
    ],
)
def test_t48_retry_after_accepts_seconds_and_dates(header: str, seconds: float) -> None:
    """
    The result is never negative, and never more than a day.
    """
    assert seconds == retry_after(header, now=NOW)


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "7, 8", "٣", "9" * 5000, "Tue, 99 Jul 2026", "\x00"])
def test_invalid_retry_after_is_ignored(header: str | None) -> None:
    """
    An invalid header is treated as no header.
    """
    assert retry_after(header, now=NOW) is None


def test_repr_of_a_response_has_no_body() -> None:
    """
    A response may contain keys and tokens.
    """
    response = Response(status=200, media_type="application/json", retry_after=None, body=b'{"api_key": "s3cret"}')

    assert "s3cret" not in repr(response)

"""A value that does not print."""

import hmac
from typing import Final


class Secret:
    """
    A string that must not be shown: an API key, a token, a code verifier.

    It has no useful ``repr`` or ``str``, cannot be formatted into a log line and is not JSON: whoever needs the text
    says so with :meth:`reveal`, which makes every such place easy to find.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # Bytes, because compare_digest refuses strings that are not ASCII.
        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key: keys end up in messages

    def __reduce__(self) -> str:
        message = "a Secret is not pickled"
        raise TypeError(message)

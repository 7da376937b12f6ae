"""
Decoding JSON into the types that describe it, with errors in sentences for the person who wrote the JSON.

msgspec decides whether a value is valid. Its messages name Python types, regular expressions, and paths in a notation
of their own, so they are never shown: the value is compared with the type again, and the differences are described.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from upstash_helper.system import text
from upstash_helper.system.allowed import ALLOWED
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msgspec import inspect

T = TypeVar("T")

MAX_ERRORS: Final = 20
_MAX_SHOWN: Final = 32
"""Characters of a value that are shown. Longer values may be secrets in the wrong place."""
_MAX_CHOICES: Final = 40
_MAX_NUMBER: Final = 10**15


class InvalidValue(NamedTuple):
    """What is wrong with one value."""

    pointer: str
    """RFC 6901 JSON pointer; empty for the whole."""
    detail: str
    """A sentence without a subject, such as "Must be text, not a number."."""

    def sentence(self, whole: str) -> str:
        """Return it with its subject; ``whole`` names the whole text, such as "The body"."""
        return f"{self.pointer or whole}: {self.detail}"


class JsonInvalid(ValueError):
    """The text is not JSON. ``str()`` says why, in a sentence."""


class ValuesInvalid(ValueError):
    """It is JSON, but not what was expected."""

    def __init__(self, errors: tuple[InvalidValue, ...]) -> None:
        """
        Args:
            errors: At least one.
        """
        super().__init__(errors[0].sentence("The text"))
        self.errors: Final = errors


def decode_json(data: bytes, kind: type[T], *, unique_keys: bool = False) -> T:
    """
    Decode JSON as ``kind``. A byte order mark is skipped (RFC 8259, section 8.1).

    Args:
        data: The text, in UTF-8.
        kind: A type that msgspec supports.
        unique_keys: Whether to refuse an object that has a key twice: parsers disagree about which one counts
            (RFC 8259, section 4).

    Raises:
        JsonInvalid: If it is not JSON.
        ValuesInvalid: If a value is missing, unknown, or not valid.
    """
    data = text.without_bom(data)
    try:
        value = msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        path = str(error)
    except (ValueError, RecursionError):
        raise JsonInvalid(_json_problem(data)) from None
    else:
        _parsed(data, unique_keys=unique_keys)
        return value
    # msgspec has read it only up to the invalid value. What follows may not be JSON, or may be out of its range, too.
    found = explain(_parsed(data, unique_keys=unique_keys), kind)
    raise ValuesInvalid(found or (InvalidValue(_pointer_in(path), _UNKNOWN),))


def convert(value: object, kind: Any, *, lenient: bool = False) -> Any:
    """
    Convert a value that was decoded elsewhere, such as TOML.

    Args:
        value: The value.
        kind: A type that msgspec supports.
        lenient: Whether text may stand for a number or a truth value, as in an environment variable.

    Raises:
        ValuesInvalid: If it is not valid.
    """
    try:
        return msgspec.convert(value, kind, strict=not lenient)
    except msgspec.ValidationError as error:
        path = str(error)
    raise ValuesInvalid(explain(value, kind, lenient=lenient) or (InvalidValue(_pointer_in(path), _UNKNOWN),))


def explain(value: object, kind: Any, *, lenient: bool = False) -> tuple[InvalidValue, ...]:
    """Return what is wrong with ``value`` as a ``kind``: nothing if no difference is found."""
    from msgspec import inspect

    found = []
    for problem in _Comparison(lenient=lenient).problems(value, inspect.type_info(kind), ""):
        found.append(problem)
        if len(found) == MAX_ERRORS:
            break
    return tuple(found)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return " Did you mean …?" with the choice that ``word`` is most likely a typing error of, or an empty string."""
    from difflib import get_close_matches

    match = next(iter(get_close_matches(word, list(choices), n=1)), None)
    return f' Did you mean "{match}"?' if match else ""


# --- not JSON ---------------------------------------------------------------------------------------------------------


class _DuplicateKey(ValueError):
    """An object has the same key twice."""


def _parsed(data: bytes, *, unique_keys: bool) -> object:
    """Return the value by Python's parser. It accepts what msgspec does; numbers that are too large are infinite."""
    hook = _reject_duplicates if unique_keys else None
    try:
        return json.loads(data, object_pairs_hook=hook, parse_constant=_reject_constant)
    except _DuplicateKey:
        raise JsonInvalid("An object has the same key twice.") from None
    except (ValueError, RecursionError):
        raise JsonInvalid(_json_problem(data)) from None


def _reject_constant(name: str) -> object:
    raise ValueError(name)


def _reject_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _json_problem(data: bytes) -> str:  # noqa: PLR0911 - one for each reason
    """Say why ``data`` is not JSON, without quoting it."""
    if not data.strip():
        return "It is empty."
    encoding = text.foreign_encoding(data)
    if encoding is not None:
        return f"It is encoded in {encoding} instead of UTF-8."
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"It is not in UTF-8: see {text.line_and_column(data, error.start)}."
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        if error.pos >= len(content.rstrip()) or error.msg.startswith("Unterminated string"):
            return "It ends too early: a value, a quotation mark, or a bracket is missing."
        return f"See line {error.lineno}, column {error.colno}."
    except RecursionError:
        return "It is nested too deeply."
    except ValueError:
        return "It has a number with too many digits."
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "It has half of a surrogate pair, such as \\ud83d without \\ude00, which is not a character."
    return "It has a value that JSON does not have, such as NaN."


# --- not what was expected --------------------------------------------------------------------------------------------

_UNKNOWN: Final = "Is not valid."
_TRUE_OR_FALSE: Final = frozenset({"true", "false", "1", "0"})


def _pointer_in(message: str) -> str:
    """Convert the path at the end of msgspec's message, such as ``$.read_regions[0]``, to a JSON pointer."""
    position = re.search(r" - at `\$([^`]*)`$", message)
    path = position.group(1) if position else ""
    return re.sub(r"\[(\d+|\.\.\.)\]", r"/\1", path).replace(".", "/")


class _Comparison:
    """Compares a value with a type, and describes what differs."""

    def __init__(self, *, lenient: bool) -> None:
        self._lenient = lenient

    def problems(self, value: object, kind: inspect.Type, pointer: str, allowed: str = "") -> Iterator[InvalidValue]:
        from msgspec import inspect

        match kind:
            case inspect.Metadata():
                extra = kind.extra or {}
                yield from self.problems(value, kind.type, pointer, str(extra.get(ALLOWED, "")) or allowed)
            case inspect.UnionType():
                yield from self._in_union(value, kind, pointer, allowed)
            case inspect.StructType():
                yield from self._in_struct(value, kind, pointer)
            case inspect.DictType():
                yield from self._in_dict(value, kind, pointer)
            case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
                yield from self._in_list(value, kind, pointer)
            case _:
                detail = self._of_scalar(value, kind, allowed)
                if detail:
                    yield InvalidValue(pointer, detail)

    # --- containers ---

    def _in_struct(self, value: object, kind: inspect.StructType, pointer: str) -> Iterator[InvalidValue]:
        if not isinstance(value, dict):
            yield InvalidValue(pointer, _not_a("an object", value))
            return
        fields = {field.encode_name: field for field in kind.fields}
        for name, field in fields.items():
            if name in value:
                yield from self.problems(value[name], field.type, f"{pointer}/{_escaped(name)}")
            elif field.required:
                yield InvalidValue(f"{pointer}/{_escaped(name)}", "Is required.")
        if kind.forbid_unknown_fields:
            for name in value:
                if name not in fields:
                    shown = printable(str(name))[:_MAX_SHOWN]
                    hint = did_you_mean(shown, fields) or f" Known fields: {', '.join(fields)}."
                    yield InvalidValue(f"{pointer}/{_escaped(shown)}", f"Is not a known field.{hint}")

    def _in_dict(self, value: object, kind: inspect.DictType, pointer: str) -> Iterator[InvalidValue]:
        if not isinstance(value, dict):
            yield InvalidValue(pointer, _not_a("an object", value))
            return
        for name, item in value.items():
            place = f"{pointer}/{_escaped(printable(str(name))[:_MAX_SHOWN])}"
            yield from self.problems(name, kind.key_type, place)
            yield from self.problems(item, kind.value_type, place)

    def _in_list(self, value: object, kind: Any, pointer: str) -> Iterator[InvalidValue]:
        if not isinstance(value, list | tuple):
            yield InvalidValue(pointer, _not_a("a list", value))
            return
        least, most = kind.min_length or 0, kind.max_length
        if len(value) < least:
            yield InvalidValue(pointer, f"Must have at least {_items(least)}.")
        elif most is not None and len(value) > most:
            yield InvalidValue(pointer, f"Must have at most {_items(most)}, not {len(value)}.")
        for index, item in enumerate(value):
            yield from self.problems(item, kind.item_type, f"{pointer}/{index}")

    def _in_union(self, value: object, kind: inspect.UnionType, pointer: str, allowed: str) -> Iterator[InvalidValue]:
        from msgspec import inspect

        choices = kind.types
        attempts = [tuple(self.problems(value, one, pointer, allowed)) for one in choices]
        if not all(attempts):
            return
        literals = [one for one in map(_bare, choices) if isinstance(one, inspect.LiteralType)]
        if literals and isinstance(value, str):
            yield InvalidValue(pointer, _not_in([word for one in literals for word in one.values], value))
            return
        named = [one for one in choices if not isinstance(one, inspect.NoneType)]
        # The type that the value has, if it is one of them: its own problem is what matters then.
        for one, problems in zip(choices, attempts, strict=True):
            if one in named and (len(named) == 1 or _matches(value, _bare(one))):
                yield from problems
                return
        yield InvalidValue(pointer, _not_a(" or ".join(dict.fromkeys(map(_name, named))), value))

    # --- single values ---

    def _of_scalar(self, value: object, kind: inspect.Type, allowed: str) -> str:
        from msgspec import inspect

        match kind:
            case inspect.LiteralType():
                return "" if _is_one_of(value, kind.values) else _not_in(kind.values, value)
            case inspect.StrType():
                return _of_text(value, kind, allowed) if isinstance(value, str) else _not_a("text", value)
            case inspect.BoolType():
                return "" if isinstance(value, bool) or self._reads_as_bool(value) else _not_a("true or false", value)
            case inspect.IntType() | inspect.FloatType():
                return self._of_number(value, kind)
            case inspect.NoneType():
                return "" if value is None else _not_a("null", value)
            case _:
                return ""

    def _of_number(self, value: object, kind: inspect.IntType | inspect.FloatType) -> str:
        from msgspec import inspect

        whole = isinstance(kind, inspect.IntType)
        number = value
        if self._lenient and isinstance(value, str):
            try:
                number = int(value) if whole else float(value)
            except ValueError:
                number = value
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            return _not_a(_name(kind), value)
        if isinstance(number, float) and not math.isfinite(number):
            return _not_a(_name(kind), number)
        too_low = (kind.ge is not None and number < kind.ge) or (kind.gt is not None and number <= kind.gt)
        too_high = (kind.le is not None and number > kind.le) or (kind.lt is not None and number >= kind.lt)
        return _not_a(_name(kind), number) if too_low or too_high else ""

    def _reads_as_bool(self, value: object) -> bool:
        return self._lenient and isinstance(value, str) and value.lower() in _TRUE_OR_FALSE


def _of_text(value: str, kind: inspect.StrType, allowed: str) -> str:
    if not value and (kind.min_length or kind.pattern):
        return "Must not be empty."
    if kind.min_length is not None and len(value) < kind.min_length:
        return f"Must have at least {kind.min_length} characters, not {len(value)}."
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"Must have at most {kind.max_length} characters, not {len(value)}."
    if kind.pattern is not None and not re.search(kind.pattern, value):
        return f"Must be {allowed}." if allowed else "Has a character that is not allowed, or not the required form."
    return ""


def _is_one_of(value: object, choices: Iterable[object]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _not_in(choices: Iterable[Any], value: object) -> str:
    words = [json.dumps(choice) for choice in choices]
    listed = words[0] if len(words) == 1 else f"one of {', '.join(words[:_MAX_CHOICES])}"
    hint = did_you_mean(value, [str(choice) for choice in choices]) if isinstance(value, str) else ""
    return f"Must be {listed}, not {_shown(value)}.{hint}"


def _not_a(expected: str, value: object) -> str:
    # A text may be a password, so a number in its place is not shown.
    found = "a number" if expected == "text" and not isinstance(value, bool) and isinstance(value, int | float) else ""
    return f"Must be {expected}, not {found or _shown(value)}."


def _shown(value: object) -> str:  # noqa: PLR0911 - one for each kind of value
    """Describe a value. A text is quoted only if it is too short to be a secret."""
    match value:
        case None | bool():
            return json.dumps(value)
        case int() | float():
            return f"{value:.15g}" if abs(value) < _MAX_NUMBER else "such a large number"
        case str() if not value:
            return "empty"
        case str() if len(value) <= _MAX_SHOWN and value.isprintable():
            return '"{}"'.format(value.replace('"', "'"))
        case str():
            return "a text of one character" if len(value) == 1 else f"a text of {len(value)} characters"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return "this"


def _name(kind: inspect.Type) -> str:  # noqa: PLR0911 - one for each type
    """Name a type in the words of JSON."""
    from msgspec import inspect

    match _bare(kind):
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() as number:
            return f"a whole number{_range(number)}"
        case inspect.FloatType() as number:
            return f"a number{_range(number)}"
        case inspect.LiteralType(values=values):
            return ", ".join(json.dumps(value) for value in values)
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case inspect.NoneType():
            return "null"
        case _:
            return "a list"


def _range(number: inspect.IntType | inspect.FloatType) -> str:
    if number.ge is not None and number.le is not None:
        return f" from {number.ge:g} to {number.le:g}" if number.le < 1e6 else f" from {number.ge:g} to {number.le:.0f}"
    if number.gt is not None and number.le is not None:
        return f" above {number.gt:g}, up to {number.le:g}"
    if number.ge is not None:
        return f" of at least {number.ge:g}"
    return ""


def _matches(value: object, kind: inspect.Type) -> bool:
    """Return whether ``value`` has the JSON type of ``kind``."""
    from msgspec import inspect

    match kind:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.IntType() | inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, dict)
        case inspect.ListType() | inspect.VarTupleType():
            return isinstance(value, list | tuple)
        case _:
            return False


def _bare(kind: inspect.Type) -> inspect.Type:
    from msgspec import inspect

    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _items(count: int) -> str:
    return "one item" if count == 1 else f"{count} items"


def _escaped(name: str) -> str:
    """Escape a name for a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")

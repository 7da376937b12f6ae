"""The message catalog: complete, without leftovers, and readable."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, get_args

import pytest

import upstash_helper
from upstash_helper.broker import errors
from upstash_helper.protocol import messages
from upstash_helper.protocol.literals import AttemptState, ConnectionState, FailureReason, ProgramWarning
from upstash_helper.protocol.messages import Message, Step
from upstash_helper.system import peers

if TYPE_CHECKING:
    from collections.abc import Iterator

API = Path(upstash_helper.__file__).parent / "api"
CODE = re.compile(r"[a-z]+(_[a-z]+)*")

SINGLE = {name: value for name, value in vars(messages).items() if isinstance(value, Message)}
STEPS = {name: value for name, value in vars(messages).items() if isinstance(value, Step)}
ALL = {
    **{f"connection {code}": message for code, message in messages.CONNECTION.items()},
    **{f"attempt {code}": message for code, message in messages.ATTEMPTS.items()},
    **{f"failure {code}": message for code, message in messages.FAILURES.items()},
    **{f"hint {code}": message for code, message in messages.HINTS.items()},
    **{f"problem {code}": message for code, message in messages.PROBLEMS.items()},
    **SINGLE,
}

every_message = pytest.mark.parametrize("message", ALL.values(), ids=ALL)


def codes_of_errors() -> set[str]:
    """Return the codes of the broker's errors."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HelperError)]
    return {kind.code for kind in kinds if kind is not errors.HelperError}


def codes_in_api() -> Iterator[str]:
    """
    Yield the codes that modules of the API write out: the argument ``code`` of a refusal, the second one of a problem,
    the first one of a 400, and those of the HTTP server's own tables.
    """
    for file in API.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                found = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                found += node.args[1:2] if name in {"answer", "problem", "BodyInvalid"} else []
                found += node.args[:1] if name == "_malformed" else []
                texts = [str(it.value) for it in found if isinstance(it, ast.Constant)]
                yield from filter(CODE.fullmatch, texts)
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                yield from re.findall(r'"code":"([a-z_]+)"', node.value.decode("latin-1"))


def fields_of(message: Message) -> set[str]:
    """Return the format fields of a message."""
    texts = (message.title, message.detail, *(step.text for step in message.steps))
    return {field for text in texts for _, field, _, _ in Formatter().parse(text) if field is not None}


def test_every_connection_state_attempt_state_and_failure_reason_has_a_message() -> None:
    """A new code cannot be forgotten, and a removed one leaves no message behind."""
    assert set(get_args(ConnectionState)) == set(messages.CONNECTION)
    assert set(get_args(AttemptState)) == set(messages.ATTEMPTS)
    assert set(get_args(FailureReason)) == set(messages.FAILURES)


def test_t64_every_warning_about_a_program_has_a_message() -> None:
    """A warning that the system module reports can be shown by every client."""
    assert set(get_args(ProgramWarning)) == set(messages.PROGRAM_WARNINGS)
    assert set(get_args(peers.ProgramWarning)) == set(messages.PROGRAM_WARNINGS)
    assert all(message.title and message.detail.endswith(".") for message in messages.PROGRAM_WARNINGS.values())


def test_every_problem_of_the_api_has_a_message_and_none_is_unused() -> None:
    """The codes are those of the broker's errors, and those that the API itself refuses requests with."""
    # The HTTP server has these in a table by status.
    by_status = {"malformed_request", "request_timeout", "internal_error"}

    assert codes_of_errors() | (set(codes_in_api()) - set(messages.HINTS)) | by_status == set(messages.PROBLEMS)


def test_every_next_step_is_used() -> None:
    """No step is left behind by a message that no longer needs it."""
    used = {step for message in ALL.values() for step in message.steps}

    assert {name for name, step in STEPS.items() if step not in used} == set()


def test_every_format_field_is_declared() -> None:
    """A message cannot have a field that nobody fills in, and no declared field is unused."""
    assert set().union(*map(fields_of, ALL.values())) == messages.FIELDS


@every_message
def test_titles_are_phrases_and_details_are_sentences(message: Message) -> None:
    """Titles have no final period and details have one; next steps end in neither a period nor a colon."""
    assert message.title[:1].isupper() or message.title.startswith("upstash-helper ")
    assert not message.title.endswith((".", ":"))
    assert message.detail == "" or (message.detail[0].isupper() and message.detail.endswith("."))
    assert all(step.text[0].isupper() and not step.text.endswith((".", ":")) for step in message.steps)
    assert all(step.command == "" or step.command.startswith("upstash-helper ") for step in message.steps)


@every_message
def test_messages_are_formatted_with_the_declared_fields(message: Message) -> None:
    """Formatting fills in every field and leaves no brace behind."""
    shown = message.format(**dict.fromkeys(messages.FIELDS, "value"))

    assert "{" not in f"{shown.title}{shown.detail}{shown.steps}"
    assert fields_of(shown) == set()


def test_text_is_the_detail_and_the_next_steps() -> None:
    """Steps with a command end with it, so that it can be copied; others are sentences."""
    step, other = Step("Connect", "upstash-helper connect"), Step("Wait")

    assert "It is gone. Wait. Connect: upstash-helper connect" == Message("Gone", "It is gone.", (other, step)).text
    assert "Wait." == Message("Gone", steps=(other,)).text
    assert "" == Message("Gone").text


@pytest.mark.parametrize("code", messages.PROBLEMS)
def test_only_the_last_next_step_of_a_problem_has_a_command(code: str) -> None:
    """A problem's text is one paragraph: no sentence runs on from a command."""
    assert [] == [step for step in messages.PROBLEMS[code].steps[:-1] if step.command]


@pytest.mark.parametrize("reason", [None, "", "a_reason_of_a_newer_daemon", "expired"])
def test_unknown_failure_reasons_get_the_general_message(reason: str | None) -> None:
    """A client that is older than the daemon has a message for reasons that it does not know."""
    assert messages.ATTEMPTS["failed"] == messages.of_attempt("failed", reason)


def test_errors_take_their_detail_from_the_catalog_unless_they_have_their_own() -> None:
    """The format fields are filled in."""
    assert messages.PROBLEMS["not_connected"].text == errors.NotConnected().detail
    assert "'orders'" in errors.OutcomeUnknown(name="orders").detail
    assert "Something else." == errors.NotConnected("Something else.").detail

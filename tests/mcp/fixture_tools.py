"""
The tools, prompts, and resources that the protocol's conformance suite wants of a server under test, and a few of ours.

They show the endpoint's machinery, and nothing of upstash-helper.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from upstash_helper.api.mcp.endpoint import Method, Offers
from upstash_helper.api.mcp.jsonrpc import RpcError
from upstash_helper.api.mcp.prompts import Prompt, PromptArgument
from upstash_helper.api.mcp.tool import Annotations, Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tool_calls import ToolResult
from upstash_helper.api.mcp.versions import meta_of
from upstash_helper.broker.confirmations import Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.api.mcp.call import Call
    from upstash_helper.api.mcp.endpoint import Endpoint
    from upstash_helper.protocol.literals import Scope

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
STEP_SECONDS: Final = 0.05
"""The pause between notifications that the suite asks for."""

_NAME_FORM: Final = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_OK_FORM: Final = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
_COLOR_FORM: Final = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
_CONTEXT_FORM: Final = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
_ROOTS: Final[dict[str, Any]] = {"method": "roots/list", "params": {}}


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No arguments."""


class Prompted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text for the model."""

    prompt: str


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text for the user."""

    message: str


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two numbers."""

    first: int
    second: int


class Sum(msgspec.Struct, frozen=True):
    """Their sum."""

    total: int


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of something that exists only in these tests."""

    name: str


def text(value: str) -> dict[str, Any]:
    """Return a content block."""
    return {"type": "text", "text": value}


def embedded(uri: str, kind: str, value: str) -> dict[str, Any]:
    """Return a content block."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": value}}


def elicit(message: str, form: dict[str, Any]) -> dict[str, Any]:
    """Return a question to the user."""
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": form}}


def sample(prompt: str, tokens: int) -> dict[str, Any]:
    """Return a question to the model."""
    messages = [{"role": "user", "content": text(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": tokens}}


def _tool(
    name: str,
    handler: Callable[[Call, Any], Awaitable[msgspec.Struct | str]],
    arguments: type[msgspec.Struct] = Nothing,
    result: type[msgspec.Struct] | None = None,
    *,
    scope: Scope = "databases:read",
    changes: bool = False,
    listed: bool = True,
) -> Tool:
    async def handle(call: ToolCall, given: Any) -> msgspec.Struct | str:
        return await handler(cast("Call", call), given)

    return Tool(
        name=name,
        description=handler.__doc__ or "",
        arguments=arguments,
        result=result,
        scope=scope,
        annotations=Annotations(
            title=name,
            read_only_hint=not changes,
            destructive_hint=changes,
            idempotent_hint=True,
            open_world_hint=False,
        ),
        handler=handle,
        listed=listed,
    )


def _content(*blocks: dict[str, Any]) -> ToolResult:
    return ToolResult(content=blocks)


class Fixture:
    """The tools, and what they leave behind."""

    def __init__(self) -> None:
        self.endpoint: Endpoint | None = None
        self.deleted: list[str] = []
        """What was deleted after a yes."""
        self.log_levels: dict[str, str] = {}
        """The log level of each session."""
        self.started = asyncio.Event()
        """Set when ``wait_forever`` is called."""
        self.ended = asyncio.Event()
        """Set when it is canceled."""

    # --- content ------------------------------------------------------------------------------------------------------

    async def simple_text(self, call: Call, _: Nothing) -> str:
        """Return a text."""
        return "This is a simple text response for testing."

    async def image(self, call: Call, _: Nothing) -> ToolResult:
        """Return an image."""
        return _content({"type": "image", "data": PIXEL, "mimeType": "image/png"})

    async def audio(self, call: Call, _: Nothing) -> ToolResult:
        """Return a sound."""
        return _content({"type": "audio", "data": SILENCE, "mimeType": "audio/wav"})

    async def resource(self, call: Call, _: Nothing) -> ToolResult:
        """Return a resource."""
        return _content(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))

    async def mixed(self, call: Call, _: Nothing) -> ToolResult:
        """Return a text, an image, and a resource."""
        return _content(
            text("Multiple content types test:"),
            {"type": "image", "data": PIXEL, "mimeType": "image/png"},
            embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        )

    async def error(self, call: Call, _: Nothing) -> str:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    async def add(self, call: Call, pair: Pair) -> Sum:
        """Add two numbers."""
        return Sum(pair.first + pair.second)

    # --- messages before the result -----------------------------------------------------------------------------------

    async def progress(self, call: Call, _: Nothing) -> str:
        """Report progress three times."""
        for done in (0, 50, 100):
            call.progress(done, total=100)
            await asyncio.sleep(STEP_SECONDS)
        return "Done."

    async def log(self, call: Call, _: Nothing) -> str:
        """Log three messages, if the client wants to have them."""
        wanted = call.session is not None or "io.modelcontextprotocol/logLevel" in meta_of(call.request.params)
        for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            if wanted:
                call.notify("notifications/message", {"level": "info", "data": message})
            await asyncio.sleep(STEP_SECONDS)
        return "Done."

    async def wait_forever(self, call: Call, _: Nothing) -> str:
        """Wait until it is canceled."""
        self.started.set()
        call.progress(1)
        try:
            await asyncio.Event().wait()
            return "Done."
        finally:
            self.ended.set()

    async def change_tools(self, call: Call, _: Nothing) -> str:
        """Notify clients that the list of tools has changed."""
        assert self.endpoint is not None
        self.endpoint.streams.list_changed("tools")
        return "Done."

    async def change_prompts(self, call: Call, _: Nothing) -> str:
        """Notify clients that the list of prompts has changed."""
        assert self.endpoint is not None
        self.endpoint.streams.list_changed("prompts")
        return "Done."

    # --- questions ----------------------------------------------------------------------------------------------------

    async def sampling(self, call: Call, given: Prompted) -> str:
        """Ask the model."""
        answers = await call.ask_client({"sample": sample(given.prompt, 100)})
        return f"LLM response: {answers['sample'].get('content')}"

    async def elicitation(self, call: Call, given: Shown) -> str:
        """Ask the user for a name and an address."""
        described = {"username": "User's response", "email": "User's email address"}
        form = {
            "type": "object",
            "properties": {name: {"type": "string", "description": its} for name, its in described.items()},
            "required": [*described],
        }
        answers = await call.ask_client({"user": elicit(given.message, form)})
        return f"User response: {json.dumps(answers['user'])}"

    async def defaults(self, call: Call, _: Nothing) -> str:
        """Ask with a default of each kind."""
        status = {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"}
        form = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "default": "John Doe"},
                "age": {"type": "integer", "default": 30},
                "score": {"type": "number", "default": 95.5},
                "status": status,
                "verified": {"type": "boolean", "default": True},
            },
        }
        answers = await call.ask_client({"user": elicit("Check the values.", form)})
        return f"Elicitation completed: {json.dumps(answers['user'])}"

    async def choices(self, call: Call, _: Nothing) -> str:
        """Ask with a choice of each kind."""
        plain = ["option1", "option2", "option3"]
        titled = [{"const": f"value{n}", "title": f"{name} Option"} for n, name in enumerate(("First", "Second"), 1)]
        form = {
            "type": "object",
            "properties": {
                "untitledSingle": {"type": "string", "enum": plain},
                "titledSingle": {"type": "string", "oneOf": titled},
                "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
                "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
                "titledMulti": {"type": "array", "items": {"anyOf": titled}},
            },
        }
        answers = await call.ask_client({"user": elicit("Choose.", form)})
        return f"Elicitation completed: {json.dumps(answers['user'])}"

    async def needs_sampling(self, call: Call, _: Nothing) -> str:
        """Require that the client has a model."""
        call.require("sampling")
        return "The client has a model."

    async def ask_name(self, call: Call, _: Nothing) -> str:
        """Ask for a name. The answer counts without a state."""
        answers = await call.ask_client({"user_name": elicit("What is your name?", _NAME_FORM)}, needs_state=False)
        return f"Hello, {answers['user_name'].get('content', {}).get('name')}!"

    async def ask_capital(self, call: Call, _: Nothing) -> str:
        """Ask the model for a capital."""
        answers = await call.ask_client({"capital_question": sample("What is the capital of France?", 100)})
        return str(answers["capital_question"].get("content"))

    async def ask_roots(self, call: Call, _: Nothing) -> str:
        """Ask for the client's roots."""
        return str((await call.ask_client({"client_roots": _ROOTS}))["client_roots"].get("roots"))

    async def ask_with_state(self, call: Call, _: Nothing) -> str:
        """Ask for a confirmation."""
        await call.ask_client({"confirm": elicit("Please confirm", _OK_FORM)})
        return "state-ok"

    async def ask_several(self, call: Call, _: Nothing) -> str:
        """Ask three questions at once."""
        await call.ask_client({
            "user_name": elicit("What is your name?", _NAME_FORM),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": _ROOTS,
        })  # fmt: skip
        return "Done."

    async def ask_twice(self, call: Call, _: Nothing) -> str:
        """Ask two questions, one after the other."""
        first = await call.ask_client({"step1": elicit("Step 1: What is your name?", _NAME_FORM)})
        second = await call.ask_client({"step2": elicit("Step 2: What is your favorite color?", _COLOR_FORM)})
        return f"{first['step1'].get('content')} {second['step2'].get('content')}"

    async def ask_what_it_can(self, call: Call, _: Nothing) -> str:
        """Ask what the client can answer."""
        possible = {"sampling": sample("Say something", 50), "elicitation": elicit("What is your name?", _NAME_FORM)}
        await call.ask_client({name: each for name, each in possible.items() if name in call.envelope.capabilities})
        return "Done."

    async def delete(self, call: Call, given: Named) -> str:
        """Delete something, if the user allows it."""
        question = Question(
            action="fixture.delete", title=f"Delete {given.name}?", detail="It cannot be restored.", target=given.name
        )
        if not await call.confirm(question):
            return f"The user did not allow deleting {given.name}."
        self.deleted.append(given.name)
        return f"Deleted {given.name}."

    async def fault(self, call: Call, _: Nothing) -> str:
        """Fail as a bug does."""
        raise LookupError("a secret in a message")

    async def unencodable(self, call: Call, _: Nothing) -> ToolResult:
        """Return what is not JSON."""
        return _content({"type": "text", "text": object()})

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools, in a fixed order."""
        asked = "test_input_required_result"
        return (
            _tool("test_simple_text", self.simple_text),
            _tool("test_image_content", self.image),
            _tool("test_audio_content", self.audio),
            _tool("test_embedded_resource", self.resource),
            _tool("test_multiple_content_types", self.mixed),
            _tool("test_error_handling", self.error),
            _tool("test_tool_with_progress", self.progress),
            _tool("test_tool_with_logging", self.log),
            _tool("test_logging_tool", self.log),
            _tool("test_sampling", self.sampling, Prompted),
            _tool("test_elicitation", self.elicitation, Shown),
            _tool("test_elicitation_sep1034_defaults", self.defaults),
            _tool("test_elicitation_sep1330_enums", self.choices),
            _tool("test_missing_capability", self.needs_sampling),
            _tool("test_streaming_elicitation", self.ask_name),
            _tool("test_trigger_tool_change", self.change_tools),
            _tool("test_trigger_prompt_change", self.change_prompts),
            _tool(f"{asked}_elicitation", self.ask_name),
            _tool(f"{asked}_sampling", self.ask_capital),
            _tool(f"{asked}_list_roots", self.ask_roots),
            _tool(f"{asked}_request_state", self.ask_with_state),
            _tool(f"{asked}_multiple_inputs", self.ask_several),
            _tool(f"{asked}_multi_round", self.ask_twice),
            _tool(f"{asked}_tampered_state", self.ask_with_state),
            _tool(f"{asked}_capabilities", self.ask_what_it_can),
            _tool("fixture_add", self.add, Pair, Sum),
            _tool("fixture_delete", self.delete, Named, scope="databases:delete", changes=True),
            _tool("fixture_delete_old_name", self.delete, Named, scope="databases:delete", changes=True, listed=False),
            _tool("fixture_wait", self.wait_forever),
            _tool("fixture_fault", self.fault),
            _tool("fixture_unencodable", self.unencodable),
        )

    # --- prompts, resources, and methods ------------------------------------------------------------------------------

    def offers(self) -> Offers:
        """Return what there is besides tools."""
        return Offers(
            prompts=PROMPTS,
            resources=FixtureResources(),
            methods={
                "completion/complete": Method(_complete),
                "logging/setLevel": Method(self._set_level, stateless=False),
                "resources/subscribe": Method(_accept, stateless=False),
                "resources/unsubscribe": Method(_accept, stateless=False),
            },
            capabilities={"completions": {}, "logging": {}, "resources": {"subscribe": True, "listChanged": False}},
            changing=frozenset({"tools", "prompts"}),
        )

    async def _set_level(self, call: Call, params: dict[str, Any]) -> dict[str, object]:
        if call.session is not None:
            self.log_levels[call.session.id] = str(params.get("level"))
        return {}


async def _accept(call: Call, params: dict[str, Any]) -> dict[str, object]:
    return {}


async def _complete(call: Call, params: dict[str, Any]) -> dict[str, object]:
    return {"completion": {"values": ["paris", "park", "party"], "total": 3, "hasMore": False}}


class FixtureResources:
    """The ``ResourceProvider`` of the suite's resources."""

    async def all(self, call: Call) -> list[dict[str, object]]:
        """Return those without parameters."""
        return [
            {"uri": "test://static-text", "name": "text", "description": "A text.", "mimeType": "text/plain"},
            {"uri": "test://static-binary", "name": "image", "description": "An image.", "mimeType": "image/png"},
            {"uri": "test://watched-resource", "name": "watched", "description": "A text.", "mimeType": "text/plain"},
        ]

    async def templates(self, call: Call) -> list[dict[str, object]]:
        """Return the only one."""
        return [{"uriTemplate": "test://template/{id}/data", "name": "data", "description": "Data."}]

    async def read(self, call: Call, uri: str) -> list[dict[str, object]] | None:
        """Return a resource."""
        if uri in ("test://static-text", "test://watched-resource"):
            value = "This is the content of the static text resource."
            return [{"uri": uri, "mimeType": "text/plain", "text": value}]
        if uri == "test://static-binary":
            return [{"uri": uri, "mimeType": "image/png", "blob": PIXEL}]
        if uri.startswith("test://template/") and uri.endswith("/data"):
            number = uri.removeprefix("test://template/").removesuffix("/data")
            value = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
            return [{"uri": uri, "mimeType": "application/json", "text": value}]
        return None


def _user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": block} for block in blocks]


async def _simple(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:
    return _user(text("This is a simple prompt for testing."))


async def _with_arguments(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:
    return _user(text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"))


async def _with_resource(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:
    block = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
    return _user(block, text("Please process the embedded resource above."))


async def _with_image(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:
    return _user(
        {"type": "image", "data": PIXEL, "mimeType": "image/png"}, text("Please analyze the image above.")
    )  # fmt: skip


async def _with_question(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:
    if call.session is not None and "elicitation" not in call.envelope.capabilities:
        raise RpcError(-32602, "This prompt requires a client that can ask its user.")
    question = elicit("What context should the prompt use?", _CONTEXT_FORM)
    answers = await call.ask_client({"user_context": question})
    return _user(text(f"Context: {answers['user_context'].get('content')}"))


PROMPTS: Final = (
    Prompt(name="test_simple_prompt", title="Simple", description="Without arguments.", handler=_simple),
    Prompt(
        name="test_prompt_with_arguments",
        title="With arguments",
        description="With two arguments.",
        handler=_with_arguments,
        arguments=tuple(PromptArgument(name=name, description=name, required=True) for name in ("arg1", "arg2")),
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        title="With a resource",
        description="With a resource.",
        handler=_with_resource,
        arguments=(PromptArgument(name="resourceUri", description="The resource.", required=True),),
    ),
    Prompt(name="test_prompt_with_image", title="With an image", description="With an image.", handler=_with_image),
    Prompt(
        name="test_input_required_result_prompt",
        title="With a question",
        description="Asks the user.",
        handler=_with_question,
    ),
)

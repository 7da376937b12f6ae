"""
The tools, prompts, and resources that the conformance suite calls by name, offered by the daemon's own endpoint.

The daemon has no use for most of what they exercise: pictures, log messages, or the client's model. They are handlers
like the daemon's, so that what is tested is the endpoint: its versions, streams, questions to the client, and errors.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from upstash_helper.api.mcp.endpoint import Method, Offers, create_mcp
from upstash_helper.api.mcp.jsonrpc import INVALID_PARAMS, RpcError
from upstash_helper.api.mcp.tool import Annotations, Tool, ToolError
from upstash_helper.api.mcp.tool_calls import ToolResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.world import World
    from upstash_helper.api.mcp.call import Call
    from upstash_helper.api.mcp.endpoint import Endpoint
    from upstash_helper.api.mcp.resource import McpResource

    Handler = Callable[[Call, Any], Awaitable[str | ToolResult]]

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
PAUSE: Final = 0.05
"""Seconds between notifications, as the suite wants it."""


def offer_to(world: World) -> None:
    """Have a daemon's endpoint offer these in place of its own tools."""
    [handler] = [it.handler for it in world.daemon.routes if (it.method, it.path) == ("POST", "/mcp")]
    resource = cast("McpResource", cast("Any", handler).__self__)
    server = SuiteServer()
    server.endpoint = create_mcp(server.tools(), resource._create()._parts, server.offers())
    resource._endpoint = server.endpoint


class Nothing(msgspec.Struct, frozen=True):
    """No arguments."""


class Prompt(msgspec.Struct, frozen=True):
    """What to ask the client's model."""

    prompt: str


class Message(msgspec.Struct, frozen=True):
    """What to ask the user."""

    message: str


def _tool(name: str, handler: Handler, arguments: type[msgspec.Struct] = Nothing) -> Tool:
    annotations = Annotations(
        title=name, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    return Tool(
        name=name, description=f"For the suite: {name}.", arguments=arguments, result=None, scope="databases:read",
        annotations=annotations, handler=cast("Any", handler),
    )  # fmt: skip


def _form(message: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def _sampling(text: str, tokens: int = 100) -> dict[str, Any]:
    messages = [{"role": "user", "content": {"type": "text", "text": text}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": tokens}}


ROOTS: Final[dict[str, Any]] = {"method": "roots/list", "params": {}}
NAME: Final = {"type": "string"}
OK: Final = _form("Please confirm", ok={"type": "boolean"})
TEXTS: Final = {"uri": "test://embedded-resource", "mimeType": "text/plain", "text": "An embedded resource."}
CHOICES: Final = ["option1", "option2", "option3"]
TITLED: Final = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]


class SuiteServer:
    """The handlers."""

    endpoint: Endpoint

    def tools(self) -> list[Tool]:
        """Return the tools."""
        return [
            *_contents(),
            _tool("test_error_handling", _error),
            _tool("test_tool_with_logging", _logging),
            _tool("test_logging_tool", _quiet),
            _tool("test_tool_with_progress", _progress),
            _tool("test_missing_capability", _requires_sampling),
            _tool("test_sampling", _samples, Prompt),
            _tool("test_elicitation", _elicits, Message),
            _tool("test_elicitation_sep1034_defaults", _asking("elicitation", DEFAULTS)),
            _tool("test_elicitation_sep1330_enums", _asking("elicitation", ENUMS)),
            _tool("test_streaming_elicitation", _asking("user_name", _form("What is your name?", name=NAME))),
            _tool("test_trigger_tool_change", self._change_tools),
            _tool("test_trigger_prompt_change", self._change_prompts),
            _tool("test_input_required_result_elicitation", _asking("user_name", _form("Your name?", name=NAME))),
            _tool("test_input_required_result_sampling", _asking("capital_question", _sampling("The capital?"))),
            _tool("test_input_required_result_list_roots", _asking("client_roots", ROOTS)),
            _tool("test_input_required_result_request_state", _asking("confirm", OK, needs_state=True)),
            _tool("test_input_required_result_tampered_state", _asking("confirm", OK, needs_state=True)),
            _tool("test_input_required_result_multiple_inputs", _several),
            _tool("test_input_required_result_multi_round", _rounds),
            _tool("test_input_required_result_capabilities", _what_the_client_can),
        ]

    def offers(self) -> Offers:
        """Return what is not a tool."""
        return Offers(
            methods={
                "completion/complete": Method(_complete),
                "logging/setLevel": Method(_nothing, stateless=False),
                "prompts/get": Method(_prompt),
                "prompts/list": Method(_prompts, is_list=True),
                "resources/list": Method(_resources, is_list=True),
                "resources/read": Method(_read, is_list=True),
                "resources/subscribe": Method(_nothing, stateless=False),
                "resources/templates/list": Method(_templates, is_list=True),
                "resources/unsubscribe": Method(_nothing, stateless=False),
            },
            capabilities={
                "completions": {},
                "logging": {},
                "prompts": {"listChanged": True},
                "resources": {"subscribe": True},
            },
            changing=frozenset({"tools", "prompts"}),
        )

    async def _change_tools(self, _call: Call, _: Nothing) -> str:
        self.endpoint.streams.list_changed("tools")
        return "changed"

    async def _change_prompts(self, _call: Call, _: Nothing) -> str:
        self.endpoint.streams.list_changed("prompts")
        return "changed"


# --- contents ---------------------------------------------------------------------------------------------------------

IMAGE: Final = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
AUDIO: Final = {"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}
EMBEDDED: Final = {"type": "resource", "resource": TEXTS}


def _contents() -> list[Tool]:
    json = {
        "uri": "test://mixed-content-resource",
        "mimeType": "application/json",
        "text": '{"test":"data","value":123}',
    }
    mixed = ({"type": "text", "text": "Multiple content types test:"}, IMAGE, {"type": "resource", "resource": json})
    contents: dict[str, tuple[dict[str, Any], ...]] = {
        "test_image_content": (IMAGE,),
        "test_audio_content": (AUDIO,),
        "test_embedded_resource": (EMBEDDED,),
        "test_multiple_content_types": mixed,
    }

    async def text(_call: Call, _: Nothing) -> str:
        return "This is a simple text response for testing."

    def returning(content: tuple[dict[str, Any], ...]) -> Handler:
        async def handler(_call: Call, _: Nothing) -> ToolResult:
            return ToolResult(content=content)

        return handler

    return [
        _tool("test_simple_text", text),
        *(_tool(name, returning(content)) for name, content in contents.items()),
    ]


async def _error(_call: Call, _: Nothing) -> str:
    raise ToolError("This tool intentionally returns an error for testing")


async def _logging(call: Call, _: Nothing) -> str:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        call.notify("notifications/message", {"level": "info", "data": text})
        await asyncio.sleep(PAUSE)
    return "Logged."


async def _quiet(_call: Call, _: Nothing) -> str:
    return "Nothing was logged."


async def _progress(call: Call, _: Nothing) -> str:
    for done in (0, 50, 100):
        call.progress(done, total=100)
        await asyncio.sleep(PAUSE)
    return "Done."


# --- questions to the client ------------------------------------------------------------------------------------------

DEFAULTS: Final = _form(
    "Please check these",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
ENUMS: Final = _form(
    "Please choose",
    untitledSingle={"type": "string", "enum": CHOICES},
    titledSingle={"type": "string", "oneOf": TITLED},
    legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
    untitledMulti={"type": "array", "items": {"type": "string", "enum": CHOICES}},
    titledMulti={"type": "array", "items": {"anyOf": TITLED}},
)


async def _requires_sampling(call: Call, _: Nothing) -> str:
    call.require("sampling")
    return "The client has a model."


async def _samples(call: Call, wanted: Prompt) -> str:
    answers = await call.ask_client({"sampled": _sampling(wanted.prompt)})
    return f"LLM response: {answers['sampled']['content']['text']}"


async def _elicits(call: Call, wanted: Message) -> str:
    question = _form(wanted.message, username={"type": "string"}, email={"type": "string"})
    answers = await call.ask_client({"elicited": question})
    return f"User response: {answers['elicited']}"


def _asking(key: str, question: dict[str, Any], *, needs_state: bool = False) -> Handler:
    """Return a handler that asks one question. ``state-ok`` is what the suite looks for where there is a state."""

    async def handler(call: Call, _: Nothing) -> str:
        answers = await call.ask_client({key: question}, needs_state=needs_state)
        return f"state-ok: {answers[key]}"

    return handler


async def _several(call: Call, _: Nothing) -> str:
    questions = {
        "user_name": _form("What is your name?", name=NAME),
        "greeting": _sampling("Generate a greeting", 50),
        "client_roots": ROOTS,
    }
    return str(await call.ask_client(questions))


async def _rounds(call: Call, _: Nothing) -> str:
    first = await call.ask_client({"step1": _form("Step 1: What is your name?", name=NAME)})
    second = await call.ask_client({"step2": _form("Step 2: What is your favorite color?", color=NAME)})
    return f"{first} {second}"


async def _what_the_client_can(call: Call, _: Nothing) -> str:
    questions = {"elicitation": _form("What is your name?", name=NAME), "sampling": _sampling("The capital?")}
    possible = {name: it for name, it in questions.items() if name in call.envelope.capabilities}
    return str(await call.ask_client(possible, needs_state=False))


# --- prompts, resources, completion -----------------------------------------------------------------------------------

PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
RESOURCES: Final[dict[str, dict[str, Any]]] = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PIXEL},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}


async def _nothing(_call: Call, _params: dict[str, Any]) -> dict[str, Any]:
    return {}


async def _complete(_call: Call, _params: dict[str, Any]) -> dict[str, Any]:
    return {"completion": {"values": [], "total": 0, "hasMore": False}}


async def _prompts(_call: Call, _params: dict[str, Any]) -> dict[str, Any]:
    def described(name: str, arguments: tuple[str, ...]) -> dict[str, Any]:
        wanted = [{"name": it, "description": it, "required": True} for it in arguments]
        return {"name": name, "description": f"For the suite: {name}.", "arguments": wanted}

    return {"prompts": [described(name, arguments) for name, arguments in PROMPTS.items()]}


async def _prompt(call: Call, params: dict[str, Any]) -> dict[str, Any]:
    given = params.get("arguments", {})

    def message(content: dict[str, Any]) -> dict[str, Any]:
        return {"role": "user", "content": content}

    def text(value: str) -> dict[str, Any]:
        return message({"type": "text", "text": value})

    match params.get("name"):
        case "test_simple_prompt":
            messages = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            messages = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            resource = {"uri": given["resourceUri"], "mimeType": "text/plain", "text": "Embedded resource content."}
            messages = [message({"type": "resource", "resource": resource}), text("Please process the resource above.")]
        case "test_prompt_with_image":
            messages = [message(IMAGE), text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            question = _form("What context should the prompt use?", context={"type": "string"})
            answers = await call.ask_client({"user_context": question}, needs_state=False)
            messages = [text(str(answers["user_context"]))]
        case other:
            raise RpcError(INVALID_PARAMS, f"There is no prompt {other}.")
    return {"messages": messages}


async def _resources(_call: Call, _params: dict[str, Any]) -> dict[str, Any]:
    listed = [
        {"uri": uri, "name": uri, "description": "For the suite.", "mimeType": it["mimeType"]}
        for uri, it in RESOURCES.items()
    ]
    return {"resources": listed}


async def _templates(_call: Call, _params: dict[str, Any]) -> dict[str, Any]:
    template = {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"}
    return {"resourceTemplates": [template]}


async def _read(_call: Call, params: dict[str, Any]) -> dict[str, Any]:
    uri = str(params.get("uri"))
    before, _, rest = uri.partition("test://template/")
    number, _, kind = rest.partition("/")
    if not before and kind == "data":
        text = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}
    if uri not in RESOURCES:
        raise RpcError(INVALID_PARAMS, "Resource not found", data={"uri": uri})
    return {"contents": [{"uri": uri, **RESOURCES[uri]}]}

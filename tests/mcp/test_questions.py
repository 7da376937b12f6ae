"""Questions to the user during a call: by the client, in each era, or in upstash-helper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.mcp.fixture_server import FixtureServer
from tests.mcp.raw_client import SECONDS, Agent
from tests.support.clock import FakeClock
from tests.support.until import until_async
from upstash_helper.api.mcp.request_state import LIFETIME_SECONDS
from upstash_helper.api.server.connections import Limits
from upstash_helper.broker.confirmations import MAX_PER_APP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

YES: dict[str, Any] = {"action": "accept", "content": {"confirm": True}}
NO: list[dict[str, Any]] = [
    {"action": "decline"},
    {"action": "cancel"},
    {"action": "accept"},
    {"action": "accept", "content": {"confirm": False}},
    {"action": "accept", "content": {"confirm": "true"}},
    {"action": "accept", "content": {}},
    {},
]
ORDERS = {"name": "orders"}


@pytest.fixture
def asker(server: FixtureServer) -> Agent:
    """A client without a session that can show a form."""
    return Agent(server.session, server.url, capabilities={"elicitation": {}})


async def ask(agent: Agent, name: str = "fixture_delete", arguments: dict[str, Any] = ORDERS) -> dict[str, Any]:
    """Call a tool that asks, and return the result with the question."""
    result: dict[str, Any] = (await agent.tool(name, arguments)).result
    assert "input_required" == result["resultType"]
    return result


def answered(asked: dict[str, Any], answer: Any = YES) -> dict[str, Any]:
    """Return the parameters with which a client repeats the call."""
    [key] = asked["inputRequests"]
    return {"inputResponses": {key: answer}, "requestState": asked["requestState"]}


def assert_obsolete(message: Any, question: Any) -> None:
    """Check that it is a message for the client that its answer does not count any more."""
    assert "notifications/cancelled" == message["method"]
    assert question["id"] == message["params"]["requestId"]


# --- without a session ------------------------------------------------------------------------------------------------


async def test_question_names_what_is_destroyed_and_needs_a_choice(asker: Agent) -> None:
    """The user can decide without looking anything up."""
    [question] = (await ask(asker))["inputRequests"].values()

    assert "elicitation/create" == question["method"]
    assert "Delete orders?\n\nIt cannot be restored." == question["params"]["message"]
    assert ["confirm"] == question["params"]["requestedSchema"]["required"]
    assert question["params"]["requestedSchema"]["properties"]["confirm"]["default"] is False


async def test_yes_lets_the_repeated_call_proceed(server: FixtureServer, asker: Agent) -> None:
    """Once."""
    asked = await ask(asker)
    before = list(server.fixture.deleted)

    done = await asker.tool("fixture_delete", ORDERS, **answered(asked))

    assert [] == before
    assert "Deleted orders." == done.text
    assert ["orders"] == server.fixture.deleted


@pytest.mark.parametrize("answer", NO, ids=str)
async def test_everything_but_a_yes_is_an_ordinary_result(server: FixtureServer, asker: Agent, answer: Any) -> None:
    """The model can read that the user did not allow it."""
    asked = await ask(asker)

    done = await asker.tool("fixture_delete", ORDERS, **answered(asked, answer))

    assert "The user did not allow deleting orders." == done.text
    assert "isError" not in done.result
    assert [] == server.fixture.deleted


async def test_yes_counts_once(server: FixtureServer, asker: Agent) -> None:
    """A client cannot repeat the call with the same yes."""
    answer = answered(await ask(asker))
    await asker.tool("fixture_delete", ORDERS, **answer)

    again = await asker.tool("fixture_delete", ORDERS, **answer)

    assert -32602 == again.code
    assert ["orders"] == server.fixture.deleted


async def test_yes_counts_for_the_same_arguments_only(server: FixtureServer, asker: Agent) -> None:
    """Nor for something else."""
    answer = answered(await ask(asker))

    other = await asker.tool("fixture_delete", {"name": "users"}, **answer)

    assert -32602 == other.code
    assert [] == server.fixture.deleted


async def test_yes_counts_for_the_same_tool_only(server: FixtureServer, asker: Agent) -> None:
    """Even if the arguments are the same."""
    answer = answered(await ask(asker))

    other = await asker.tool("fixture_delete_old_name", ORDERS, **answer)

    assert -32602 == other.code
    assert [] == server.fixture.deleted


async def test_yes_counts_for_the_same_app_only(server: FixtureServer, asker: Agent) -> None:
    """Another app has its own user's answer to get."""
    answer = answered(await ask(asker))
    other = Agent(server.session, server.url, {"Fixture-Caller": "other"}, {"elicitation": {}})

    reply = await other.tool("fixture_delete", ORDERS, **answer)

    assert -32602 == reply.code
    assert [] == server.fixture.deleted


@pytest.mark.parametrize("position", [0, 20, 43, 60, -2])
async def test_changed_state_is_refused(server: FixtureServer, asker: Agent, position: int) -> None:
    """It is signed."""
    answer = answered(await ask(asker))
    state = answer["requestState"]
    other = "A" if state[position] != "A" else "B"
    changed = state[:position] + other + state[position:][1:]

    reply = await asker.tool("fixture_delete", ORDERS, **{**answer, "requestState": changed})

    assert -32602 == reply.code
    assert [] == server.fixture.deleted


@pytest.mark.parametrize("state", ["", "AAAA", "é", 7, {}, "A" * 20_000], ids=["", "AAAA", "é", "7", "{}", "long"])
async def test_what_is_no_state_is_refused(asker: Agent, state: object) -> None:
    """With an error, and never a failure."""
    reply = await asker.tool("fixture_delete", ORDERS, inputResponses={}, requestState=state)

    assert -32602 == reply.code


async def test_yes_without_a_state_is_asked_again(server: FixtureServer, asker: Agent) -> None:
    """A client cannot say yes before the user was asked."""
    [key] = (await ask(asker))["inputRequests"]

    again = await asker.tool("fixture_delete", ORDERS, inputResponses={key: YES})

    assert "input_required" == again.result["resultType"]
    assert [] == server.fixture.deleted


async def test_yes_to_another_key_is_asked_again(server: FixtureServer, asker: Agent) -> None:
    """The key belongs to exactly one question."""
    asked = await ask(asker)

    again = await asker.tool(
        "fixture_delete", ORDERS, inputResponses={"confirm": YES}, requestState=asked["requestState"]
    )

    assert "input_required" == again.result["resultType"]
    assert [] == server.fixture.deleted


async def test_yes_that_is_late_is_refused() -> None:
    """A state is valid for a few minutes."""
    clock = FakeClock()
    async with FixtureServer.running(clock=clock) as server:
        asker = Agent(server.session, server.url, capabilities={"elicitation": {"form": {}}})
        answer = answered(await ask(asker))
        clock.advance(LIFETIME_SECONDS)

        late = await asker.tool("fixture_delete", ORDERS, **answer)

    assert -32602 == late.code
    assert [] == server.fixture.deleted


async def test_second_question_remembers_the_first_answer(asker: Agent) -> None:
    """The client only answers what is new."""
    name = "test_input_required_result_multi_round"
    first = await ask(asker, name, {})
    second = (await asker.tool(name, {}, **answered(first, {"action": "accept", "content": {"name": "Ada"}}))).result

    done = await asker.tool(name, {}, **answered(second, {"action": "accept", "content": {"color": "blue"}}))

    assert "input_required" == second["resultType"]
    assert "{'name': 'Ada'} {'color': 'blue'}" == done.text


async def test_answer_to_a_question_that_was_not_asked_does_not_count(asker: Agent) -> None:
    """A client cannot say yes to what it has not shown its user."""
    name, answer = "test_input_required_result_multi_round", {"action": "accept", "content": {"name": "Ada"}}
    first = await ask(asker, name, {})

    second = await asker.tool(
        name, {}, inputResponses={"step1": answer, "step2": answer}, requestState=first["requestState"]
    )

    assert ["step2"] == list(second.result["inputRequests"])


async def test_client_is_not_asked_what_it_has_not_declared(agent: Agent) -> None:
    """The error names the capability."""
    reply = await agent.tool("test_missing_capability")

    assert (400, -32021) == (reply.status, reply.code)
    assert {"requiredCapabilities": {"sampling": {}}} == reply.last["error"]["data"]


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {"url": {}}}, {"elicitation": None}], ids=str)
async def test_client_without_forms_has_the_user_asked_in_upstash_helper(
    server: FixtureServer, capabilities: dict[str, Any]
) -> None:
    """The call is held open until the user has decided."""
    agent = Agent(server.session, server.url, capabilities=capabilities)
    call = asyncio.create_task(agent.tool("fixture_delete", ORDERS))
    await until_async(lambda: server.asked)
    before = list(server.fixture.deleted)

    server.answer.set_result(True)

    assert "Deleted orders." == (await call).text
    assert [] == before
    assert ["Delete orders?"] == [question.title for question in server.asked]


async def test_client_that_waits_hears_of_it() -> None:
    """So that it does not take the user's time to think for a failure."""
    async with FixtureServer.running(keep_alive_seconds=0.05) as server:
        agent = Agent(server.session, server.url)
        sent = {"name": "fixture_delete", "arguments": ORDERS, "_meta": {"progressToken": "waits"}}
        async with agent.open("tools/call", sent) as stream:
            reports = [(await stream.next())["params"] for _ in range(2)]
            server.answer.set_result(True)
            while "result" not in (last := await stream.next()):
                pass

    assert ["waits", "waits"] == [report["progressToken"] for report in reports]
    assert reports[0]["progress"] < reports[1]["progress"]
    assert "Waiting for the user's answer." == reports[0]["message"]
    assert "Deleted orders." == last["result"]["content"][0]["text"]


async def test_client_without_a_token_for_progress_gets_comments() -> None:
    """They keep the connection in use."""
    async with (
        FixtureServer.running(keep_alive_seconds=0.05) as server,
        Agent(server.session, server.url).open("tools/call", {"name": "fixture_wait"}) as stream,
    ):
        line = await stream.response.content.readline()

    assert b": waiting\n" == line


async def test_no_in_upstash_helper_is_an_ordinary_result(server: FixtureServer, agent: Agent) -> None:
    """As that of the client's form."""
    server.answer.set_result(False)

    assert "The user did not allow deleting orders." == (await agent.tool("fixture_delete", ORDERS)).text


# --- with a session ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def asked_legacy(legacy: Agent) -> AsyncIterator[tuple[Agent, Any, Any]]:
    """A client, its call that waits for an answer, and the question."""
    async with legacy.open("tools/call", {"name": "fixture_delete", "arguments": ORDERS}) as stream:
        yield legacy, stream, await stream.next()


async def test_client_with_a_session_is_asked_during_the_call(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """The question comes in the response, and the answer in a request of its own."""
    legacy, stream, question = asked_legacy
    before = list(server.fixture.deleted)

    status = await legacy.respond(question, YES)

    assert 202 == status
    assert "elicitation/create" == question["method"]
    assert [] == before
    assert "Deleted orders." == (await stream.next())["result"]["content"][0]["text"]
    assert await stream.next() is None


@pytest.mark.parametrize("answer", NO, ids=str)
async def test_everything_but_a_yes_in_a_session_is_an_ordinary_result(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any], answer: Any
) -> None:
    """As without a session."""
    legacy, stream, question = asked_legacy

    await legacy.respond(question, answer)

    assert "The user did not allow" in (await stream.next())["result"]["content"][0]["text"]
    assert [] == server.fixture.deleted


async def test_error_of_the_client_has_the_user_asked_in_upstash_helper(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """Some clients declare what they cannot do."""
    legacy, stream, question = asked_legacy
    server.answer.set_result(True)

    await legacy.post({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "No."}})

    assert "Deleted orders." == (await stream.next())["result"]["content"][0]["text"]
    assert ["fixture.delete"] == [asked.action for asked in server.asked]


async def test_response_of_another_session_is_no_answer(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """Each session knows its own requests only."""
    legacy, stream, question = asked_legacy
    other = Agent(server.session, server.url, capabilities={"elicitation": {}})
    await other.initialize()

    await other.respond(question, YES)
    await legacy.respond(question, {"action": "decline"})

    assert "The user did not allow" in (await stream.next())["result"]["content"][0]["text"]
    assert [] == server.fixture.deleted


async def test_answer_to_a_question_of_an_earlier_session_is_no_answer(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """A client may still show a form about something else, and begin another session meanwhile."""
    former, _, about_orders = asked_legacy
    async with server.session.delete(server.url, headers={"Mcp-Session-Id": str(former.session_id)}):
        pass
    again = Agent(server.session, server.url, capabilities={"elicitation": {}})
    await again.initialize()
    async with again.open("tools/call", {"name": "fixture_delete", "arguments": {"name": "users"}}) as stream:
        about_users = await stream.next()

        await again.respond(about_orders, YES)
        await again.respond(about_users, {"action": "decline"})

        assert "The user did not allow deleting users." == (await stream.next())["result"]["content"][0]["text"]
    assert [] == server.fixture.deleted


async def test_canceled_request_ends_without_a_result(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """The client is told that its question is obsolete, and a later answer changes nothing."""
    legacy, stream, question = asked_legacy

    await legacy.notify("notifications/cancelled", {"requestId": legacy.number})

    assert_obsolete(await stream.next(), question)
    assert await stream.next() is None
    await legacy.respond(question, YES)
    assert "Deleted users." not in str(server.fixture.deleted)
    assert [] == server.fixture.deleted


async def test_deleted_session_ends_its_calls(server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]) -> None:
    """Nobody would answer any more."""
    legacy, stream, question = asked_legacy

    async with server.session.delete(server.url, headers={"Mcp-Session-Id": str(legacy.session_id)}):
        pass

    assert_obsolete(await stream.next(), question)
    assert await stream.next() is None


# --- the end of waiting -----------------------------------------------------------------------------------------------


async def test_disconnected_client_is_no_longer_waited_for(server: FixtureServer, agent: Agent) -> None:
    """The tool is canceled where it waits."""
    async with agent.open("tools/call", {"name": "fixture_wait", "_meta": {"progressToken": 1}}) as stream:
        await stream.next()

    async with asyncio.timeout(SECONDS):
        assert await server.fixture.ended.wait()


async def test_question_ends_with_the_access_of_its_app(server: FixtureServer, agent: Agent) -> None:
    """Its connection is free again, and a later yes changes nothing."""
    call = asyncio.create_task(agent.tool("fixture_delete", ORDERS))
    await until_async(lambda: server.asked)

    server.end_access("fixture")

    assert 401 == (await call).status
    server.answer.set_result(True)
    assert [] == server.fixture.deleted


async def test_question_in_a_stream_ends_with_the_access_of_its_app(
    server: FixtureServer, asked_legacy: tuple[Agent, Any, Any]
) -> None:
    """The stream ends without a result."""
    _, stream, question = asked_legacy

    server.end_access("fixture")

    assert_obsolete(await stream.next(), question)
    assert await stream.next() is None


async def test_reading_ends_with_the_access_of_its_app(server: FixtureServer, agent: Agent) -> None:
    """What was read is not sent."""
    call = asyncio.create_task(agent.tool("fixture_wait"))
    await server.fixture.started.wait()

    server.end_access("fixture")

    assert 401 == (await call).status


async def test_app_has_few_requests_that_wait(server: FixtureServer, agent: Agent) -> None:
    """The others end with a result that says why. Another app is not affected."""
    waiting = [asyncio.create_task(agent.tool("fixture_delete", {"name": str(n)})) for n in range(MAX_PER_APP)]
    await until_async(lambda: len(server.asked) == MAX_PER_APP)

    refused = await agent.tool("fixture_delete", ORDERS)
    other = Agent(server.session, server.url, {"Fixture-Caller": "other"})
    others = asyncio.create_task(other.tool("fixture_delete", ORDERS))
    await until_async(lambda: len(server.asked) == MAX_PER_APP + 1)
    server.answer.set_result(False)

    assert refused.result["isError"] is True
    assert "too many requests are waiting" in refused.text
    assert {"The user did not allow deleting orders."} == {(await others).text}
    assert all("did not allow" in reply.text for reply in await asyncio.gather(*waiting))


async def test_request_that_waits_leaves_room_for_others() -> None:
    """It does not count among those that an app may have in progress. The answer to a question is a request, too."""
    async with FixtureServer.running(limits=Limits(requests_per_app=1)) as server:
        agent = Agent(server.session, server.url)
        waiting = asyncio.create_task(agent.tool("fixture_delete", ORDERS))
        await until_async(lambda: server.asked)
        reading = asyncio.create_task(agent.tool("fixture_wait"))
        async with asyncio.timeout(SECONDS):
            await server.fixture.started.wait()

        refused = await agent.call("tools/list")
        server.end_access("fixture")

        assert 401 == (await reading).status
        assert 401 == (await waiting).status
    assert 429 == refused.status


async def test_stopping_ends_what_waits() -> None:
    """A stop does not take as long as a user's decision."""
    async with FixtureServer.running() as server:
        agent = Agent(server.session, server.url)
        call = asyncio.create_task(agent.tool("fixture_delete", ORDERS))
        await until_async(lambda: server.asked)

        server.endpoint.close()

        assert "upstash-helper is stopping. Nothing was changed." == (await call).text

"""Questions to the user: who decides, when they end, and what an app cannot do with them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.world import Desktop
from upstash_helper.broker import confirmations, errors
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.confirmations import Confirmation, Confirmations, Question
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.identity import Caller, Identity
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AGENT = Caller(
    kind="app", id="agent", name="Agent", identity=Identity(kind="native", name="/usr/bin/agent", program="", pid=7)
)
OTHER = Caller(kind="app", id="other", name="Other", identity=Identity(kind="native", name="/usr/bin/other"))
DELETE = Question(
    action="database.delete", title='Delete the database "orders"?', detail="All its data is lost.", target="db-1"
)


@dataclass
class Place:
    """The confirmations, and what is around them."""

    clock: FakeClock = field(default_factory=FakeClock)
    desktop: Desktop = field(default_factory=Desktop)
    events: EventBus = field(default_factory=EventBus)
    background: Background = field(default_factory=Background)
    ledger: SqliteLedger = field(default_factory=lambda: SqliteLedger(None))
    revoked: set[str] = field(default_factory=set)
    is_sandbox: bool = False

    def __post_init__(self) -> None:
        pending = PendingWrites(
            ledger=self.ledger, tombstones=NoTombstones(), background=self.background, clock=self.clock
        )
        self.confirmations = Confirmations(
            audit=Audit(records=self.ledger.audit, pending=pending, clock=self.clock),
            events=self.events,
            notifier=self.desktop,
            has_access=lambda caller: caller.id not in self.revoked,
            is_automatic=self._answers_now,
            background=self.background,
            clock=self.clock,
        )

    async def _answers_now(self) -> bool:
        return self.is_sandbox

    async def asking(
        self, caller: Caller = AGENT, question: Question = DELETE
    ) -> tuple[asyncio.Task[confirmations.Answer], Confirmation]:
        """Ask in a task of its own, and return it with the question, which waits."""
        stream = self.events.subscribe()
        task = asyncio.create_task(self.confirmations.ask(caller, question))
        async with asyncio.timeout(30):
            event = await anext(aiter(stream))
        self.events.unsubscribe(stream)
        assert isinstance(event.data, Confirmation)
        return task, event.data


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """The confirmations of a daemon. Denials are recorded later, so that is waited for before the ledger is closed."""
    place = Place()
    yield place
    await place.background.drain(5)
    await place.ledger.close()


async def test_answer_of_the_user_is_returned(place: Place) -> None:
    """Each question gets its own answer, whatever the order."""
    first, one = await place.asking()
    second, two = await place.asking(OTHER)

    place.confirmations.allow(two.id)
    place.confirmations.deny(one.id)

    assert ("denied", "allowed") == (await first, await second)
    assert () == place.confirmations.waiting


async def test_first_answer_wins(place: Place) -> None:
    """A second tool that decides the same question learns that it came too late; repeating an answer is harmless."""
    task, it = await place.asking()

    place.confirmations.deny(it.id)
    with pytest.raises(errors.ConfirmationDecided, match="already answered: denied"):
        place.confirmations.allow(it.id)

    assert "denied" == place.confirmations.deny(it.id).state
    assert "denied" == await task


async def test_decision_is_for_the_question_that_it_names(place: Place) -> None:
    """A click on a prompt that is over cannot allow the question that is shown in its place."""
    first, one = await place.asking()
    first.cancel()
    await asyncio.wait((first,))
    second, two = await place.asking(question=Question(action="database.delete", title="Delete the other?"))

    with pytest.raises(errors.ConfirmationExpired):
        place.confirmations.allow(one.id)

    assert (two,) == place.confirmations.waiting
    place.confirmations.deny(two.id)
    assert "denied" == await second


async def test_answer_after_a_denial_of_long_ago_is_as_any_other(place: Place) -> None:
    """What counts toward the limit is forgotten with time, and is not needed for anything else."""
    first, one = await place.asking()
    place.confirmations.deny(one.id)
    place.clock.advance(confirmations.LIFETIME + 1)
    second, two = await place.asking()
    third, three = await place.asking(OTHER)

    allowed = place.confirmations.allow(two.id).state
    place.revoked.add(OTHER.id)
    place.confirmations.access_ended()

    assert ("denied", "allowed", "allowed") == (await first, allowed, await second)
    with pytest.raises(errors.AccessEnded):
        await third
    with pytest.raises(errors.ConfirmationExpired):
        place.confirmations.allow(three.id)


async def test_unknown_question_cannot_be_decided(place: Place) -> None:
    """Such as one of an earlier run of the daemon."""
    with pytest.raises(errors.ConfirmationNotFound):
        place.confirmations.allow("0123456789abcdef")


async def test_question_expires_after_five_minutes(place: Place) -> None:
    """Not a second earlier. Then nobody can allow it any more."""
    task, it = await place.asking()

    place.clock.advance(confirmations.LIFETIME - 1)
    still = place.confirmations.waiting
    place.clock.advance(1)

    assert (it,) == still
    assert "expired" == await task
    with pytest.raises(errors.ConfirmationExpired):
        place.confirmations.allow(it.id)


async def test_question_ends_with_the_request_that_asks(place: Place) -> None:
    """Its prompt disappears at once, so that the user does not decide about something that is not waited for."""
    stream = place.events.subscribe()
    task, it = await place.asking()

    task.cancel()
    await asyncio.wait((task,))

    assert task.cancelled()
    assert () == place.confirmations.waiting
    place.events.close()
    states = [event.data.state async for event in stream if isinstance(event.data, Confirmation)]
    assert ["pending", "expired"] == states
    with pytest.raises(errors.ConfirmationExpired):
        place.confirmations.allow(it.id)


async def test_question_ends_with_the_apps_access(place: Place) -> None:
    """Of this app only. The asking request ends as if the token had never been valid."""
    task, it = await place.asking()
    other, _ = await place.asking(OTHER)

    place.revoked.add(AGENT.id)
    place.confirmations.access_ended()

    with pytest.raises(errors.AccessEnded):
        await task
    assert [OTHER.id] == [it.caller.id for it in place.confirmations.waiting]
    with pytest.raises(errors.ConfirmationExpired):
        place.confirmations.allow(it.id)
    other.cancel()


async def test_yes_counts_only_while_the_app_has_access(place: Place) -> None:
    """Whichever comes first: nothing is done for an app whose access ended just after the yes."""
    task, it = await place.asking()

    place.confirmations.allow(it.id)
    place.revoked.add(AGENT.id)

    with pytest.raises(errors.AccessEnded):
        await task


async def test_app_without_access_cannot_ask(place: Place) -> None:
    """Its access ended during its request."""
    place.revoked.add(AGENT.id)

    with pytest.raises(errors.AccessEnded):
        await place.confirmations.ask(AGENT, DELETE)

    assert [] == place.desktop.shown


async def test_app_has_few_questions_at_a_time(place: Place) -> None:
    """Another app can still ask. The exact time after which there is room is known."""
    tasks = [(await place.asking())[0] for _ in range(confirmations.MAX_PER_APP)]
    place.clock.advance(100)

    with pytest.raises(errors.TooManyConfirmations) as caught:
        await place.confirmations.ask(AGENT, DELETE)
    other, _ = await place.asking(OTHER)

    assert confirmations.LIFETIME - 100 == caught.value.retry_after
    for task in (*tasks, other):
        task.cancel()


async def test_apps_together_have_a_bounded_number_of_questions(place: Place) -> None:
    """However many apps have access."""
    tasks = []
    for number in range(confirmations.MAX_WAITING):
        caller = Caller(kind="app", id=f"app-{number}", name="App", identity=AGENT.identity)
        tasks.append((await place.asking(caller))[0])

    with pytest.raises(errors.TooManyConfirmations):
        await place.confirmations.ask(OTHER, DELETE)

    for task in tasks:
        task.cancel()


async def test_app_that_is_denied_cannot_nag(place: Place) -> None:
    """After some questions without a yes, it has to wait. A yes does not count."""
    for number in range(confirmations.MAX_UNCONFIRMED + 3):
        task, it = await place.asking()
        if number < 3:
            place.confirmations.allow(it.id)
        else:
            place.confirmations.deny(it.id)
        await task

    with pytest.raises(errors.TooManyConfirmations, match="denied or did not answer") as caught:
        await place.confirmations.ask(AGENT, DELETE)
    place.clock.advance(caught.value.retry_after or 0)
    task, _ = await place.asking()
    task.cancel()


async def test_request_that_is_repeated_and_cancelled_cannot_nag(place: Place) -> None:
    """Otherwise, an app could show notifications without end."""
    for _ in range(confirmations.MAX_UNCONFIRMED):
        task, _it = await place.asking()
        task.cancel()
        await asyncio.wait((task,))

    with pytest.raises(errors.TooManyConfirmations):
        await place.confirmations.ask(AGENT, DELETE)


async def test_memory_of_ended_questions_is_bounded(place: Place) -> None:
    """The last ones are kept, so that a late decision gets the reason."""
    ids = []
    for _ in range(100):
        task, it = await place.asking()
        place.confirmations.allow(it.id)
        await task
        ids.append(it.id)

    with pytest.raises(errors.ConfirmationNotFound):
        place.confirmations.allow(ids[0])
    assert "allowed" == place.confirmations.allow(ids[-1]).state


async def test_text_of_a_question_cannot_imitate_ours(place: Place) -> None:
    """It may contain names that an app chose: no line breaks, nothing invisible, nothing that reorders the line."""
    task, it = await place.asking(
        question=Question(action="database.delete", title="Delete a\n\u202eb?", detail="x\u200b\ty", target="i\x1bd")
    )

    assert ("Delete a b?", "x y", "id") == (it.question.title, it.question.detail, it.question.target)
    task.cancel()


async def test_user_is_notified_with_the_verified_program_first(place: Place) -> None:
    """The name that the app gave itself comes last, so that it cannot pass for the text before it."""
    task, _ = await place.asking()
    await place.background.drain(5)

    [(title, body)] = place.desktop.shown
    assert "/usr/bin/agent needs your confirmation" == title
    assert body.startswith('Delete the database "orders"? To allow or deny it: upstash-helper approvals list. ')
    assert body.endswith('The app calls itself "Agent".')
    task.cancel()


async def test_program_that_cannot_be_verified_is_not_named_in_the_title(place: Place) -> None:
    """As with access requests."""
    identity = Identity(kind="native", name="/usr/bin/agent", warnings=("sandboxed",))
    task, _ = await place.asking(Caller(kind="app", id="agent", name="Agent", identity=identity))
    await place.background.drain(5)

    [(title, body)] = place.desktop.shown
    assert "A program that cannot be verified needs your confirmation" == title
    assert body.startswith("/usr/bin/agent (inside a container or sandbox). Delete")
    task.cancel()


async def test_sandbox_allows_without_asking(place: Place) -> None:
    """Visibly: the audit log has it. Once the sandbox is gone, the user is asked."""
    place.is_sandbox = True

    answer = await place.confirmations.ask(AGENT, DELETE)

    assert ("allowed", []) == (answer, place.desktop.shown)
    [entry] = await place.ledger.audit.page(AuditQuery())
    assert ("confirmation.allow_automatically", "database.delete db-1", "Agent") == (
        entry.action, entry.target, entry.app_name
    )  # fmt: skip
    place.is_sandbox = False
    task, _ = await place.asking()
    task.cancel()
    await place.ledger.close()

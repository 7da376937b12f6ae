"""
Confirmations: questions to the user before something is destroyed or written on behalf of an app.

They exist only in this process: the request that asks stays open while the user decides, and ends with the daemon.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.display_text import clean
from upstash_helper.broker.identity import Caller
from upstash_helper.protocol.literals import ConfirmationState
from upstash_helper.protocol.shorten import MAX_SHOWN, shorten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.ports import Clock, Notifier

LIFETIME: Final = 300.0
"""How many seconds the user has to decide."""
MAX_PER_APP: Final = 4
"""How many questions of one app may wait at the same time: each of them is a prompt."""
MAX_WAITING: Final = 12
"""
How many questions of all apps together may wait. Each holds a request open. Together with the event streams of apps,
they leave room for other requests; see ``connections.Limits.app_requests``. The MCP endpoint has the same limits for
requests that wait for an answer, also where the client asks, so that a request that may wait may also ask.
"""
MAX_UNCONFIRMED: Final = 5
"""How many questions of an app may end without a yes within ``LIFETIME``. After that, it has to wait: it cannot nag."""

MAX_TITLE_TEXT: Final = 1500
"""Characters. A title can contain a whole path, which must not be truncated."""
MAX_DETAIL_TEXT: Final = 3000

_REMEMBERED: Final = 64
"""How many ended confirmations are kept, so that a late decision gets the reason why it does not count."""

Answer = Literal["allowed", "denied", "expired"]
"""The outcome of a question. ``expired``: the user did not decide in time."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the user is asked."""

    action: str
    """What the app is about to do, as in the audit log, such as ``database.delete``."""
    title: str
    """The question in one sentence, which names the target."""
    detail: str = ""
    """What will be destroyed, in full sentences."""
    target: str = ""
    """What is affected, such as the ID of a database."""
    lasting: bool = False
    """Whether a yes also applies to later calls. ``detail`` says which ones, and every prompt repeats that at Allow."""


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A question from an app to the user."""

    id: str
    caller: Caller
    question: Question
    created_at: float
    expires_at: float
    state: ConfirmationState = "pending"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A question that the user has not answered."""

    deadline: float
    """Monotonic."""
    answer: asyncio.Future[Answer]


class Confirmations:
    """Asks the user. The first answer counts, and it names the question that it is for."""

    def __init__(
        self,
        *,
        audit: Audit,
        events: EventBus,
        notifier: Notifier,
        has_access: Callable[[Caller], bool],
        is_automatic: Callable[[], Awaitable[bool]] | None = None,
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            audit: The audit log.
            events: Publishes each change of a confirmation, to the owner only.
            notifier: Notifies the user of questions.
            has_access: Returns whether an app still has access.
            is_automatic: Returns whether questions are answered with yes automatically, because apps can reach nothing
                that is real. None: never.
            background: Runs the notifications.
            clock: The clock.
        """
        self._audit = audit
        self._events = events
        self._notifier = notifier
        self._has_access = has_access
        self._is_automatic = is_automatic
        self._background = background
        self._clock = clock
        self._by_id: dict[str, Confirmation] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._unconfirmed: dict[str, deque[float]] = {}

    # --- the app's side -----------------------------------------------------------------------------------------------

    async def ask(self, caller: Caller, question: Question) -> Answer:
        """
        Ask the user, and return the answer. If the caller's task is cancelled, or its access ends, so does the
        question: it disappears from every prompt, and a decision about it no longer counts.

        Raises:
            TooManyConfirmations: With the exact ``retry_after``, if too many questions wait, or too many of the app's
                last ones were not answered with yes.
            AccessEnded: If the app's access ends before the answer.
            LedgerUnavailable: If the yes is automatic and cannot be recorded.
            LedgerFull: Like LedgerUnavailable.
        """
        question = _shown_safely(question)
        if self._is_automatic is not None and await self._is_automatic():
            await self._audit.note(caller, "confirmation.allow_automatically", target_of(question))
            return self._answered(caller, "allowed")
        if not self._has_access(caller):
            raise errors.AccessEnded
        confirmation = self._begin(caller, question)
        answer = self._waiting[confirmation.id].answer
        try:
            return self._answered(caller, await answer)
        finally:
            self._end(confirmation.id, "expired")  # no effect if the user has decided

    def _answered(self, caller: Caller, answer: Answer) -> Answer:
        if not self._has_access(caller):
            raise errors.AccessEnded
        return answer

    def _begin(self, caller: Caller, question: Question) -> Confirmation:
        self._limit(caller)
        now = self._clock.time()
        confirmation = Confirmation(
            id=secrets.token_hex(8),
            caller=caller,
            question=question,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        deadline = self._clock.monotonic() + LIFETIME
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._by_id[confirmation.id] = confirmation
        self._waiting[confirmation.id] = _Waiting(deadline, answer)
        self._clock.call_at(deadline, lambda: self._end(confirmation.id, "expired"))
        self._events.publish("confirmation", confirmation, owner_only=True)
        self._background.start(self._notify(confirmation))
        return confirmation

    def _limit(self, caller: Caller) -> None:
        now = self._clock.monotonic()
        of_app = [it.deadline for key, it in self._waiting.items() if self._by_id[key].caller.id == caller.id]
        if len(of_app) >= MAX_PER_APP:
            message = "Other questions from this app are still waiting for the user."
            raise errors.TooManyConfirmations(message, retry_after=min(of_app) - now)
        if len(self._waiting) >= MAX_WAITING:
            message = "Too many questions from apps are waiting for the user."
            raise errors.TooManyConfirmations(
                message, retry_after=min(it.deadline for it in self._waiting.values()) - now
            )
        past = self._unconfirmed.get(caller.id, deque())
        while past and past[0] + LIFETIME <= now:
            past.popleft()
        if len(past) >= MAX_UNCONFIRMED:
            message = "The user denied or did not answer this app's last questions."
            raise errors.TooManyConfirmations(message, retry_after=past[0] + LIFETIME - now)

    async def _notify(self, confirmation: Confirmation) -> None:
        # Imported late: in most daemons, apps never ask anything.
        from upstash_helper.protocol.messages import confirmation_title

        caller, question = confirmation.caller, confirmation.question
        identity = caller.identity
        warnings = identity.warnings if identity is not None and identity.kind == "native" else ()
        title = confirmation_title(caller.shown, warnings)
        who = "" if title.startswith(caller.shown) else f"{shorten(caller.shown, MAX_SHOWN)}. "
        await self._notifier.show(
            title=title,
            # The unverified name comes last, so that it cannot pass for the verified text before it.
            body=(
                f"{who}{question.title} To allow or deny it: upstash-helper approvals list. "
                f'The app calls itself "{caller.name}".'
            ),
        )

    # --- the user's side ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> tuple[Confirmation, ...]:
        """The questions that the user can answer, the oldest first."""
        return tuple(self._by_id[key] for key, it in self._waiting.items() if not self._is_over(it))

    def allow(self, confirmation_id: str) -> Confirmation:
        """
        Answer a question with yes. Doing so again changes nothing. Callers must have verified that it is the user.

        Raises:
            ConfirmationNotFound: If there is none with this ID.
            ConfirmationExpired: If it was not answered in time, or the app no longer waits for the answer.
            ConfirmationDecided: If it was answered with no.
        """
        return self._decide(confirmation_id, "allowed")

    def deny(self, confirmation_id: str) -> Confirmation:
        """
        Answer a question with no, like ``allow``.

        Raises:
            ConfirmationNotFound: As for ``allow``.
            ConfirmationExpired: As for ``allow``.
            ConfirmationDecided: If it was answered with yes.
        """
        return self._decide(confirmation_id, "denied")

    def access_ended(self) -> None:
        """End the questions of apps that no longer have access."""
        for key in tuple(self._waiting):
            if not self._has_access(self._by_id[key].caller):
                self._end(key, "expired")

    def _decide(self, confirmation_id: str, state: Answer) -> Confirmation:
        known = self._by_id.get(confirmation_id)
        if known is None:
            raise errors.ConfirmationNotFound
        if known.state == state:
            return known
        waiting = self._waiting.get(confirmation_id)
        if known.state == "expired" or (waiting is not None and self._is_over(waiting)):
            raise errors.ConfirmationExpired
        if waiting is None:
            raise errors.ConfirmationDecided(f"The question was already answered: {known.state}.")
        self._end(confirmation_id, state)
        if state == "denied":
            # Among the app's entries, since those about what it does end here. The decision is among the user's.
            self._audit.note_later(known.caller, "confirmation.denied", denied_target_of(known.question))
        return self._by_id[confirmation_id]

    # --- internal -----------------------------------------------------------------------------------------------------

    def _is_over(self, waiting: _Waiting) -> bool:
        return self._clock.monotonic() >= waiting.deadline

    def _end(self, confirmation_id: str, state: Answer) -> None:
        """End a question that waits. No effect if it does not wait."""
        waiting = self._waiting.pop(confirmation_id, None)
        if waiting is None:
            return
        ended = msgspec.structs.replace(self._by_id.pop(confirmation_id), state=state)
        self._by_id[confirmation_id] = ended  # at the end, since those that ended first are forgotten first
        if not waiting.answer.done():  # cancelled, if the app's request was
            waiting.answer.set_result(state)
        if state != "allowed":
            past = self._unconfirmed.setdefault(ended.caller.id, deque(maxlen=MAX_UNCONFIRMED))
            past.append(self._clock.monotonic())
        self._events.publish("confirmation", ended, owner_only=True)
        self._prune()

    def _prune(self) -> None:
        over = [key for key in self._by_id if key not in self._waiting]
        for key in over[:-_REMEMBERED]:
            del self._by_id[key]
        now = self._clock.monotonic()
        for app_id in [app_id for app_id, past in self._unconfirmed.items() if not past or past[-1] + LIFETIME <= now]:
            del self._unconfirmed[app_id]


def target_of(question: Question) -> str:
    """Return the action and target of a question, for the audit log."""
    return f"{question.action} {question.target}".rstrip()


def denied_target_of(question: Question) -> str:
    """Return like ``target_of``, with the question: no entry follows that shows what the app would have done."""
    return f"{target_of(question)} {clean(question.title, MAX_TITLE_TEXT)}"


def _shown_safely(question: Question) -> Question:
    """Return a question whose texts can be shown next to verified ones: they may contain names that an app chose."""
    return msgspec.structs.replace(
        question,
        title=clean(question.title, MAX_TITLE_TEXT),
        detail=clean(question.detail, MAX_DETAIL_TEXT),
        target=clean(question.target, MAX_TITLE_TEXT),
    )

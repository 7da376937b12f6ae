"""
``subscriptions/listen``: a request that stays open, and that the client does not send again.

So the bridge keeps it. It acknowledges it even without access, sends it to the daemon once there is access, and sends
it again when the daemon was restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from upstash_helper.protocol.mcp import META_PREFIX, can_change

if TYPE_CHECKING:
    from upstash_helper.cli.mcp.lines import Message, Output

METHOD: Final = "subscriptions/listen"
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_LISTS: Final = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}


class Subscription:
    """One subscription, as the client sees it."""

    def __init__(self, request: Message, output: Output) -> None:
        self._id: Final = request.id
        self._wanted: Any = request.params.notifications
        self._output = output
        self._is_acknowledged = False
        self.is_over = False
        """Whether the daemon has refused it."""

    @property
    def can_begin(self) -> bool:
        """Whether the request is valid, so that it can be acknowledged without the daemon."""
        return isinstance(self._wanted, dict)

    def acknowledge(self) -> None:
        """Acknowledge it as the daemon will."""
        self._is_acknowledged = True
        self._notify(_ACKNOWLEDGED, notifications=dict.fromkeys(self._honored(), True))

    def receive(self, message: Message) -> None:
        """Pass on a message of the daemon."""
        if message.method == _ACKNOWLEDGED and self._is_acknowledged:
            # It was held or interrupted, so changes in the meantime were not reported.
            for name in self._honored():
                self._notify(f"notifications/{_LISTS[name]}/list_changed")
            return
        if message.kind == "response" and message.id == self._id:
            if message.result:
                return  # the daemon is about to stop
            self.is_over = True
        self._is_acknowledged = self._is_acknowledged or message.method == _ACKNOWLEDGED
        self._output.send(message.body)

    def _honored(self) -> list[str]:
        """Return the lists that can change and about whose changes the client wants to be notified."""
        wanted = self._wanted if isinstance(self._wanted, dict) else {}
        return [name for name, kind in _LISTS.items() if wanted.get(name) is True and can_change(kind)]

    def _notify(self, method: str, **params: object) -> None:
        self._output.notify(method, {"_meta": {f"{META_PREFIX}subscriptionId": self._id}, **params})

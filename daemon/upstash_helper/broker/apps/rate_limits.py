"""How often the user may be asked, and by whom: a prompt that comes too often is a prompt that is clicked away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import PairingPending, TooManyPairings
from upstash_helper.broker.limits import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.apps.identity import Identity
    from upstash_helper.broker.ports import Clock

MOST_A_MINUTE: Final = 5
"""Requests of one identity, those that were refused included."""
MOST_ALIVE: Final = 3
"""Requests that wait for the user at once, whoever they are from."""
COOLDOWN_SECONDS: Final = 60.0
"""After a no; doubled with each further one, up to an hour."""
LONGEST_COOLDOWN_SECONDS: Final = 3600.0

MOST_WITHDRAWN: Final = 3
"""So often may a request be withdrawn within ten minutes: one that comes and goes is a prompt all the same."""

_IDENTITIES: Final = 256


class Turnstile:
    """Lets by who may ask now, and tells the others exactly when to come again."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked = Window(most=MOST_A_MINUTE, seconds=60.0, keys=_IDENTITIES, clock=clock)
        self._withdrawn = Window(most=MOST_WITHDRAWN, seconds=600.0, keys=_IDENTITIES, clock=clock)
        self._denials: dict[str, tuple[int, float]] = {}

    def pass_by(self, identity: Identity, *, waiting: Mapping[str, tuple[str, float]]) -> None:
        """
        Let by a request.

        Args:
            identity: Whose.
            waiting: The requests that wait, by their identities' keys: their ids and the seconds that they still may.

        Raises:
            TooManyPairings: If it asked too often, was denied a moment ago, gave up too often, or enough others wait.
            PairingPending: If it waits already.
        """
        key = identity.key
        wait = self._asked.take(key)
        if wait > 0:
            raise TooManyPairings("This app asks too often.", retry_after=wait)
        if key in waiting:
            pairing_id, left = waiting[key]
            message = "An earlier request of this app still waits for the user."
            raise PairingPending(message, pairing_id=pairing_id, retry_after=left)
        wait = self._cooling(key)
        if wait > 0:
            raise TooManyPairings("The user has just said no to this app.", retry_after=wait)
        wait = self._withdrawn.wait(key)
        if wait > 0:
            raise TooManyPairings("This app has asked and given up again and again.", retry_after=wait)
        if len(waiting) >= MOST_ALIVE:
            soonest = min(left for _, left in waiting.values())
            raise TooManyPairings(f"{len(waiting)} other apps wait for the user.", retry_after=soonest)

    def denied(self, identity: Identity) -> None:
        """Note that the user said no."""
        count, _ = self._denials.get(identity.key, (0, 0.0))
        if len(self._denials) >= _IDENTITIES:
            self._denials.pop(next(iter(self._denials)))
        self._denials[identity.key] = (count + 1, self._clock.monotonic())

    def withdrawn(self, identity: Identity) -> None:
        """Note that the app gave up before the user had decided."""
        self._withdrawn.take(identity.key)

    def forgive(self, identity: Identity) -> None:
        """Note that the user said yes."""
        self._denials.pop(identity.key, None)

    def _cooling(self, key: str) -> float:
        count, at = self._denials.get(key, (0, 0.0))
        if count == 0:
            return 0.0
        cooldown = min(COOLDOWN_SECONDS * 2.0 ** min(count - 1, 10), LONGEST_COOLDOWN_SECONDS)
        return at + cooldown - self._clock.monotonic()

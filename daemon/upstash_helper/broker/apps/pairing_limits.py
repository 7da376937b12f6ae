"""
Limits of access requests: users stop reading prompts that appear too often.

A prompt is a request that was shown, whatever became of it. Prompts are counted by site (see ``sites``), because a site
has any number of origins; those of programs by file and claimed name, because all scripts of an interpreter are one
file, and together after a denial, because a program has any number of copies and names. An app that has access is
counted on its own, so that others of its site do not shut it out.

A new request from the same app replaces its pending one, and takes its place. Replacements are limited, too: they
change what the user is reading.

Pages and programs have separate places. A place is held until its request would have expired, unless the user approved
the request: neither withdrawing nor a denial makes room for the next prompt. One place is kept for newcomers, whose
requests were not shown within the last hour. If there are several, it is for the one that was turned away the least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.broker.apps.rate_limits import SlidingWindow, TokenBuckets
from upstash_helper.broker.errors import PairingPending, TooManyPairings
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import Approved, Delivered, Denied, Waiting, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.ledger import Pairing
    from upstash_helper.broker.ports import Clock

LIFETIME: Final = 120.0
"""Seconds for the user to decide, and then for the app to fetch its token."""

MAX_PER_MINUTE: Final = 5
"""Requests of one site per minute, including refused ones."""
PROGRAMS_PER_MINUTE: Final = 60
PROGRAMS_AT_ONCE: Final = 20
"""Requests of all programs together: each of them has to be looked up, which takes some milliseconds."""
MAX_PENDING: Final = 3
"""Places for pages, and for programs. The last one is for newcomers only."""
COOLDOWN_SECONDS: Final = 60.0
"""Wait after a denial. Doubles with each further denial, up to the maximum."""
MAX_COOLDOWN_SECONDS: Final = 3600.0
MAX_AFTER_DENIAL: Final = 5
"""Prompts of one site within an hour after a denial."""
MAX_PER_HOUR: Final = 10
"""Prompts of one site within an hour, without a denial."""
HOUR: Final = 3600.0

MAX_WITHDRAWN: Final = 3
"""Withdrawn requests of one site within ten minutes: each of them was a prompt, too."""
MAX_REPLACED: Final = 5
"""Requests that an app can replace within ten minutes. After that, the pending one stays until it ends."""
_TEN_MINUTES: Final = 600.0

# How long the last place, when it has become free, is kept for those whose turn it is.
_TURN_SECONDS: Final = 3.0

_KEYS: Final = 256
# Prompts are few, because places are; so the memory of denials and prompts is larger than what an hour can fill.
_MAX_PROMPTS: Final = 1024
_MAX_DENIALS: Final = 1024
_REMEMBERED_SITES: Final = 16_384

Group = Literal["pages", "programs"]

_TOO_OFTEN: Final[dict[Group, str]] = {
    "pages": "Pages of this site have requested access too often in the last hour.",
    "programs": "Programs have requested access too often in the last hour.",
}


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who requests access, as the limits see it."""

    identity: Identity
    site: str
    name: str = ""
    """The name that the app gives itself."""
    has_access: bool = False
    """Whether this app has access already."""
    shares_site: bool = False
    """Whether an app of this site has access."""

    @property
    def app(self) -> str:
        """
        Key of the app: its origin, or a program's file and the name that it gives itself. A name is not verified, but
        a program that makes up names could just as well make copies of its file.
        """
        # A name is one line, and no warning in the key of an identity begins like this.
        return f"{self.identity.limits_key}\nname:{self.name}" if self.group == "programs" else self.identity.limits_key

    @property
    def key(self) -> str:
        """What is counted: an app with access, a program under one name, or a site."""
        return self.app if self.has_access or self.group == "programs" else self.site

    @property
    def group(self) -> Group:
        """Whose places the request takes."""
        return "programs" if self.identity.kind == "native" else "pages"


class _Prompt(msgspec.Struct, kw_only=True):
    """A request that was shown to the user within the last hour."""

    asker: Asker
    at: float
    is_newcomer: bool
    state: Literal["shown", "denied", "withdrawn", "replaced"] = "shown"
    """A prompt whose request was approved is forgotten: the user wanted it."""
    denied_at: float = 0.0

    @property
    def until(self) -> float:
        """When its place becomes free. The place of a replaced request belongs to the new one."""
        return self.at if self.state == "replaced" else self.at + LIFETIME


class _TurnedAway:
    """The sites that found all places taken within the last hour or two, and how often."""

    def __init__(self) -> None:
        # Hashes take less memory than names. Under a flood of names, the older half is forgotten.
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._since = 0.0
        self._sites: dict[int, int] = {}
        """Number of sites, by how often."""

    def add(self, key: str, now: float) -> None:
        """Count that a site was turned away."""
        if now - self._since >= HOUR or len(self._recent) >= _REMEMBERED_SITES:
            for times in self._older.values():
                self._change(times, -1)
            self._older, self._recent, self._since = self._recent, {}, now
        times = self.forget(key) + 1
        self._recent[hash(key)] = times
        self._change(times, 1)

    def forget(self, key: str) -> int:
        """Forget a site, and return how often it was turned away."""
        number = hash(key)
        times = self._recent.pop(number, 0) or self._older.pop(number, 0)
        if times:
            self._change(times, -1)
        return times

    def has_turn(self, key: str) -> bool:
        """Return whether a site was turned away, and no other site less often."""
        number = hash(key)
        times = self._recent.get(number) or self._older.get(number, 0)
        return times > 0 and times <= min(self._sites)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._sites)

    def _change(self, times: int, by: int) -> None:
        sites = self._sites.pop(times, 0) + by
        if sites:
            self._sites[times] = sites


class PairingRateLimiter:
    """Decides whether an app may request access now, and if not, when it may."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked = SlidingWindow(limit=MAX_PER_MINUTE, seconds=60.0, keys=_KEYS, clock=clock)
        self._looked_up = TokenBuckets(per_minute=PROGRAMS_PER_MINUTE, burst=PROGRAMS_AT_ONCE, keys=1, clock=clock)
        self._prompts: dict[str, _Prompt] = {}
        """By the ID of the pairing, the oldest first."""
        self._denials: dict[str, tuple[int, float]] = {}
        """By the key of the asker: how often, and when last."""
        self._turned_away: dict[Group, _TurnedAway] = {"pages": _TurnedAway(), "programs": _TurnedAway()}

    # --- requests -----------------------------------------------------------------------------------------------------

    def count(self, asker: Asker) -> None:
        """
        Count a request, shown or not.

        Raises:
            TooManyPairings: If there were too many within a minute.
        """
        wait = self._asked.take(asker.key)
        if wait > 0:
            raise TooManyPairings(retry_after=wait)

    def count_program(self) -> None:
        """
        Count a request of a program that is not known yet.

        Raises:
            TooManyPairings: If there were too many.
        """
        wait = self._looked_up.take("")
        if wait > 0:
            raise TooManyPairings("Too many programs are requesting access at the same time.", retry_after=wait)

    def check(self, asker: Asker, *, may_replace: Callable[[Identity], bool]) -> str:
        """
        Check whether a request may be shown. Cheap, and counts nothing. Return the ID of the app's pending request,
        which this one replaces, or an empty string if none is pending.

        Args:
            asker: Who requests access.
            may_replace: Returns whether the sender may replace a request of this app with the given identity.

        Raises:
            PairingPending: If a request of this app is pending and may not be replaced.
            TooManyPairings: If a request of its site is pending or was denied, if its site has caused too many prompts
                or withdrawn too many requests, or if all places are taken.
        """
        now = self._clock.monotonic()
        self._forget(now)
        pending = self._pending(asker, now)
        if pending and not (may_replace(self._prompts[pending].asker.identity) and self._can_be_replaced(asker, now)):
            raise PairingPending(pairing_id=pending, retry_after=self._prompts[pending].until - now)
        wait = self._cooldown_left(asker.key, now)
        if wait > 0:
            raise TooManyPairings("The user has just denied this app's request.", retry_after=wait)
        wait = _wait(self._times(asker.key, "withdrawn"), limit=MAX_WITHDRAWN, seconds=_TEN_MINUTES, now=now)
        if wait > 0:
            raise TooManyPairings("This app has withdrawn too many requests.", retry_after=wait)
        wait = self._hour_left(asker, now)
        if wait > 0:
            raise TooManyPairings(_TOO_OFTEN[asker.group], retry_after=wait)
        if not asker.has_access and not pending:
            self._check_places(asker, now)
        return pending

    def shown(self, pairing: Pairing, asker: Asker) -> None:
        """Record that a request was shown. If it replaces one, it takes that one's place."""
        now = self._clock.monotonic()
        replaces = pairing.decision.replaces if isinstance(pairing.decision, Waiting) else ""
        old = self._prompts.get(replaces)
        is_newcomer = self._is_newcomer(asker) if old is None else old.is_newcomer
        self._put(pairing.id, _Prompt(asker=asker, at=now, is_newcomer=is_newcomer))
        self._turned_away[asker.group].forget(asker.key)

    def restore(self, pairing: Pairing) -> None:
        """Record a request of an earlier run of the daemon. To be called in the order in which they were shown."""
        self._put(pairing.id, self._prompt_of(pairing, at=self._moment(pairing.created_at)))
        match pairing.decision:
            case Denied(at=at):
                self._deny(pairing, self._moment(at))
                # The wall clock may have been changed, so a wait that is not over starts again.
                key = self._prompts[pairing.id].asker.key
                if self._cooldown_left(key, self._clock.monotonic()) > 0:
                    self._denials[key] = (self._denials[key][0], self._clock.monotonic())
            case Approved() | Delivered():
                self.approved(pairing)
            case Withdrawn(replaced_by=new) if new:
                self.replaced(pairing)
            case Withdrawn():
                self.withdrawn(pairing)
            case _:
                pass

    def _moment(self, unix: float) -> float:
        """Return a past Unix time as monotonic time."""
        return self._clock.monotonic() - max(0.0, self._clock.time() - unix)

    # --- what became of them ------------------------------------------------------------------------------------------

    def denied(self, pairing: Pairing) -> None:
        """Record that the user denied a request."""
        self._deny(pairing, self._clock.monotonic())

    def _deny(self, pairing: Pairing, at: float) -> None:
        # None: it was approved first, or is of a time when prompts were not counted.
        prompt = self._prompts.get(pairing.id) or self._prompt_of(pairing, at=at)
        prompt.state, prompt.denied_at = "denied", at
        self._put(pairing.id, prompt)
        key = prompt.asker.key
        count, _ = self._denials.pop(key, (0, 0.0))
        if len(self._denials) >= _MAX_DENIALS:
            del self._denials[next(iter(self._denials))]  # the one that is longest ago
        self._denials[key] = (count + 1, at)

    def withdrawn(self, pairing: Pairing) -> None:
        """Record that the app withdrew its request before the user decided. Its place stays taken."""
        prompt = self._prompts.get(pairing.id)
        if prompt is not None:
            prompt.state = "withdrawn"

    def replaced(self, pairing: Pairing) -> None:
        """Record that the app replaced its request with a new one, which takes its place."""
        prompt = self._prompts.get(pairing.id)
        if prompt is not None:
            prompt.state = "replaced"

    def approved(self, pairing: Pairing) -> None:
        """Forget the prompts and denials of an app, because the user approved its request."""
        asker = self._prompt_of(pairing, at=0.0).asker
        for pairing_id, prompt in tuple(self._prompts.items()):
            if prompt.asker.app == asker.app:
                del self._prompts[pairing_id]
        still_denied = {prompt.asker.key for prompt in self._prompts.values() if prompt.state == "denied"}
        for key in {asker.app, asker.key} - still_denied:
            self._denials.pop(key, None)

    # --- the limits ---------------------------------------------------------------------------------------------------

    def _pending(self, asker: Asker, now: float) -> str:
        """Return the ID of the app's pending request, or an empty string if there is none."""
        pending = ""
        for pairing_id, prompt in self._prompts.items():
            if prompt.asker.key != asker.key or prompt.until <= now or prompt.state == "denied":
                continue
            if prompt.asker.app != asker.app:
                raise TooManyPairings(
                    "Another request from this site is waiting for the user.", retry_after=prompt.until - now
                )
            if prompt.state == "shown":
                pending = pairing_id
        return pending

    def _can_be_replaced(self, asker: Asker, now: float) -> bool:
        return _wait(self._times(asker.key, "replaced"), limit=MAX_REPLACED, seconds=_TEN_MINUTES, now=now) <= 0

    def _cooldown_left(self, key: str, now: float) -> float:
        count, at = self._denials.get(key, (0, 0.0))
        if count == 0:
            return 0.0
        cooldown = min(COOLDOWN_SECONDS * 2.0 ** min(count - 1, 10), MAX_COOLDOWN_SECONDS)
        return at + cooldown - now

    def _hour_left(self, asker: Asker, now: float) -> float:
        wait = _wait(self._times(asker.key), limit=MAX_PER_HOUR, seconds=HOUR, now=now)
        # Without access, an app leaves one prompt of those after a denial to the apps of its site that have access.
        limit = MAX_AFTER_DENIAL - (asker.shares_site and not asker.has_access)
        together = [prompt for prompt in self._prompts.values() if prompt.asker.site == asker.site]
        moments = (now, *(prompt.denied_at + HOUR for prompt in together if prompt.state == "denied"))
        allowed = next(
            moment
            for moment in sorted(moments)
            if moment >= now and _after_denial(together, since=moment - HOUR) < limit
        )
        return max(wait, allowed - now)

    def _check_places(self, asker: Asker, now: float) -> None:
        is_newcomer = self._is_newcomer(asker)
        others = [
            prompt
            for prompt in self._prompts.values()
            if prompt.asker.group == asker.group and prompt.asker.key != asker.key and not prompt.asker.has_access
        ]
        moments = (now, *(prompt.until for prompt in others if prompt.until > now))
        at = next(moment for moment in sorted(moments) if _has_place(others, moment, is_newcomer=is_newcomer))
        if at == now:
            at = self._turn(asker, others, now)
        if at == now:
            return
        if is_newcomer:
            self._turned_away[asker.group].add(asker.key, now)
        raise TooManyPairings(
            "Too many other apps have requested access within the last two minutes.", retry_after=at - now
        )

    def _turn(self, asker: Asker, others: list[_Prompt], now: float) -> float:
        """
        Return when a request may take a place that is free: now, or if it is the last one, some seconds after it has
        become free. Until then, it is for the newcomer that was turned away the least: it was told when to come back,
        and must not lose its turn to those that ask all the time, nor to those that come later.
        """
        freed = max((prompt.until for prompt in others if prompt.until <= now), default=0.0)
        is_last = sum(prompt.until > now for prompt in others) == MAX_PENDING - 1
        turned_away = self._turned_away[asker.group]
        if not is_last or now >= freed + _TURN_SECONDS or not turned_away or turned_away.has_turn(asker.key):
            return now
        return freed + _TURN_SECONDS

    def _is_newcomer(self, asker: Asker) -> bool:
        """Return whether no request of the site was shown within the last hour."""
        return not any(prompt.asker.key == asker.key for prompt in self._prompts.values())

    # --- memory -------------------------------------------------------------------------------------------------------

    def _prompt_of(self, pairing: Pairing, *, at: float) -> _Prompt:
        asker = Asker(identity=pairing.identity, site=pairing.site, name=pairing.name)
        return _Prompt(asker=asker, at=at, is_newcomer=True)

    def _times(self, key: str, state: str | None = None) -> list[float]:
        return [
            prompt.at
            for prompt in self._prompts.values()
            if prompt.asker.key == key and (state is None or prompt.state == state)
        ]

    def _put(self, pairing_id: str, prompt: _Prompt) -> None:
        if pairing_id not in self._prompts and len(self._prompts) >= _MAX_PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        self._prompts[pairing_id] = prompt

    def _forget(self, now: float) -> None:
        for pairing_id in tuple(self._prompts):
            if self._prompts[pairing_id].at > now - HOUR - LIFETIME:  # it may have been denied when it was that old
                return
            del self._prompts[pairing_id]


def _wait(times: list[float], *, limit: int, seconds: float, now: float) -> float:
    """Return the seconds until fewer than ``limit`` of ``times``, in order, are within the last ``seconds``."""
    recent = [at for at in times if at > now - seconds]
    return recent[-limit] + seconds - now if len(recent) >= limit else 0.0


def _after_denial(prompts: list[_Prompt], *, since: float) -> int:
    """Return how many prompts followed the first one that was denied later than ``since``."""
    for number, prompt in enumerate(prompts):
        if prompt.state == "denied" and prompt.denied_at > since:
            return len(prompts) - number - 1
    return 0


def _has_place(others: list[_Prompt], moment: float, *, is_newcomer: bool) -> bool:
    taken = [prompt for prompt in others if prompt.until > moment]
    regulars = sum(not prompt.is_newcomer for prompt in taken)
    return len(taken) < MAX_PENDING and (is_newcomer or regulars < MAX_PENDING - 1)

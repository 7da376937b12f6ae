"""Limits of access requests (threats T26, T27, T62, and T63)."""

from __future__ import annotations

import math
import time

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.pairing_limits import (
    COOLDOWN_SECONDS,
    LIFETIME,
    MAX_AFTER_DENIAL,
    MAX_COOLDOWN_SECONDS,
    MAX_PENDING,
    MAX_PER_HOUR,
    MAX_REPLACED,
    Asker,
    PairingRateLimiter,
)
from upstash_helper.broker.errors import PairingPending, TooManyPairings
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import Approved, Denied, Grant, Pairing, Waiting, Withdrawn


def page(name: str = "https://app.example.com", *, site: str = "domain:example.com") -> Asker:
    return Asker(identity=Identity(kind="web", name=name), site=site)


def program(path: str, *, name: str = "App", **known: bool) -> Asker:
    return Asker(identity=Identity(kind="native", name=path), site="programs:", name=name, **known)


def site(number: int) -> Asker:
    return page(f"https://app-{number}.example", site=f"domain:app-{number}.example")


class Requests:
    """Requests access, and remembers the requests that were shown."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.limits = PairingRateLimiter(clock=self.clock)
        self._number = 0

    def wait(self, asker: Asker) -> float:
        """Return 0 if a request is allowed, otherwise the seconds to wait."""
        try:
            self.limits.count(asker)
            self.limits.check(asker, may_replace=lambda _: False)
        except (PairingPending, TooManyPairings) as error:
            return error.retry_after or math.inf
        return 0.0

    def show(self, asker: Asker, *, replaces: Pairing | None = None) -> Pairing:
        """Record a request as shown."""
        self._number += 1
        now = self.clock.time()
        pairing = Pairing(
            id=f"pairing-{self._number}",
            digest=b"",
            user_code="BCDF-GHJK",
            identity=asker.identity,
            name=asker.name or "App",
            scopes=("databases:read",),
            site=asker.site,
            created_at=now,
            expires_at=now + LIFETIME,
            decision=Waiting(replaces="" if replaces is None else replaces.id),
        )
        self.limits.shown(pairing, asker)
        if replaces is not None:
            self.limits.replaced(replaces)
        return pairing

    def replace(self, pairing: Pairing, asker: Asker) -> Pairing:
        """Replace the pending request, which must be allowed."""
        assert pairing.id == self.limits.check(asker, may_replace=lambda _: True)
        return self.show(asker, replaces=pairing)

    def ask(self, asker: Asker) -> Pairing | None:
        """Request access, and return the request if it was shown."""
        return self.show(asker) if self.wait(asker) == 0 else None

    def deny(self, asker: Asker) -> None:
        """Request access, which must be allowed, and deny it."""
        pairing = self.ask(asker)
        assert pairing is not None
        self.limits.denied(pairing)


def test_t26_sixth_request_within_a_minute_is_refused() -> None:
    """It is allowed exactly when the first request is a minute old."""
    requests = Requests()

    waits = []
    for _ in range(6):
        waits.append(requests.wait(page()))
        requests.clock.advance(5)
    requests.clock.advance(30)

    assert [0, 0, 0, 0, 0, 35] == waits
    assert 0 == requests.wait(page())


def test_t26_request_of_another_sender_is_refused_with_the_pending_one() -> None:
    """The error has the pending request's ID and remaining time."""
    requests = Requests()
    first = requests.show(page())
    requests.clock.advance(LIFETIME - 17.5)

    with pytest.raises(PairingPending) as caught:
        requests.limits.check(page(), may_replace=lambda _: False)

    assert (first.id, 17.5) == (caught.value.pairing_id, caught.value.retry_after)


def test_t26_app_replaces_its_request_a_limited_number_of_times() -> None:
    """After that, the pending one stays. Ten minutes later, its requests can be replaced again."""
    requests = Requests()
    pending = requests.show(page())
    for _ in range(MAX_REPLACED):
        requests.clock.advance(1)
        pending = requests.replace(pending, page())

    with pytest.raises(PairingPending) as caught:
        requests.limits.check(page(), may_replace=lambda _: True)
    requests.clock.advance(600)
    pending = requests.show(page())

    assert LIFETIME == caught.value.retry_after
    assert pending.id == requests.limits.check(page(), may_replace=lambda _: True)


def test_t63_replacing_request_takes_over_the_place() -> None:
    """It neither makes room for another one nor takes a second place, and is not refused for want of one."""
    requests = Requests()
    first = requests.show(site(0))
    requests.show(site(1))
    requests.clock.advance(10)

    requests.replace(first, site(0))
    third = requests.ask(site(2))

    assert third is not None
    assert LIFETIME - 10 == requests.wait(site(3))


def test_t26_scripts_of_one_interpreter_are_told_apart_by_their_names() -> None:
    """A request or a denial of one neither replaces nor delays that of another one; each takes a place."""
    requests = Requests()
    denied, pending = program("/usr/bin/python3", name="Denied"), program("/usr/bin/python3", name="Pending")
    requests.deny(denied)
    first = requests.ask(pending)
    assert first is not None

    replaced = requests.limits.check(program("/usr/bin/python3", name="Other"), may_replace=lambda _: True)
    requests.show(program("/usr/bin/python3", name="Other"))

    assert "" == replaced
    assert COOLDOWN_SECONDS == requests.wait(denied)
    assert first.id == requests.limits.check(pending, may_replace=lambda _: True)
    assert 0 < requests.wait(program("/usr/bin/python3", name="A fourth"))


def test_approval_of_a_script_does_not_end_the_wait_of_another_one() -> None:
    """Both are the same interpreter."""
    requests = Requests()
    denied, wanted = program("/usr/bin/python3", name="Denied"), program("/usr/bin/python3", name="Wanted")
    requests.deny(denied)
    approved = requests.ask(wanted)
    assert approved is not None

    requests.limits.approved(approved)

    assert COOLDOWN_SECONDS == requests.wait(denied)


def test_t26_at_most_three_requests_are_pending_in_total() -> None:
    """A fourth is allowed when the first of them has expired."""
    requests = Requests()
    for number in range(MAX_PENDING):
        requests.show(site(number))
        requests.clock.advance(1)

    assert LIFETIME - MAX_PENDING == requests.wait(site(99))


def test_t27_wait_after_a_denial_doubles_up_to_an_hour() -> None:
    """Each further denial doubles the wait."""
    requests = Requests()

    waits = []
    for _ in range(9):
        requests.deny(page())
        waits.append(requests.wait(page()))
        requests.clock.advance(waits[-1])

    assert [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] == waits
    assert (60, 3600) == (COOLDOWN_SECONDS, MAX_COOLDOWN_SECONDS)


def test_t27_approval_resets_the_wait() -> None:
    """Earlier denials do not count after an approval."""
    requests = Requests()
    for _ in range(3):
        requests.deny(page())
        requests.clock.advance(1000)
    approved = requests.ask(page())
    assert approved is not None

    requests.limits.approved(approved)
    requests.deny(page())

    assert COOLDOWN_SECONDS == requests.wait(page())


def test_t62_approval_of_an_origin_does_not_reset_its_neighbors() -> None:
    """A page on localhost that was denied gets no new prompts because another one was approved."""
    requests = Requests()
    hostile, wanted = page("http://localhost:1", site="loopback:"), page("http://localhost:2", site="loopback:")
    for _ in range(2):
        requests.deny(hostile)
        requests.clock.advance(1000)
    approved = requests.ask(wanted)
    assert approved is not None

    requests.limits.approved(approved)
    requests.deny(hostile)

    assert 4 * COOLDOWN_SECONDS == requests.wait(hostile)


def test_t62_denial_applies_to_the_whole_site() -> None:
    """Another port and another subdomain have to wait, too; another site does not."""
    requests = Requests()

    requests.deny(page())

    assert COOLDOWN_SECONDS == requests.wait(page("https://app.example.com:8443"))
    assert COOLDOWN_SECONDS == requests.wait(page("https://other.example.com"))
    assert 0 == requests.wait(site(1))


def test_t62_programs_have_their_own_cooldowns_and_share_the_prompts_after_a_denial() -> None:
    """The sixth prompt after the denial is an hour later, however many files a program has."""
    requests = Requests()
    for number in range(1 + MAX_AFTER_DENIAL):
        requests.deny(program(f"/opt/copy-{number}"))
        requests.clock.advance(LIFETIME)

    wait = requests.wait(program("/opt/copy-99"))

    assert 3600 - 6 * LIFETIME == wait


def test_t62_one_prompt_is_left_to_an_app_that_has_access() -> None:
    """Others of its site, or other programs, cannot use up all the prompts after a denial."""
    requests = Requests()
    for number in range(MAX_AFTER_DENIAL):
        requests.deny(program(f"/opt/copy-{number}", shares_site=True))
        requests.clock.advance(LIFETIME)

    strange = requests.wait(program("/opt/copy-99", shares_site=True))
    known = requests.wait(program("/usr/bin/known", shares_site=True, has_access=True))

    assert strange > 0
    assert 0 == known


def test_t62_site_that_is_never_denied_causes_ten_prompts_in_an_hour() -> None:
    """Even if the user is away, and every request expires."""
    requests = Requests()
    began, shown = requests.clock.monotonic(), 0
    while (wait := requests.wait(page())) <= LIFETIME:
        if wait == 0:
            requests.show(page())
            shown += 1
        requests.clock.advance(LIFETIME)

    assert MAX_PER_HOUR == shown
    assert 3600 == wait + requests.clock.monotonic() - began


@pytest.mark.parametrize("sites", [256, 10_000])
def test_t63_newcomer_gets_a_place_under_a_flood_of_sites(sites: int) -> None:
    """
    Within one expiry, although each of them withdraws its requests, asks again, and is always faster. Their number does
    not make a request slow.
    """
    requests = Requests()

    def attack(numbers: range) -> None:
        for number in numbers:
            pairing = requests.ask(site(number))
            if pairing is not None:
                requests.limits.withdrawn(pairing)

    began = time.process_time()
    for _ in range(2):
        attack(range(sites))
        requests.clock.advance(30)
    took = (time.process_time() - began) / (2 * sites)
    honest = page()
    wait = requests.wait(honest)
    requests.clock.advance(wait)
    attack(range(0, sites, sites // 256))

    assert 0 < wait <= LIFETIME
    assert requests.ask(honest) is not None
    assert took < 0.001


def test_t63_sites_that_were_shown_cannot_take_the_last_place() -> None:
    """It stays free for a site whose requests were not shown within the last hour."""
    requests = Requests()
    for number in range(3):
        requests.show(site(number))
    requests.clock.advance(LIFETIME)

    again = [requests.ask(site(number)) is not None for number in range(3)]

    assert [True, True, False] == again
    assert 0 == requests.wait(page())


def test_places_are_free_again_when_their_requests_were_approved() -> None:
    """A user who approves one app after the other does not have to wait."""
    requests = Requests()

    for number in range(20):
        pairing = requests.ask(site(number))
        assert pairing is not None
        requests.limits.approved(pairing)


@pytest.mark.parametrize(
    ("decision", "again"),
    [
        (Waiting(), False),
        (Withdrawn(), True),
        (Denied(at=1_790_000_000.0), False),
        (Approved(grant=Grant(scopes=("databases:read",))), True),
    ],
)
def test_t62_requests_of_an_earlier_run_count(
    decision: Waiting | Withdrawn | Denied | Approved, *, again: bool
) -> None:
    """Its own request can be repeated if it was withdrawn or approved; those of its neighbors count against it."""
    before, requests = Requests(), Requests()
    pairing = before.show(page())
    restored = Pairing(**{name: getattr(pairing, name) for name in pairing.__struct_fields__} | {"decision": decision})

    requests.clock.advance(10)
    requests.limits.restore(restored)

    assert again == (requests.wait(page()) == 0)
    assert isinstance(decision, Approved) == (requests.wait(page("https://other.example.com")) == 0)


def test_wait_after_a_denial_in_an_earlier_run_starts_again() -> None:
    """The time between the runs is known only from the wall clock, which may have been changed. Old waits are over."""
    before, requests = Requests(), Requests()
    pairing = before.show(page())
    restored = Pairing(
        **{name: getattr(pairing, name) for name in pairing.__struct_fields__}
        | {"decision": Denied(at=before.clock.time())}
    )
    later = Requests()

    requests.clock.advance(50)
    requests.limits.restore(restored)
    later.clock.advance(600)
    later.limits.restore(restored)

    assert [COOLDOWN_SECONDS, 0] == [requests.wait(page()), later.wait(page())]


def test_number_of_remembered_denials_is_bounded() -> None:
    """Only the most recent denials are kept."""
    requests = Requests()

    for number in range(3000):
        requests.limits.denied(requests.show(site(number)))

    assert 0 == _cooldown(requests, site(0))
    assert COOLDOWN_SECONDS == _cooldown(requests, site(2999))


def _cooldown(requests: Requests, asker: Asker) -> float:
    try:
        requests.limits.check(asker, may_replace=lambda _: False)
    except TooManyPairings as error:
        return (error.retry_after or 0.0) if "denied" in error.detail else 0.0
    return 0.0

"""Redaction: secrets are removed in every encoding, and useful text is kept. Random text has a fixed seed."""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

import pytest

from upstash_helper.system.redaction import REDACTED, Redactor

REDACTOR = Redactor(
    home="/home/ada",
    user="ada",
    host="lovelace.example.org",
    known={"correct horse battery": REDACTED, "abcdefgh-client": "abcd…"},
)

ROOT = Path(__file__).parents[2]

PASSWORD = "AYNgAAIjcDE3YmY5ZTk1"
OPAQUE: Final[dict[str, str]] = {
    "owner token": "uho_" + "k3Jd9s-Q_x7PzLw2" * 2,
    "app token": "uha_" + "k3Jd9s-Q_x7PzLw2" * 2,
    "poll secret": "uhp_" + "k3Jd9s-Q_x7PzLw2" * 2,
    "dashboard ticket": "uht_" + "k3Jd9s-Q_x7PzLw2" * 2,
    "dashboard session": "uhs_" + "k3Jd9s-Q_x7PzLw2" * 2,
    "API key": "0f7a5c1e-6b1d-4b8e-9c1f-2d3e4f506172",
    "REST token": "AYNgASQgYjM4ZmI2MzEtNmY0YS00ZDc5LWI3ZjQtMTk0YmVhYWM2NjA2",
    "database password": PASSWORD,
    "authorization code": "SplxlOBeZQQYbYS6WxSbIA7d2",
    "OAuth state": "af0ifjsldkj3Qz9XbT2mWc",
    "code verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "access token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLWl0LWFsbA",
    "refresh token": "v1.MjQ5ZmY2YmQtNTk5Yy00",
    "hexadecimal": "9f86d081884c7d659a2feaa0c55ad015",
}
"""Secrets without a name in front of them."""

ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "every character": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "plus": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
}

AROUND: Final = (
    "{}",
    "got {}.",
    "event=failed detail={} pid=12",
    '{{"detail": "{}"}}',
    "/callback?x={}&y=1",
    "({})",
    "a:{},b",
)


def shows(text: str, secret: str) -> bool:
    """Return whether a secret, or a useful part of it, can be read from a text."""
    longest = 10
    forms = {make(secret) for make in ENCODINGS.values()}
    return any(form[at : at + longest] in text for form in forms for at in range(len(form) - longest + 1))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("what", OPAQUE)
def test_unnamed_secrets_are_removed(what: str, encoding: str) -> None:
    """
    Every kind of secret, in every encoding and context, without a name in front of it.
    """
    secret = OPAQUE[what]

    for around in AROUND:
        shown = REDACTOR.text(around.format(ENCODINGS[encoding](secret)))

        assert not shows(shown, secret), shown
        assert REDACTED in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2", "hunter2"),
        ("'password': 'hunter two'", "hunter two"),
        ('{"client_secret": "say \\"friend\\" and"}', "friend"),
        ('{\\"api_key\\": \\"short1\\"}', "short1"),
        ("/?code=abc1&state=xyz1", "abc1"),
        ("/?code=abc1&state=xyz1", "xyz1"),
        ("next=%2F%3Fcode%3Dabc1%26state%3Dxyz1", "xyz1"),
        ("next=%252F%253Fcode%253Dabc1", "abc1"),
        ("user_code: BCDF-GHJK", "BCDF-GHJK"),
        ("It shows the code BCDF-GHJK.", "BCDF-GHJK"),
        ("Idempotency-Key: mine-1", "mine-1"),
        ("poll_secret=tiny1", "tiny1"),
        ("access_token=tiny1", "tiny1"),
        ("Authorization: Bearer tiny", "tiny"),
        ("authorization='Basic YTpi'", "YTpi"),
        ("Proxy-Authorization: Digest username=tiny", "tiny"),
        ("sent Basic YTpiY2Rl to it", "YTpiY2Rl"),
        ("Cookie: a=tiny; b=small", "small"),
        ("Set-Cookie: session=tiny1", "tiny1"),
        ("redis://default:tiny@keen-owl-1.upstash.io:6379", "tiny"),
        ("rediss://default:tiny@keen-owl-1.upstash.io:6379", "keen-owl"),
        ("rediss%3A%2F%2Fdefault%3Atiny%40keen-owl-1.upstash.io", "tiny"),
        ("redis://10.1.2.3:6379", "10.1.2.3"),
        ("https://keen-owl-1.upstash.io/get/x", "keen-owl"),
        ("http://ada:tiny@proxy.example:3128/", "tiny"),
        ("ada.lovelace@example.com", "lovelace"),
        ("ada.lovelace%40example.com", "lovelace"),
        ("from Ada <ada.lovelace@mail.example.com>", "lovelace"),
        (base64.b64encode(b"a.lovelace@b.co").decode(), "EubG92ZW"),
        (b"lovelace@b.co".hex(), "6c6f7665"),
        ("/home/ada/.config/x", "ada"),
        ("%2Fhome%2Fada%2F.config", "ada"),
        ("C:\\Users\\x and user Ada on LOVELACE", "LOVELACE"),
        ("user=ada", "ada"),
        ("lovelace.example.org:3000", "lovelace"),
        ("the horse: correct horse battery", "horse battery"),
        ("correct%20horse%20battery", "horse%20"),
        ("correct+horse+battery", "horse+"),
        ("client abcdefgh-client", "efgh"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\nabc\n-----END PRIVATE KEY-----", "MIIB"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB", "MIIB"),
    ],
)
def test_named_and_known_secrets_are_removed(text: str, secret: str) -> None:
    """
    However short: by name, by form, or because the value is known.
    """
    shown = REDACTOR.text(text)

    assert secret.lower() not in shown.lower(), shown


@pytest.mark.parametrize(
    "text",
    [
        "state=connected code=port_busy",
        '{"state": "keyring_locked", "code": 404}',
        "2026-11-26T17:26:20.123Z ready pid=4711 base_url=http://127.0.0.1:3000",
        "Linux 6.8.0-1018-aws on x86_64, Debian GNU/Linux 12 (bookworm)",
        "~/.local/share/upstash-helper/ledger.db.v1.bak",
        "/usr/lib/python3.11/asyncio/base_events.py:653 run_until_complete",
        "org.kde.StatusNotifierWatcher, org.freedesktop.Notifications",
        "SQLITE_IOERR_SHMOPEN SSLCertVerificationError StoreUnavailable",
        "auth.upstash.com:443 can be reached; TLSv1.3, a certificate of Let's Encrypt, R11",
        "[::1]:3000 belongs to node (process 12345)",
        'port_policy = "on-demand"    (from: UPSTASH_HELPER_PORT_POLICY)',
        "secretstorage 3.5.0, typing_extensions 4.12.2, charset-normalizer 3.4.1",
        "GET /v1/databases/{id}/credentials 200 in 12.5 ms",
        "max_length=12_288 journal_size_limit=1048576",
    ],
)
def test_useful_text_is_kept(text: str) -> None:
    """
    Versions, addresses, error codes, and timestamps stay in a report.
    """
    assert text == REDACTOR.text(text)


def test_email_addresses_keep_their_domain() -> None:
    """
    The domain may be what matters.
    """
    assert "connected as g***@example.com" == REDACTOR.text("connected as grace@example.com")


def test_known_value_can_be_shortened() -> None:
    """
    The beginning of a client ID identifies it.
    """
    assert "client_id = abcd…" == REDACTOR.text("client_id = abcdefgh-client")


def test_json_fields_are_redacted_by_name() -> None:
    """
    At any depth of JSON; keys are redacted as well.
    """
    event = {
        "a": [{"password": "x y", "state": "connected"}],
        "grace@example.com": {"token": ["t1"]},
        "n": 1,
        "z": None,
    }

    shown = REDACTOR.value(event)

    assert {
        "a": [{"password": REDACTED, "state": "connected"}],
        "g***@example.com": {"token": [REDACTED]},
        "n": 1,
        "z": None,
    } == shown


# --- properties -------------------------------------------------------------------------------------------------------


def made_secrets(rng: random.Random) -> list[str]:
    """Generate secrets as programs do."""
    data = rng.randbytes(32)
    letters = string.ascii_letters + string.digits
    return [
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        base64.b64encode(data).decode(),
        base64.b32encode(data).decode(),
        data.hex(),
        str(uuid.UUID(bytes=data[:16])),
        "".join(rng.choices(letters, k=40)),
        "".join(rng.choices(string.ascii_lowercase + string.digits, k=40)),
    ]


def test_random_secrets_are_removed() -> None:
    """
    Two thousand secrets, generated in seven ways, in every encoding, in a line of a log.
    """
    rng = random.Random(20_261_126)
    missed = []
    for _ in range(300):
        for secret in made_secrets(rng):
            encoded = rng.choice(list(ENCODINGS.values()))(secret)
            text = rng.choice(AROUND).format(encoded)
            shown = REDACTOR.text(text)
            if shows(shown, secret):
                missed.append((text, shown))

    assert [] == missed


def test_known_secrets_are_removed_in_every_encoding() -> None:
    """
    Whatever characters they contain, and whatever they are joined to before they are encoded.
    """
    rng = random.Random(7)
    alphabet = string.ascii_letters + string.digits + " äß€&=+/%-_.:@"
    for _ in range(500):
        secret = "".join(rng.choices(alphabet, k=rng.randint(8, 40)))
        redactor = Redactor(known={secret: REDACTED})
        before, after = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(0, 4))) for _ in range(2))
        for make in (str, quote, quote_plus, lambda text: quote(text, safe="")):
            assert make(secret) not in redactor.text(f"x {make(secret)} y")
        whole = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
        assert whole not in redactor.text(f"x {whole} y")


def test_redacting_twice_changes_nothing() -> None:
    """
    Redacted text contains nothing to redact.
    """
    rng = random.Random(3)
    for _ in range(300):
        parts = [rng.choice(AROUND).format(rng.choice([*OPAQUE.values(), "word", "a@b.example"])) for _ in range(4)]
        names = [f"{rng.choice(['password', 'code', 'token', 'x'])}{rng.choice('=:')}{part}" for part in parts]
        once = REDACTOR.text(" ".join(names))
        assert once == REDACTOR.text(once)


def test_redaction_keeps_lines_apart() -> None:
    """
    Nothing is removed across the end of a line, except private keys, which have several lines.
    """
    lines = [f"{name}: {value}" for name, value in OPAQUE.items()] + ["Cookie: a=b", 'password="open', "end"]

    assert len(lines) == len(REDACTOR.text("\n".join(lines)).splitlines())


def test_redaction_takes_linear_time() -> None:
    """
    Hostile text does not delay the report: no pattern backtracks over it.
    """
    for text in (
        "a" * 200_000,
        "%" * 100_000,
        "code=" * 40_000,
        "a@" * 50_000,
        "://" * 50_000,
        "-" * 100_000,
        '"' * 100_000,
    ):
        assert isinstance(REDACTOR.text(text), str)

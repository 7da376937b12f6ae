"""JSON Web Tokens signed with the sandbox's key (RFC 7519; RS256, like Auth0)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from upstash_helper.sandbox.store import KeyValues

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_KEY_NAME = "token_signing_key"


class TokenSigner:
    """Signs tokens. The key is generated once per data folder, when it is first needed."""

    def __init__(self, values: KeyValues) -> None:
        self._values = values
        self._key: RSAPrivateKey | None = None

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a signed token with these claims."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        header = {"alg": "RS256", "typ": "JWT", "kid": self._key_id()}
        signed = ".".join(_encode(msgspec.json.encode(part)) for part in (header, claims))
        signature = self._private_key().sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{_encode(signature)}"

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set (RFC 7517)."""
        numbers = self._private_key().public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._key_id(),
            "n": _encode(_to_bytes(numbers.n)),
            "e": _encode(_to_bytes(numbers.e)),
        }
        return {"keys": [key]}

    def _key_id(self) -> str:
        numbers = self._private_key().public_key().public_numbers()
        return hashlib.sha256(_to_bytes(numbers.n)).hexdigest()[:16]

    def _private_key(self) -> RSAPrivateKey:
        if self._key is None:
            self._key = self._load() or self._generate()
        return self._key

    def _load(self) -> RSAPrivateKey | None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        stored = self._values.get(_KEY_NAME)
        key = load_pem_private_key(stored.encode(), None) if stored else None
        return key if isinstance(key, RSAPrivateKey) else None

    def _generate(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._values.put(_KEY_NAME, pem.decode())
        return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")

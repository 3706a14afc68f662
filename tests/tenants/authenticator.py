"""A device that makes and uses passkeys as a browser would let it, in pure Python (WebAuthn §6)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG
APEX_ORIGIN = "http://localhost:8000"


@dataclass
class Device:
    """One passkey; `origin` is the page that the browser says it is on."""

    origin: str = APEX_ORIGIN
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: os.urandom(16))
    user: str = ""

    def create(self, options: dict[str, Any]) -> str:
        """The answer to a page's creation options, as its form posts it."""
        asked = options["publicKey"]
        self.user = asked["user"]["id"]
        public = ES256.from_cryptography_key(self.key.public_key())
        attested = AttestedCredentialData.create(bytes(16), self.id, public)
        data = self._data(asked["rp"]["id"], FLAG.UP | FLAG.UV | FLAG.AT, attested)
        client = self._client("webauthn.create", asked["challenge"])
        attestation = AttestationObject.create("none", data, {})
        return self._credential(
            clientDataJSON=client, attestationObject=bytes(attestation), transports=["internal"]
        )

    def get(self, options: dict[str, Any]) -> str:
        """The answer to a page's request options."""
        asked = options["publicKey"]
        data = self._data(asked["rpId"], FLAG.UP | FLAG.UV, b"")
        client = self._client("webauthn.get", asked["challenge"])
        signed = bytes(data) + hashlib.sha256(client).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._credential(
            clientDataJSON=client,
            authenticatorData=bytes(data),
            signature=signature,
            userHandle=websafe_decode(self.user),
        )

    def _data(self, rp: str, flags: Any, attested: bytes) -> Any:
        return AuthenticatorData.create(hashlib.sha256(rp.encode()).digest(), flags, 0, attested)

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _credential(self, **response: Any) -> str:
        written = {
            name: websafe_encode(value) if isinstance(value, bytes) else value
            for name, value in response.items()
        }
        its_id = websafe_encode(self.id)
        answer = {"id": its_id, "rawId": its_id, "type": "public-key", "response": written}
        return json.dumps({**answer, "clientExtensionResults": {"credProps": {"rk": True}}})

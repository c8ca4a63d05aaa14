"""TLS to a member that has proved that it knows the client's token.

Members' certificates are nobody's word for anything: whoever is at the other end must show by a MAC of the very
certificate of this connection that it knows what the peer set keeps of the token. A man in the middle has another
certificate and cannot make that MAC. The token itself is sent by nothing in here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import socket
import ssl
from typing import Any, Callable

import msgpack  # type: ignore[import-untyped]

_PREFIX = "rafty-client1-"
_SECRET_LEN = 32
_CHECKSUM_LEN = 3
_TEXT_LEN = (_SECRET_LEN + _CHECKSUM_LEN) // 5 * 8
_MAX_PROOF_REPLY_LEN = 4 * 1024
"""Longest reply to a request for a proof."""


class NotProved(Exception):
    """Whoever is at the other end has not proved to be a member. The token was not sent."""


class RefusedBefore(Exception):
    """It said why not before the token was sent: a word for programs, and words for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Secure:
    """How a client with a token, as `rafty client create` printed it, reaches members."""

    def __init__(self, token: str) -> None:
        self.token = token.strip()
        secret = _secret(self.token)
        self._id = _derive(secret, "rafty client token id v1")[:16]
        self._server_key = _derive(secret, "rafty client token server key v1")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The certificate is judged by the proof.
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def open(self, stream: socket.socket, limit: Callable[[socket.socket], None]) -> ssl.SSLSocket:
        """Shakes hands and asks for the proof. `limit` sets how long the next step may take."""
        try:
            limit(stream)
            sealed = self._context.wrap_socket(stream)
        except BaseException:
            stream.close()
            raise
        try:
            limit(sealed)
            sealed.sendall(msgpack.packb({"type": "proof", "client": self._id, "keep": True}))
            reply = _one_map(sealed, limit)
            if not self.is_proved(reply.get("value"), sealed.getpeercert(binary_form=True)):
                if reply.get("type") == "error":
                    raise RefusedBefore(str(reply.get("error", "")), str(reply.get("detail", "")))
                raise NotProved("it does not prove to be a member that knows the token, which was not sent")
        except BaseException:
            sealed.close()
            raise
        return sealed

    def is_proved(self, proof: Any, certificate: Any) -> bool:
        """Whether whoever showed this certificate, in DER, knows what the peer set keeps of the token."""
        if not isinstance(proof, bytes) or not isinstance(certificate, bytes):
            return False
        message = b"rafty client port certificate v1" + hashlib.sha256(certificate).digest()
        return hmac.compare_digest(hmac.digest(self._server_key, message, "sha256"), proof)

    def __repr__(self) -> str:
        return "Secure(…)"


def _secret(text: str) -> bytes:
    if not text.startswith(_PREFIX):
        raise ValueError(f"this is not a client's token: it starts with {_PREFIX!r}")
    encoded = text[len(_PREFIX) :]
    if len(encoded) != _TEXT_LEN:
        raise ValueError(f"a client's token has {_TEXT_LEN} characters behind {_PREFIX!r}, this one {len(encoded)}")
    typo = "there is a typing error in the client's token; copy it instead of typing it"
    if encoded != encoded.lower():
        raise ValueError(typo)
    try:
        data = base64.b32decode(encoded.upper())
    except (binascii.Error, ValueError):
        raise ValueError(typo) from None
    secret = data[:_SECRET_LEN]
    if _derive(secret, "rafty client token checksum v1")[:_CHECKSUM_LEN] != data[_SECRET_LEN:]:
        raise ValueError(typo)
    return secret


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, purpose.encode(), "sha256")


def _one_map(stream: ssl.SSLSocket, limit: Callable[[socket.socket], None]) -> Any:
    unpacker = msgpack.Unpacker(max_buffer_size=_MAX_PROOF_REPLY_LEN, strict_map_key=False)
    try:
        while True:
            limit(stream)
            chunk = stream.recv(256)
            if not chunk:
                raise NotProved("the connection ended before the proof came")
            unpacker.feed(chunk)
            for reply in unpacker:
                return reply if isinstance(reply, dict) else {}
    except (ValueError, TypeError, msgpack.UnpackException) as why:
        if isinstance(why, OSError):
            raise
        raise NotProved(f"what came is no proof: {why}") from why

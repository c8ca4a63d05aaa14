"""One request to one member, and its reply: a connection each, in clear or, with a token, over TLS.

It reads to the end of the stream, since a member closes behind its reply. It does not judge what the reply says.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Dict, Optional, Tuple

import msgpack  # type: ignore[import-untyped]

from ._course import Address
from ._secure import NotProved, Secure

_MAX_REPLY_LEN = 128 * 1024 * 1024
"""Longest reply: all that a dictionary may hold, and its frame."""
_CHUNK = 256 * 1024

MALFORMED = (ValueError, TypeError, msgpack.UnpackException)
"""What msgpack raises about bytes that it cannot read."""


class NotSent(Exception):
    """The member cannot have read the whole request."""


class NoReply(Exception):
    """The member may have read the request, and did not answer."""


def exchange(
    member: Address,
    request: bytes,
    secure: Optional[Secure],
    connect_within: float,
    first_within: float,
    answer_within: float,
) -> bytes:
    """Sends a request and waits for its reply, one whole MessagePack value, and for its first byte not as long."""
    host, port = member
    try:
        stream = socket.create_connection(member, timeout=max(connect_within, 0.001))
        # Small writes follow each other, and must not wait for the answer to the first one.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as why:
        raise NotSent(f"{host}:{port}: {why}") from why
    deadline = time.monotonic() + answer_within
    if secure is not None:
        try:
            stream = secure.open(stream, lambda opening: _limit(opening, deadline))
        except (OSError, NotProved) as why:
            raise NotSent(f"{host}:{port}: {why}") from why
    with stream:
        unsent = _send(stream, request, deadline)
        # A member that turns a client away says so without reading the request.
        reply, broken = _receive(stream, min(deadline, time.monotonic() + first_within), deadline)
    if is_whole(reply):
        return reply
    if unsent is not None:
        raise NotSent(f"{host}:{port}: {unsent}")
    raise NoReply(f"{host}:{port}: {broken or 'the connection ended before the reply did'}")


def is_whole(data: bytes) -> bool:
    """Whether this is one MessagePack value, and nothing else."""
    unpacker = _unpacker(data)
    try:
        unpacker.skip()
        return bool(unpacker.tell() == len(data))
    except MALFORMED:
        return False


def split_map(data: bytes) -> Dict[str, bytes]:
    """The fields of a map, each with its exact bytes."""
    unpacker = _unpacker(data)
    fields = {}
    for _ in range(unpacker.read_map_header()):
        name = unpacker.unpack()
        if not isinstance(name, str):
            raise ValueError("a key is no str")
        start = unpacker.tell()
        unpacker.skip()
        fields[name] = bytes(data[start : unpacker.tell()])
    return fields


def unpack(data: bytes) -> Any:
    """Reads one value."""
    return msgpack.unpackb(data, strict_map_key=False)


def _unpacker(data: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(max_buffer_size=_MAX_REPLY_LEN + _CHUNK, strict_map_key=False)
    unpacker.feed(data)
    return unpacker


def _send(stream: socket.socket, request: bytes, deadline: float) -> Optional[OSError]:
    try:
        _limit(stream, deadline)
        stream.sendall(request)
    except OSError as why:
        return why
    return None


def _receive(stream: socket.socket, first: float, deadline: float) -> Tuple[bytes, Optional[OSError]]:
    """What came until the end of the stream, and why it broke off, if it did."""
    reply = bytearray()
    try:
        while len(reply) <= _MAX_REPLY_LEN:
            _limit(stream, deadline if reply else first)
            chunk = stream.recv(_CHUNK)
            if not chunk:
                break
            reply += chunk
    except OSError as why:
        return bytes(reply), why
    return bytes(reply), None


def _limit(stream: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("no answer in time")
    stream.settimeout(left)

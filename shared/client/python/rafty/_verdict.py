"""What a member's reply means for the request it answers."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ._course import Address
from ._exchange import MALFORMED, split_map, unpack
from ._members import parse

_PASSING = {"no_leader", "busy", "stopping", "timeout", "change_pending"}
"""Codes that pass by themselves: nothing was changed, and trying again may help."""


class Kind(Enum):
    """What one try came to."""

    ANSWER = auto()
    """The reply that was asked for."""
    REDIRECT = auto()
    """Ask the leader. Nothing was changed."""
    NOT_NOW = auto()
    """Try again. Nothing was changed."""
    REFUSED = auto()
    """Trying again is of no use. Nothing was changed by this try."""
    NOT_SENT = auto()
    """The member cannot have read it. Nothing was changed."""
    UNCLEAR = auto()
    """What became of it is not known."""


class Verdict(NamedTuple):
    """What to make of one try."""

    kind: Kind
    detail: str = ""
    code: str = ""
    leader: Optional[Address] = None
    reply: bytes = b""


def judge(message: Mapping[str, Any], reply: bytes) -> Verdict:
    """Judges a reply by what was asked: entries may have any names, so theirs must not be taken for a reply's."""
    try:
        fields = split_map(reply)
        if _is_answer(message, fields, reply):
            return Verdict(Kind.ANSWER, reply=reply)
        said = {name: unpack(fields[name]) for name in ("type", "error", "detail", "leader") if name in fields}
        if said.get("type") == "redirect":
            return Verdict(Kind.REDIRECT, leader=parse(tuple(said["leader"])))
        if said.get("type") in ("result", "error"):
            return failed(str(said.get("error", "")), str(said.get("detail", "")))
    except (*MALFORMED, KeyError):
        pass
    return Verdict(Kind.UNCLEAR, "what came back is no answer to the request")


def entries_of(reply: bytes) -> Tuple[Dict[str, bytes], bool]:
    """The entries of a reply with all of them, the members under `cluster`, and whether they are stale.

    A member of an older kind sends them bare, and does not say that they are stale.
    """
    fields = split_map(reply)
    if "cluster" not in fields and unpack(fields["type"]) == "entries":
        return split_map(fields["entries"]), bool(unpack(fields.get("stale", b"\xc2")))
    return fields, False


def cluster_of(fields: Mapping[str, bytes]) -> List[Address]:
    """The members that a reply with every entry names."""
    return [parse(tuple(member)) for member in unpack(fields["cluster"])]


def _is_answer(message: Mapping[str, Any], fields: Mapping[str, bytes], reply: bytes) -> bool:
    kind = message.get("type")
    if kind == "get" and message.get("key") is None:
        # Entries may have any name, but only bare ones have the members among them.
        if "cluster" in fields:
            return bool(cluster_of(fields))
        return unpack(fields["type"]) == "entries" and bool(cluster_of(entries_of(reply)[0]))
    if kind == "diagnostic":
        return "status" in fields
    expected = {"get": "value", "query": "value", "config": "result", "session": "session"}.get(str(kind))
    if kind == "append":
        expected = "value" if message.get("data", {}).get("action") == "command" else "result"
    if expected is None or unpack(fields.get("type", b"\xc0")) != expected:
        return False
    return expected != "result" or unpack(fields.get("success", b"\xc2")) is True


def failed(code: str, detail: str) -> Verdict:
    """What a word of refusal means."""
    if code == "unknown_outcome":
        return Verdict(Kind.UNCLEAR, detail)
    if code == "tls_required":
        # A member on another machine has not read what came in clear. One on this machine does.
        return Verdict(Kind.NOT_SENT, detail)
    return Verdict(Kind.NOT_NOW if code in _PASSING else Kind.REFUSED, detail, code)

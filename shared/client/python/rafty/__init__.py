"""Clients of rafty's replicated dictionary, over TCP and MessagePack.

`DistributedDict` is the dictionary as if it were here; `ClusterClient` asks any member anything. With a
token both reach members of other machines, over TLS. Nothing here keeps a connection between two requests, or joins the
peer set; without a token nothing is encrypted or authenticated.
"""

from ._client import ClusterClient, Session, State
from ._course import Limits
from ._dictionary import DistributedDict
from ._errors import NoLeader, NoQuorum, RaftyError, Refused, UnknownOutcome, Unreachable
from ._refresh import Always, Count, Lock, RefreshPolicy, Time

__all__ = [
    "Always",
    "ClusterClient",
    "Count",
    "DistributedDict",
    "Limits",
    "Lock",
    "NoLeader",
    "NoQuorum",
    "RaftyError",
    "RefreshPolicy",
    "Refused",
    "Session",
    "State",
    "Time",
    "UnknownOutcome",
    "Unreachable",
]

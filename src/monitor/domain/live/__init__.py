"""
The live feed without sockets: ordered messages, a ring to resume from, and the frames of clients.

A *feed* is one sequence of messages, named by its ``epoch`` and counted by ``seq`` from 1, shared by all processes.
Alerts, anomalies and health changes each take the next number. A snapshot, a metrics update and a heartbeat take none:
each repeats the last number of its socket. So on one socket ``seq`` never falls, and a client resumes from the last one
it received, in a frame of any type.

A client without a filter gets every number. One with a filter gets numbers with gaps where messages were filtered out;
a gap is never a loss, since a server that cannot send a message closes the socket.
"""

from monitor.domain.live.messages import Encode, FeedEntry, Message, MessageKind
from monitor.domain.live.reader import NO_FILTER, Filter, Reader
from monitor.domain.live.session import Resume, Session, SocketGrant, Subscribe, UnknownFrame
from monitor.domain.live.stream import FeedTail, Position, Stream

__all__ = [
    "NO_FILTER",
    "Encode",
    "FeedEntry",
    "FeedTail",
    "Filter",
    "Message",
    "MessageKind",
    "Position",
    "Reader",
    "Resume",
    "Session",
    "SocketGrant",
    "Stream",
    "Subscribe",
    "UnknownFrame",
]

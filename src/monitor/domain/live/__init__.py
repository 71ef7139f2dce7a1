"""
The live feed, without sockets: messages in one order, a ring to resume from, and what a client may send.

A *feed* is one sequence of messages, named by its ``epoch`` and counted by ``seq`` from 1, shared by all processes.
Alerts, anomalies and health changes each take the next number. A snapshot, a metrics update and a heartbeat take none:
they repeat the last number that their socket was sent. So on one socket ``seq`` never falls, and a client resumes from
the last one it received, on whatever frame.

A client without a filter gets every number. One with a filter gets numbers with gaps where messages were filtered out;
a gap is never a loss, since a server that cannot send a message closes the socket instead of leaving it out.
"""

from monitor.domain.live.messages import Encode, FeedEntry, Kind, Message
from monitor.domain.live.reader import EVERYTHING, Filter, Reader
from monitor.domain.live.session import Resume, Session, SocketGrant, Subscribe, UnknownFrame
from monitor.domain.live.stream import Position, Stream, Tail

__all__ = [
    "EVERYTHING",
    "Encode",
    "FeedEntry",
    "Filter",
    "Kind",
    "Message",
    "Position",
    "Reader",
    "Resume",
    "Session",
    "SocketGrant",
    "Stream",
    "Subscribe",
    "Tail",
    "UnknownFrame",
]

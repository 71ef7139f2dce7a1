"""
The live feed, without sockets: messages in one order, a ring to resume from, and what a client may say.

A *feed* is one sequence of messages, named by its ``epoch`` and counted by ``seq`` from 1, shared by all processes.
Alerts, anomalies and health changes each take the next number. A snapshot, a metrics update and a heartbeat take none:
they repeat the number up to which their socket has been told everything. So on one socket ``seq`` never falls, and a
client resumes from the last one it saw, on whatever frame.

A client without a filter sees every number. One with a filter sees numbers jump over what it did not ask for; a jump is
never a loss, since a server that cannot send a message closes the socket instead of leaving it out.
"""

from monitor.domain.live.messages import FeedEntry, Kind, Message, seal, seal_error, text_frame
from monitor.domain.live.reader import EVERYTHING, Filter, Reader
from monitor.domain.live.session import CloseCode, Resume, Session, SocketGrant, Subscribe, UnknownFrame, close_code_of
from monitor.domain.live.stream import Position, Stream, Tail

__all__ = [
    "EVERYTHING",
    "CloseCode",
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
    "close_code_of",
    "seal",
    "seal_error",
    "text_frame",
]

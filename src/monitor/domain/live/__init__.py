"""
The live feed without sockets: ordered messages, a ring to resume from, and the frames of clients.

A *feed* is one sequence of messages, named by its ``epoch`` and counted by ``seq`` from 1, shared by all processes.
Alerts, anomalies and health changes each take the next number. A snapshot, a metrics update and a heartbeat take none:
each repeats the number up to which its socket is complete. So on one socket ``seq`` never falls, and a client resumes
from the ``seq`` of its last frame of any type.

A client without a filter gets every number. With a filter the numbers jump over messages that it excludes; a jump is
never a loss, since a server that cannot send a message closes the socket.
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

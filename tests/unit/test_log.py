"""Logs: one form for all, and no secrets in it."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog

from monitor import log

CANARY = "canary5f2e"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ." + CANARY


class Written:
    """What went to standard error since the test began."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """Standard error; leaves the logging of other tests as it was."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield Written(capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
    structlog.contextvars.clear_contextvars()


def lines(stream: Written) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_call_is_one_json_line_with_utc_time_and_level(written: Written) -> None:
    log.configure("info", "json")
    structlog.get_logger("t").info("delivery_settled", delivery_id="d1")
    (line,) = lines(written)
    assert (line["event"], line["level"], line["delivery_id"]) == ("delivery_settled", "info", "d1")
    assert line["timestamp"].endswith("Z")


def test_configuring_twice_does_not_write_twice(written: Written) -> None:
    log.configure("info", "json")
    log.configure("info", "json")
    logging.getLogger("alembic").warning("once")
    assert len(lines(written)) == 1


def test_what_is_bound_to_the_context_is_on_the_line(written: Written) -> None:
    log.configure("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("t").info("request")
    assert lines(written)[0]["request_id"] == "r1"


def test_lines_below_the_level_are_not_written(written: Written) -> None:
    log.configure("warning", "json")
    structlog.get_logger("t").info("quiet")
    structlog.get_logger("t").warning("loud")
    assert [line["event"] for line in lines(written)] == ["loud"]


def test_libraries_write_in_the_same_form(written: Written) -> None:
    log.configure("info", "json")
    logging.getLogger("uvicorn.error").warning("took %d s", 3)
    assert lines(written)[0]["event"] == "took 3 s"


@pytest.mark.parametrize("name", ["uvicorn.access", "sqlalchemy.engine"])
def test_what_prints_query_strings_and_parameters_is_silent(written: Written, name: str) -> None:
    log.configure("debug", "json")
    logging.getLogger(name).info("GET /ws?token=%s", CANARY)
    assert written.getvalue() == ""


def test_without_a_terminal_auto_means_json(written: Written) -> None:
    log.configure("info", "auto")
    structlog.get_logger("t").info("started")
    assert lines(written)[0]["event"] == "started"


def test_the_console_is_not_json(written: Written) -> None:
    log.configure("info", "console")
    structlog.get_logger("t").info("started")
    assert "started" in written.getvalue()
    assert not written.getvalue().startswith("{")


@pytest.mark.parametrize("name", ["authorization", "token", "secret", "password", "key", "payload", "body", "dsn"])
def test_a_value_under_a_telling_name_is_masked(written: Written, name: str) -> None:
    log.configure("info", "json")
    structlog.get_logger("t").info("x", **{name: CANARY})
    assert lines(written)[0][name] == log.MASKED


@pytest.mark.parametrize(
    "text",
    [
        f"secret whsec_{CANARY}AAAA= was used",
        f"token {JWT} expired",
        f"connect to postgresql://monitor:{CANARY}@db/monitor failed",
        f"sent Bearer {CANARY}",
    ],
)
def test_a_secret_inside_a_text_is_masked_and_the_rest_stays(written: Written, text: str) -> None:
    log.configure("info", "json")
    structlog.get_logger("t").info("x", detail=text)
    logging.getLogger("asyncpg").warning(text)
    assert CANARY not in written.getvalue()
    assert all(line.get("detail", line["event"]).startswith(text[:5]) for line in lines(written))


def test_a_traceback_is_masked_in_json(written: Written) -> None:
    log.configure("info", "json")
    structlog.get_logger("t").error("failed", exc_info=ValueError(f"bad whsec_{CANARY}"))
    (line,) = lines(written)
    assert "ValueError" in line["exception"]
    assert CANARY not in written.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "values",
    [
        {"data": {"deep": [{"token": CANARY}]}},
        {"items": [f"whsec_{CANARY}"]},
        {"api_key": CANARY},
        {"access_token": CANARY},
        {"set-cookie": CANARY},
        {"raw": CANARY.encode()},
        {"pem": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
        {"error": ValueError(f"whsec_{CANARY}")},
    ],
    ids=lambda values: next(iter(values)),
)
def test_secrets_are_masked_at_every_depth(written: Written, style: Any, values: dict[str, Any]) -> None:
    log.configure("info", style)
    structlog.get_logger("t").info("x", **values)
    assert written.getvalue()
    assert CANARY not in written.getvalue()


def test_numbers_under_a_telling_name_stay(written: Written) -> None:
    log.configure("info", "json")
    structlog.get_logger("t").info("x", body_bytes=12, keys=3)
    assert (lines(written)[0]["body_bytes"], lines(written)[0]["keys"]) == (12, 3)


def test_a_traceback_on_the_console_shows_neither_secrets_nor_local_variables(written: Written) -> None:
    log.configure("info", "console")
    failure = raised(CANARY)
    structlog.get_logger("t").error("failed", exc_info=failure)
    assert "ValueError" in written.getvalue()
    assert CANARY not in written.getvalue()


def raised(local: str) -> ValueError:
    """An error with a traceback through a frame that holds *local*."""
    try:
        int(f"whsec_{local}")
    except ValueError as error:
        return error
    raise AssertionError


# Requests and attempts -------------------------------------------------------------------------------------------


class Line(msgspec.Struct):
    """A line as requests and attempts have it."""

    number: int
    timestamp: str = "2027-01-15T08:00:00Z"
    event: str = "counted"
    level: str = "info"


class Writes(io.BytesIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.each: list[bytes] = []

    def write(self, data: Any, /) -> int:
        self.each.append(bytes(data))
        return len(data)


async def test_lines_are_gathered_and_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "GATHER_S", 0.0)
    writes = Writes()
    line_log = log.LineLog(log.LogStream(writes), style="json")
    line_log.write([Line(1)])
    line_log.write([Line(2), Line(3)])
    assert writes.each == []
    while not writes.each:
        await asyncio.sleep(0)
    assert [json.loads(line)["number"] for line in b"".join(writes.each).splitlines()] == [1, 2, 3]
    assert len(writes.each) == 1


async def test_many_lines_do_not_wait() -> None:
    writes = Writes()
    line_log = log.LineLog(log.LogStream(writes), style="json")
    while not writes.each:
        line_log.write([Line(1)])
    assert log.GATHER_BYTES < len(writes.each[0]) < log.GATHER_BYTES + 1000
    line_log.flush()
    assert len(writes.each) == 1


async def test_in_a_terminal_lines_go_through_the_general_logger(written: Written) -> None:
    stream = log.configure("info", "console")
    log.line_log(stream, "info", "console").write([Line(7)])
    text = written.getvalue()
    assert "counted" in text
    assert "number" in text


async def test_a_level_above_info_writes_no_lines(written: Written) -> None:
    line_log = log.line_log(log.configure("warning", "json"), "warning", "json")
    line_log.write([Line(1)])
    line_log.flush()
    assert written.getvalue() == ""


# A log that cannot be written ------------------------------------------------------------------------------------


class Broken(io.RawIOBase):
    """A stream whose disk is full, or whose reader is gone."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def writable(self) -> bool:
        return True

    def write(self, _data: Any, /) -> int:
        raise self._error


class Slow(io.RawIOBase):
    """Takes three bytes of a write."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def write(self, data: Any, /) -> int:
        self.taken += bytes(data[:3])
        return min(3, len(data))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError()])
def test_a_line_that_cannot_be_written_is_counted_and_raises_nothing(error: OSError) -> None:
    stream = log.LogStream(Broken(error))  # type: ignore[arg-type]
    stream.write("a line\n")
    stream.write(b"another\n")
    stream.flush()
    assert stream.dropped == 2


def test_a_closed_stream_raises_nothing() -> None:
    beneath = io.BytesIO()
    beneath.close()
    stream = log.LogStream(beneath)
    stream.write("a line\n")
    assert stream.dropped == 1


def test_what_is_written_in_parts_arrives_whole() -> None:
    slow = Slow()
    log.LogStream(slow).write("grüße\n")  # type: ignore[arg-type]
    assert slow.taken.decode() == "grüße\n"

"""URLs of several hosts."""

from __future__ import annotations

import pytest

from monitor.adapters.postgres.engine import describe
from monitor.adapters.postgres.hosts import host_urls


@pytest.mark.parametrize(
    ("dsn", "urls"),
    [
        ("postgresql://u:p@h:1/db?sslmode=require", ["postgresql://u:p@h:1/db?sslmode=require"]),
        ("postgresql:///db?host=/run/postgresql", ["postgresql:///db?host=/run/postgresql"]),
        (
            "postgresql://u:p%40@h1:1,[::1],h2/db",
            [
                "postgresql://u:p%40@h1:1/db?target_session_attrs=read-write",
                "postgresql://u:p%40@[::1]/db?target_session_attrs=read-write",
                "postgresql://u:p%40@h2/db?target_session_attrs=read-write",
            ],
        ),
        (
            "postgresql://h1,h2/db?target_session_attrs=any",
            [
                "postgresql://h1/db?target_session_attrs=any",
                "postgresql://h2/db?target_session_attrs=any",
            ],
        ),
        (
            "postgresql://h1,h2/db?target_session_attrs=prefer-standby",
            [
                "postgresql://h1/db?target_session_attrs=standby",
                "postgresql://h2/db?target_session_attrs=standby",
            ],
        ),
        (
            "postgresql:///db?host=h1,h2&port=1,2",
            [
                "postgresql:///db?host=h1&port=1&target_session_attrs=read-write",
                "postgresql:///db?host=h2&port=2&target_session_attrs=read-write",
            ],
        ),
        (
            "postgresql:///db?host=h1,h2&port=1",
            [
                "postgresql:///db?host=h1&port=1&target_session_attrs=read-write",
                "postgresql:///db?host=h2&port=1&target_session_attrs=read-write",
            ],
        ),
    ],
)
def test_each_host_has_a_url_of_its_own(dsn: str, urls: list[str]) -> None:
    assert list(host_urls(dsn, "read-write")) == urls


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgresql+asyncpg://u:secret@h1:5432,[::1]:5433,h2/db", "h1:5432,[::1]:5433,h2/db"),
        ("postgresql://u:secret@h/db", "h/db"),
        ("postgresql:///db?host=/run/postgresql&user=u&password=secret", "/run/postgresql/db"),
        ("postgresql:///db?host=h1,h2&port=1,2", "h1:1,h2:2/db"),
        ("postgresql:///db", "local socket/db"),
    ],
)
def test_a_description_has_every_host_and_no_password(dsn: str, words: str) -> None:
    assert describe(dsn) == words

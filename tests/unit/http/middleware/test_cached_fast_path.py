"""Answers of cached views: the long way through the framework and the hot path in front of it, which must be alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from monitor.auth.tokens import TokenVerifier
from monitor.domain.digest import body_digest
from monitor.domain.vocab import Role
from monitor.http.middleware.cached_fast_path import MAX_TARGET_BYTES, MAX_TARGETS
from monitor.http.responses.conditional import entity_tag
from tests.unit.http.middleware.fast_path_site import LARGE, ORIGIN, SMALL, FakeAnswer, FakeViews, Site
from tests.unit.http.support import NOW


@pytest.fixture
def views() -> FakeViews:
    return FakeViews()


@pytest.fixture
def site(views: FakeViews, verifier: TokenVerifier, token: Callable[..., str]) -> Site:
    return Site(views, verifier, token())


def test_the_first_answer_is_the_frameworks_and_the_next_ones_are_not(site: Site) -> None:
    assert [site.is_hot(), site.is_hot(), site.is_hot()] == [False, True, True]


@pytest.mark.parametrize("body", [SMALL, LARGE])
@pytest.mark.parametrize(
    "accepted",
    [{}, *({"accept-encoding": codings} for codings in ("gzip, br", "br", "gzip;q=0", "gzip, identity;q=0", "*;q=0"))],
)
@pytest.mark.parametrize(
    "condition", [{}, {"if-none-match": "current"}, {"if-none-match": '"old"'}, {"if-none-match": "*"}]
)
@pytest.mark.parametrize("edge", [{}, {"https": True}, {"cors_origins": [ORIGIN]}])
def test_both_ways_answer_alike(
    body: bytes,
    accepted: dict[str, str],
    condition: dict[str, str],
    edge: dict[str, Any],
    verifier: TokenVerifier,
    token: Callable[..., str],
) -> None:
    views = FakeViews(body)
    site = Site(views, verifier, token(), **edge)
    tag = {name: entity_tag(views.now.digest) if value == "current" else value for name, value in condition.items()}
    headers = {"x-request-id": "mine", **accepted, **tag}
    long, hot = site.call(headers=headers), site.call(headers=headers)
    assert views.long == 1
    assert (hot.status_code, hot.content) == (long.status_code, long.content)
    same = [{k: v for k, v in answer.headers.items() if k != "content-length"} for answer in (hot, long)]
    assert same[0] == same[1]
    assert hot.headers.get("content-length") == (None if hot.status_code == 304 else str(hot.num_bytes_downloaded))
    assert site.counted[0] == site.counted[1]
    assert site.lines[0] == site.lines[1] == ("GET", "/things", long.status_code, "mine", "user-1")


@pytest.mark.parametrize("codings", ["gzip;q=0", "gzip ; Q=0.000, *;q=1", "br", "*;q=0", ""])
def test_a_compressible_answer_sent_as_it_is_varies_by_encoding_as_well(codings: str, site: Site) -> None:
    for target in ("/things", "/things", "/thing"):
        answer = site.call(target, headers={"accept-encoding": codings})
        assert answer.headers["vary"] == "Accept-Encoding"
        assert "content-encoding" not in answer.headers
    unchanged = site.call(headers={"accept-encoding": codings, "if-none-match": "*"})
    assert (unchanged.status_code, unchanged.headers["vary"]) == (304, "Accept-Encoding")


def test_a_small_answer_varies_since_it_is_compressed_where_nothing_else_is_acceptable(
    verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(FakeViews(SMALL), verifier, token())
    for codings, coding in [("gzip", None), ("gzip, identity;q=0", "gzip"), ("gzip, *;q=0", "gzip")] * 2:
        answer = site.call(headers={"accept-encoding": codings})
        assert (answer.headers["vary"], answer.headers.get("content-encoding")) == ("Accept-Encoding", coding)
        assert answer.content == SMALL


def test_codings_in_two_lines_are_one_list(site: Site) -> None:
    site.call()
    bearer = ("authorization", f"Bearer {site.token}")
    answer = site.send([bearer, ("accept-encoding", "gzip;q=0"), ("accept-encoding", "br")])
    assert "content-encoding" not in answer.headers
    answer = site.send([bearer, ("accept-encoding", "gzip"), ("accept-encoding", "br")])
    assert answer.headers["content-encoding"] == "gzip"


def test_a_large_body_is_packed_once_for_all(site: Site) -> None:
    for _ in range(4):
        answer = site.call(headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == LARGE
    assert site.views.now.packings == 1


def test_who_holds_the_current_answer_gets_none(site: Site) -> None:
    tag = site.call().headers["etag"]
    answer = site.call(headers={"if-none-match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content, site.views.long) == (304, b"", 1)
    assert site.counted[-1] == ("GET", "/things", 304)


def test_an_answer_given_as_unchanged_teaches_as_well(site: Site) -> None:
    assert site.call(headers={"if-none-match": "*"}).status_code == 304
    assert site.is_hot()


def test_a_request_id_is_made_if_none_came_or_a_bad_one(site: Site) -> None:
    site.call()
    assert site.call().headers["x-request-id"] == "made-2"
    assert site.call(headers={"x-request-id": "not good"}).headers["x-request-id"] == "made-3"
    assert site.call(headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert [line[3] for line in site.lines] == ["made-1", "made-2", "made-3", "mine"]


def test_what_depends_on_the_role_is_kept_apart(site: Site, token: Callable[..., str]) -> None:
    admin, viewer = token(Role.ADMIN), token(Role.VIEWER, jti="jti-2")
    for site.token in (admin, viewer, admin, viewer):
        site.call("/roles")
    assert [scope for _, scope in site.views.asked] == [{"admin": True}, {"admin": False}]
    assert site.views.peeked == ["things?{'admin': True}", "things?{'admin': False}"]


def test_what_a_view_depends_on_is_kept_apart(site: Site) -> None:
    site.call("/things?limit=1")
    assert site.is_hot(target="/things?limit=1")
    assert not site.is_hot(target="/things?limit=2")
    assert not site.is_hot()


@pytest.mark.parametrize("target", ["/fresh", "/thing"])
def test_what_is_no_cached_view_is_never_hot(target: str, site: Site) -> None:
    for _ in range(3):
        assert site.call(target).status_code == 200
    assert site.call("/nowhere").status_code == 404
    assert site.call("/down").status_code == 503
    assert not site.hot._targets


def test_another_method_goes_the_long_way(site: Site) -> None:
    site.call()
    assert site.call(method="POST").status_code == 405
    assert site.call(method="OPTIONS").status_code == 204


def test_a_role_that_may_not_read_is_refused(site: Site, token: Callable[..., str]) -> None:
    site.call()
    for _ in range(2):
        answer = site.send([("authorization", f"Bearer {token(Role.PUBLISHER, subject='shop', jti='jti-2')}")])
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:monitor:problem:insufficient_scope")
    assert site.views.long == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.PUBLISHER])
def test_a_view_for_admins_is_answered_to_no_other_role(role: Role, site: Site, token: Callable[..., str]) -> None:
    admin = [("authorization", f"Bearer {token(Role.ADMIN, jti='jti-2')}")]
    other = [("authorization", f"Bearer {token(role, jti='jti-3')}")]
    assert site.send(other, "/admins").status_code == 403
    assert [site.send(admin, "/admins").status_code for _ in range(2)] == [200, 200]
    assert site.views.long == 1
    assert site.send(other, "/admins").status_code == 403


def test_an_open_route_stays_open_after_its_first_answer(site: Site) -> None:
    assert [site.send([], "/open").status_code for _ in range(2)] == [200, 200]
    assert not site.hot._targets


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_every_role_that_may_read_is_answered(role: Role, site: Site, token: Callable[..., str]) -> None:
    site.call()
    site.token = token(role, subject="other", jti="jti-2")
    assert [site.is_hot(), site.is_hot()] == [False, True]
    assert site.lines[-1][4] == "other"


def test_a_token_is_verified_before_it_is_trusted(site: Site, token: Callable[..., str]) -> None:
    site.call()
    good = token(jti="jti-2")
    for sent in (f"Bearer {good[:-4]}AAAA", "Bearer ", "Bearer x", f"Basic {good}", f"Bearer  {good}", good):
        assert site.send([("authorization", sent)]).status_code == 401
    assert site.send([]).status_code == 401
    assert site.views.long == 1


def test_a_token_that_was_revoked_is_refused_at_once(site: Site, revoked: set[str]) -> None:
    site.call()
    revoked.add("jti-1")
    assert site.call().status_code == 401


def test_a_token_that_has_expired_is_refused(
    views: FakeViews, verifier: TokenVerifier, token: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(views, verifier, token(ttl_s=300))
    assert [site.is_hot(), site.is_hot()] == [False, True]
    # The leeway of ten seconds counts on both ways.
    monkeypatch.setattr("tests.unit.http.middleware.fast_path_site.NOW", NOW + 309)
    assert site.is_hot()
    monkeypatch.setattr("tests.unit.http.middleware.fast_path_site.NOW", NOW + 310)
    assert site.call().status_code == 401


def test_a_header_that_comes_twice_goes_the_long_way(site: Site) -> None:
    site.call()
    twice = [("authorization", f"Bearer {site.token}")] * 2
    assert site.send(twice).status_code == 400
    tags = [("authorization", f"Bearer {site.token}"), ("if-none-match", '"a"'), ("if-none-match", '"b"')]
    assert site.send(tags).status_code == 200
    assert site.views.long == 2


def test_a_page_of_another_origin_goes_the_long_way(
    views: FakeViews, verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(views, verifier, token(), cors_origins=[ORIGIN])
    site.call()
    answer = site.call(headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert views.long == 2


def test_a_caller_over_the_rate_is_refused(
    views: FakeViews, verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(views, verifier, token(), burst=3)
    assert [site.call().status_code for _ in range(4)] == [200, 200, 200, 429]
    assert int(site.call().headers["retry-after"]) >= 1


def test_a_hot_answer_counts_once_against_the_rate(
    views: FakeViews, verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(views, verifier, token(), burst=4)
    site.call()
    views.warm = False
    assert [site.call().status_code for _ in range(4)] == [200, 200, 200, 429]


def test_what_memory_may_not_answer_goes_the_long_way(site: Site) -> None:
    site.call()
    site.views.warm = False
    assert not site.is_hot()
    site.views.warm = True
    assert site.is_hot()


def test_a_last_good_answer_is_marked_and_never_hot(site: Site) -> None:
    site.call()
    tag = entity_tag(site.views.now.digest)
    site.views.now = FakeAnswer(SMALL, stale=True, age_s=12.34)
    for _ in range(2):
        answer = site.call(headers={"if-none-match": tag})
        assert answer.json() == {"version": 3, "stale": True, "age_s": 12.3}
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
    assert site.views.long == 3


def test_a_last_good_resource_is_marked_too(site: Site) -> None:
    site.views.now = FakeAnswer(SMALL, stale=True, age_s=600)
    assert site.call("/thing").json() == {"version": 3, "stale": True, "age_s": 600.0}


def test_a_resource_has_its_version_in_its_tag(site: Site) -> None:
    site.views.now = FakeAnswer(SMALL)
    tag = site.call("/thing").headers["etag"]
    assert tag.startswith('"3.')
    assert site.call("/thing", headers={"if-none-match": tag}).status_code == 304


def test_an_answer_that_no_cache_holds_has_a_tag_as_well(site: Site) -> None:
    answer = site.call("/fresh")
    assert answer.headers["etag"] == entity_tag(body_digest(answer.content))
    assert answer.headers["cache-control"] == "private, no-cache"
    assert site.call("/fresh", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_targets_are_remembered_up_to_a_number(site: Site) -> None:
    for number in range(MAX_TARGETS):
        site.hot._targets[b"/other", b"%d" % number] = (("things", "things"), "/other", Role.VIEWER)
    site.call()
    assert len(site.hot._targets) == MAX_TARGETS
    assert (b"/other", b"0") not in site.hot._targets
    assert site.is_hot()


def test_a_target_may_be_too_long_to_remember(site: Site) -> None:
    longest = "x" * (MAX_TARGET_BYTES - len("/things"))
    site.call(f"/things?{longest}")
    site.call(f"/things?{longest}x")
    assert [len(query) for _, query in site.hot._targets] == [len(longest)]


def test_a_socket_passes(site: Site) -> None:
    seen = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    site.hot._edge.app = inner

    async def nothing(*_: Any) -> Any:
        raise AssertionError("neither reads nor answers")

    asyncio.run(site.hot({"type": "websocket"}, nothing, nothing))  # type: ignore[arg-type]
    assert seen == ["websocket"]


def test_a_session_cookie_is_hot_as_well_and_answered_alike(site: Site) -> None:
    cookie = [("cookie", f"theme=dark; monitor_session={site.token}"), ("host", "monitor.test"), ("x-request-id", "m")]
    long, hot = site.send(cookie), site.send(cookie)
    assert site.views.long == 1
    assert (hot.status_code, hot.content) == (long.status_code, long.content) == (200, LARGE)
    assert {**hot.headers, "content-length": ""} == {**long.headers, "content-length": ""}
    assert hot.headers["cache-control"] == "private, no-cache"
    assert "set-cookie" not in hot.headers
    assert site.lines[0] == site.lines[1]


def test_the_copy_of_one_role_is_not_current_for_another(site: Site, token: Callable[..., str]) -> None:
    def call(role: Role, tag: str | None = None) -> Any:
        condition = [] if tag is None else [("if-none-match", tag)]
        held = [("cookie", f"monitor_session={token(role, jti=role.value)}"), ("host", "monitor.test")]
        return site.send([*held, *condition], "/roles")

    for role, other in ((Role.ADMIN, b'{"admin":1}'), (Role.VIEWER, b'{"viewer":1}')):
        site.views.now = FakeAnswer(other)
        assert call(role).content == other
    tag = call(Role.VIEWER).headers["etag"]
    assert call(Role.VIEWER, tag).status_code == 304
    site.views.now = FakeAnswer(b'{"admin":1}')
    assert call(Role.ADMIN, tag).content == b'{"admin":1}'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("cookie", "monitor_session={token}"), ("sec-fetch-site", "same-site")], 403),
        ([("cookie", "monitor_session={token}"), ("origin", "https://evil.test")], 403),
        ([("cookie", "monitor_session={token}; monitor_session={token}")], 400),
        ([("cookie", "monitor_session={token}"), ("cookie", "monitor_session={token}")], 400),
        ([("cookie", "monitor_session=a.b.c")], 401),
        ([("cookie", "monitor_session=")], 401),
        ([("cookie", "access_token={token}")], 401),
        ([("cookie", "monitor_session={token}"), ("authorization", "Bearer a.b.c")], 401),
        ([("cookie", "monitor_session={token}"), ("authorization", "Basic eA==")], 401),
    ],
)
def test_a_cookie_that_may_not_be_used_is_refused_while_the_view_is_hot(
    headers: list[tuple[str, str]], status: int, site: Site
) -> None:
    site.call()
    assert site.is_hot()
    sent = [(name, value.format(token=site.token)) for name, value in headers]
    assert site.send([*sent, ("host", "monitor.test")]).status_code == status


def test_over_tls_only_the_bound_cookie_counts(verifier: TokenVerifier, token: Callable[..., str]) -> None:
    views = FakeViews()
    site = Site(views, verifier, token(), https=True)
    for _ in range(2):
        assert site.send([("cookie", f"__Host-monitor_session={site.token}"), ("host", "m.test")]).status_code == 200
        assert site.send([("cookie", f"monitor_session={site.token}"), ("host", "m.test")]).status_code == 401
    assert views.long == 1

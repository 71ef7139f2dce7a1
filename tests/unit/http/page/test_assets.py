"""The page is served whole, by name, with a policy that forbids everything inline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from monitor.auth.tokens import TokenVerifier
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.page.assets import MEDIA_TYPES, POLICY, STATIC, AssetBundle, asset_routes, load_assets
from monitor.http.responses.conditional import entity_tag

MAX_LINES = 300
MODULES = sorted((STATIC / "js").rglob("*.js"))


@pytest.fixture(scope="module")
def page() -> AssetBundle:
    return load_assets()


@pytest.fixture
def client(page: AssetBundle, verifier: TokenVerifier) -> Iterator[TestClient[Application]]:
    limiter = LocalRateLimiter(per_s=1, burst=1, ticks_s=lambda: 0.0)
    litestar = Litestar(
        asset_routes(page), openapi_config=None, **litestar_options(verifier=verifier, now=lambda: 0.0, limiter=limiter)
    )
    edge = build_edge(litestar, new_id=lambda: "id", ticks_s=lambda: 0.0)
    with TestClient(Application(litestar, edge)) as client:
        yield client


def test_the_document_is_open_and_revalidated(client: TestClient[Application]) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_files_are_compressed_only_where_gzip_is_acceptable(client: TestClient[Application], page: AssetBundle) -> None:
    longest = max(page.files, key=lambda name: len(page.files[name].body))
    for codings, encoding in (("gzip", "gzip"), ("gzip;q=0", None)):
        answer = client.get(f"/assets/{page.digest}/{longest}", headers={"Accept-Encoding": codings})
        assert (answer.headers.get("content-encoding"), answer.headers["vary"]) == (encoding, "Accept-Encoding")


def test_the_policy_allows_no_inline_script_or_style() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


def test_the_document_holds_no_inline_script_style_or_handler(page: AssetBundle) -> None:
    text = page.document.body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=", text) == []
    assert "{{" not in text


def test_every_file_the_document_names_is_there(client: TestClient[Application], page: AssetBundle) -> None:
    names = re.findall(r'(?:href|src)="([^"]+)"', page.document.body.decode())
    assert len(names) > len(MODULES)
    assert {name: client.get(name).status_code for name in names if client.get(name).status_code != 200} == {}


def test_files_are_kept_for_ever_under_their_digest(client: TestClient[Application], page: AssetBundle) -> None:
    for name, file in page.files.items():
        answer = client.get(f"/assets/{page.digest}/{name}")
        assert answer.content == file.body
        assert answer.headers["content-type"].removesuffix("; charset=utf-8") == MEDIA_TYPES[Path(name).suffix]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert client.get(answer.url.path, headers={"If-None-Match": entity_tag(file.digest)}).status_code == 304


def test_a_file_that_changes_moves_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<script src={{assets}}/a.js></script>")
    (tmp_path / "a.js").write_text("1")
    before = load_assets(tmp_path)
    (tmp_path / "a.js").write_text("2")
    after = load_assets(tmp_path)
    assert before.digest != after.digest
    assert after.document.body == f"<script src=/assets/{after.digest}/a.js></script>".encode()


@pytest.mark.parametrize(
    "name",
    [
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/page.py",
        "js/../../page.py",
        "..%5cpage.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "js/main.js%00",
        "JS/MAIN.JS",
        "index.html",
        "vendor/preact.LICENSE",
        "",
    ],
)
def test_nothing_but_the_listed_files_can_be_had(client: TestClient[Application], page: AssetBundle, name: str) -> None:
    answer = client.get(f"/assets/{page.digest}/{name}")
    assert answer.status_code in {400, 404}
    assert b"root:" not in answer.content


def test_files_of_another_version_are_not_mixed_in(client: TestClient[Application]) -> None:
    assert client.get("/assets/0123456789abcdef/js/main.js").status_code == 404


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_module_is_short_and_writes_no_markup_from_text(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_module_imports_only_files_that_are_there(path: Path) -> None:
    for name in re.findall(r'from "([^"]+)"', path.read_text()):
        assert name.startswith("."), name
        assert (path.parent / name).resolve().is_file(), name

"""
The dashboard page: one document and the modules, styles and pictures that it loads.

All of it is read into memory once and looked up by name, so a request never becomes a path. Everything but the
document stands under the digest of the whole, ``/assets/<digest>/…``: caches keep it without end, and one page never
mixes the files of two versions. No file holds an inline script or style, so the content policy forbids both.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from monitor.domain.digest import body_digest
from monitor.domain.errors import NotFound
from monitor.http.middleware.authentication import OPEN
from monitor.http.responses.conditional import conditional_response, entity_tag

STATIC = Path(__file__).with_name("static")
DOCUMENT = "index.html"
BASE = b"{{assets}}"
"""Placeholder in the document for the path of its files."""

PRELOADS = b"<!-- preloads -->"
"""Placeholder in the document for links to all modules, so that a browser loads all at once."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""No inline script or style; ``connect-src 'self'`` covers the live feed on the same host too."""

MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Text is UTF-8, which the framework adds. Other files, such as licences, are not served."""

_IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


class Asset(msgspec.Struct, frozen=True, dict=True):
    """One file as it is served."""

    body: bytes
    media_type: str
    digest: str

    def gzipped(self) -> bytes:
        """Return the body compressed, once and not for every request: these routes are open."""
        return self._gzipped

    @cached_property
    def _gzipped(self) -> bytes:
        return gzip.compress(self.body, mtime=0)


class AssetBundle(msgspec.Struct, frozen=True):
    """The document, and its files by their name below ``<under>/assets/<digest>/``; ``policy`` is what it may load."""

    document: Asset
    digest: str
    files: dict[str, Asset]
    under: str
    policy: str


def load_assets(folder: Path = STATIC, *, under: str = "", root_path: str = "", policy: str = POLICY) -> AssetBundle:
    """Read the page from *folder*. Browsers ask for its files below *root_path*, which is no part of the routes."""
    files = {
        path.relative_to(folder).as_posix(): asset_of(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
    digest = body_digest("".join(f"{name} {file.digest}\n" for name, file in files.items()).encode())
    base = f"{root_path}{under}/assets/{digest}"
    preloads = "\n".join(f'<link rel="modulepreload" href="{base}/{name}">' for name in files if name.endswith(".js"))
    document = (folder / DOCUMENT).read_bytes().replace(BASE, base.encode()).replace(PRELOADS, preloads.encode())
    return AssetBundle(asset_of(document, "text/html"), digest, files, under, policy)


def asset_routes(page: AssetBundle, path: str = "/") -> list[HTTPRouteHandler]:
    """Return the routes of *page*, read at *path*. These are open: the page holds no data, and signs in by itself."""

    @get(path, opt=OPEN, include_in_schema=False, sync_to_thread=False)
    def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        return asset_response(request, page.document, REVALIDATE, page.policy)

    @get(
        f"{page.under}/assets/{{version:str}}/{{name:path}}",
        opt=OPEN,
        include_in_schema=False,
        sync_to_thread=True,
    )
    def asset(request: Request[Any, Any, Any], version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
        file = page.files.get(name.removeprefix("/")) if version == page.digest else None
        if file is None:
            raise NotFound("There is no such file in this version of the page.")
        return asset_response(request, file, _IMMUTABLE, page.policy)

    return [document, asset]


def asset_of(body: bytes, media_type: str) -> Asset:
    """Return *body* as it is served."""
    return Asset(body, media_type, body_digest(body))


def asset_response(request: Request[Any, Any, Any], asset: Asset, cache: str, policy: str) -> Response[bytes]:
    """Respond with *asset*."""
    headers = {"cache-control": cache, "content-security-policy": policy, "cross-origin-opener-policy": "same-origin"}
    tag, media_type = entity_tag(asset.digest), asset.media_type
    return conditional_response(request, asset.body, tag, gzipped=asset.gzipped, media_type=media_type, headers=headers)

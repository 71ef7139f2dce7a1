"""Debian's nginx and HAProxy with the files of ``deploy/``, word for word but for addresses and certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
NGINX = ROOT / "deploy" / "nginx" / "monitor.conf"
HAPROXY = ROOT / "deploy" / "haproxy" / "haproxy.cfg"

COMPRESSES = ("gzip", "compression", 'proxy_set_header Accept-Encoding "";')
"""How lines begin that let the proxy compress; the files have them as comments."""

_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/monitor.conf;
}}
"""


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return *text* with each of *changes* made where it stands once."""
    for shown, real in changes.items():
        assert text.count(shown) == 1, f"{shown!r} stands {text.count(shown)} times"
        text = text.replace(shown, real)
    return text


def compressing(text: str) -> str:
    """Return *text* with the lines on compression in force."""
    lines = [(line, line.lstrip(" #")) for line in text.splitlines()]
    return "\n".join(bare if bare.startswith(COMPRESSES) and "#" in line else line for line, bare in lines) + "\n"


@contextmanager
def nginx(folder: Path, *, port: int, to: Sequence[int], pem: str, compresses: bool = False) -> Iterator[None]:
    """Run nginx on *port* in front of the two ports *to*, with its files in *folder*."""
    text = changed(
        NGINX.read_text(),
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "127.0.0.1:8000": f"127.0.0.1:{to[0]}",
            "127.0.0.1:8001": f"127.0.0.1:{to[1]}",
            "/etc/ssl/monitor.pem": pem,
            "/etc/ssl/monitor.key": pem,
        },
    )
    (folder / "monitor.conf").write_text(compressing(text) if compresses else text)
    main = folder / "nginx.conf"
    # Started by root, its workers would be another user, which may not enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    main.write_text(user + _MAIN.format(folder=folder))
    with _running("nginx", "-c", str(main), "-e", str(folder / "error.log")):
        yield


@contextmanager
def haproxy(folder: Path, *, port: int, to: Sequence[int], pem: str, compresses: bool = False) -> Iterator[None]:
    """Run HAProxy on *port* in front of the two ports *to*, with its file and its log in *folder*."""
    text = changed(
        HAPROXY.read_text(),
        {
            "bind :443": f"bind 127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{to[0]}",
            "127.0.0.1:8001": f"127.0.0.1:{to[1]}",
            "/etc/ssl/monitor.pem": pem,
        },
    )
    file = folder / "haproxy.cfg"
    file.write_text(compressing(text) if compresses else text)
    with _running("haproxy", "-db", "-f", str(file), log=folder / "haproxy.log"):
        yield


@contextmanager
def _running(name: str, *arguments: str, log: Path | None = None) -> Iterator[None]:
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, f"{name} is not installed"
    with (log or Path(os.devnull)).open("ab") as output:
        process = subprocess.Popen([program, *arguments], stdout=output, stderr=output if log else None)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)

"""
Check of what was built: ``python tests/archives.py FOLDER`` reads the one wheel and the one sdist of a folder.

The wheel holds every file of the package, the migrations and the licences; the sdist all that builds and tests it.
Needs nothing but the standard library, and git for the list of what there is.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).parents[1]
URLS = {"Repository", "Documentation", "Changelog", "Issues"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
RETOLD = ("tests/unit/test_packaging.py", "noxfile.py", "requirements/lock.txt", "docs/openapi.json", "CONTRIBUTING.md")
"""What the tests of an sdist read beside the package."""
OPENAPI = "monitor/http/openapi/openapi.json"
"""Where the wheel has docs/openapi.json."""
LEFT_OUT = {".ci", ".gitignore"}
"""What a checkout has at its top and an sdist lacks: it is for those who have the repository."""


def main(folder: Path) -> None:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    in_wheel, in_sdist = files_of_wheel(wheel), files_of_sdist(sdist)
    (info,) = {name.partition("/")[0] for name in in_wheel if ".dist-info/" in name}
    package = {name for name in in_wheel if not name.startswith(f"{info}/")}
    source = {name.removeprefix("src/") for name in in_sdist if name.startswith("src/")}
    migrations = {
        f"monitor/migrations/{name.removeprefix('alembic/')}" for name in in_sdist if name.startswith("alembic/")
    }
    check(bool(source) and bool(migrations), "the sdist has no source")
    wanted = source | migrations | {OPENAPI}
    check(package == wanted, f"the wheel is not the package: {sorted(package ^ wanted)}")
    check(all(name in in_sdist for name in RETOLD), "the sdist cannot be tested")
    check_complete({name.partition("/")[0] for name in in_sdist})
    check(not any("tests/browser/vendor" in name for name in in_sdist), "the sdist holds work under another licence")
    described(in_wheel[f"{info}/METADATA"], {name.removeprefix(f"{info}/licenses/") for name in in_wheel})
    described(in_sdist["PKG-INFO"], set(in_sdist))
    print(f"archives: {wheel.name} and {sdist.name} hold what they should", flush=True)


def check_complete(in_sdist: set[str]) -> None:
    """Check that an sdist has all that the checkout has at its top."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there = {name.partition("/")[0] for name in listed.splitlines()}
    check(there <= in_sdist | LEFT_OUT, f"the sdist lacks {sorted(there - in_sdist - LEFT_OUT)}")


def described(metadata: bytes, files: set[str]) -> None:
    """Check the metadata, of which *files* lie beside."""
    told: Message = message_from_bytes(metadata)
    licences = told.get_all("License-File", [])
    check(told["License-Expression"] == "MIT AND Apache-2.0 AND BSD-3-Clause", f"licensed {told['License-Expression']}")
    check({"LICENSE", "NOTICE"} < set(licences), f"licence files: {licences}")
    check(set(licences) <= files, f"missing licences: {set(licences) - files}")
    urls = dict(url.split(", ") for url in told.get_all("Project-URL", []))
    check(urls.keys() == URLS, f"addresses: {urls}")
    check(told["Description-Content-Type"].startswith("text/markdown"), "the description is no Markdown")
    description = str(told.get_payload())
    links = LINK.findall(description)
    relative = [link for link in links if not link.startswith(("https://", "http://", "#"))]
    check(bool(links) and not relative, f"links that lead nowhere on a page of an index: {relative}")
    check(
        f"{urls['Repository']}/blob/v{told['Version']}/CONTRIBUTING.md" in str(told.get_payload()), "no release linked"
    )


def files_of_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of_sdist(path: Path) -> dict[str, bytes]:
    """Return the files by their name below the one folder of the archive."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                found[member.name.partition("/")[2]] = content.read()
    return found


def check(holds: bool, complaint: str) -> None:
    if not holds:
        raise SystemExit(f"archives: {complaint}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

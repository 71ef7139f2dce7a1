"""
The project's checks: ``nox`` runs the default ones, ``nox -s NAME -- ARGUMENTS`` one of them, ``nox --list`` names all.

One environment serves every session: ``dev`` builds it, the others run inside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tarfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.reuse_venv = "yes"
# uv does not read pip's configuration, so it is used only by those who started nox with it (`uvx nox`).
nox.options.default_venv_backend = "uv|virtualenv" if "UV" in os.environ else "virtualenv"
nox.options.sessions = ["lint", "types", "unit", "property", "integration", "demo", "load"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
LOCKS = (Path("requirements/lock.txt"), Path("requirements/ci.txt"))
"""Pins for deployments, with hashes, and for CI, without: in an editable install pip cannot check them."""
SOURCES = ("src", "tests", "benchmarks", "alembic", "noxfile.py")

PAGE = Path("src/monitor/http/page/static/vendor")
BROWSER = Path("tests/browser/vendor")
REFERENCE = Path("src/monitor/http/openapi/reference")
VENDORED = [
    (
        "preact@11.2.0",
        "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        {
            "dist/preact.mjs": PAGE / "preact.js",
            "hooks/dist/hooks.mjs": PAGE / "preact-hooks.js",
            "LICENSE": PAGE / "preact.LICENSE",
        },
    ),
    (
        "htm@3.1.1",
        "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"dist/htm.mjs": PAGE / "htm.js", "LICENSE": PAGE / "htm.LICENSE"},
    ),
    (
        "uplot@1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "dist/uPlot.esm.js": PAGE / "uplot.js",
            "dist/uPlot.min.css": PAGE / "uplot.css",
            "LICENSE": PAGE / "uplot.LICENSE",
        },
    ),
    (
        "swagger-ui-dist@5.35.0",
        "sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
        {
            "swagger-ui-bundle.js": REFERENCE / "swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt": REFERENCE / "swagger-ui-bundle.js.LICENSE",
            "swagger-ui.css": REFERENCE / "swagger-ui.css",
            "LICENSE": REFERENCE / "swagger-ui.LICENSE",
            "NOTICE": REFERENCE / "swagger-ui.NOTICE",
        },
    ),
    (
        "axe-core@4.14.1",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {"axe.min.js": BROWSER / "axe.js", "LICENSE": BROWSER / "axe.LICENSE"},
    ),
]
"""Packages of the npm registry, what their archives must hash to, and which files of theirs are kept, and where."""

in_dev = nox.session(venv_backend="none", requires=["dev"])


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Build the environment that the other sessions share: of the newest versions, in CI of the locked ones."""
    locked = ("-c", LOCKS[1]) if os.environ.get("CI") == "true" else ()
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, "dev"), *locked)
    _Dev.bin = session.bin


class _Dev:
    bin = ""
    """Where ``dev`` put its programs. Sessions run in this process, after ``dev``."""


def run(session: nox.Session, *command: str, **env: str) -> None:
    """Run *command* in the shared environment."""
    path = os.pathsep.join((_Dev.bin, os.environ["PATH"]))
    session.run(str(Path(_Dev.bin) / command[0]), *command[1:], env={"PATH": path, **env}, external=True)


def selection(session: nox.Session, *suites: str) -> tuple[str, ...]:
    """Return what pytest is to run: the arguments of the session, in *suites* unless they name files themselves."""
    names_files = any(argument.startswith("tests/") for argument in session.posargs)
    return (*session.posargs,) if names_files else (*suites, *session.posargs)


@in_dev
def lint(session: nox.Session) -> None:
    """Style, bans and the direction of imports."""
    run(session, "ruff", "check", *SOURCES)
    run(session, "ruff", "format", "--check", *SOURCES)
    run(session, "lint-imports", "--no-cache")


@in_dev
def types(session: nox.Session) -> None:
    """mypy --strict over everything."""
    run(session, "mypy", *session.posargs)


@in_dev
def unit(session: nox.Session) -> None:
    """Examples, without sockets; every branch of the domain is taken."""
    # A selection cannot cover everything, so coverage is measured on the whole suite only.
    coverage = () if session.posargs else ("--cov=monitor.domain", "--cov-report=term-missing:skip-covered")
    run(session, "pytest", *coverage, *selection(session, "tests/unit"))


@nox.session(name="property", venv_backend="none", requires=["dev"])
def laws(session: nox.Session) -> None:
    """The laws, with many examples. HYPOTHESIS_PROFILE=nightly tries far more."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    run(session, "pytest", "-m", "property", *selection(session, "tests/unit"), HYPOTHESIS_PROFILE=profile)


@in_dev
def integration(session: nox.Session) -> None:
    """Against a real PostgreSQL, a real Redis and real sockets, which the suite starts, harms and stops itself."""
    run(session, "pytest", "-m", "not demo", *selection(session, "tests/integration", "tests/faults"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def cache(session: nox.Session) -> None:
    """The long forms of the cache's tests: 60 s in 4 processes, a million keys, 500 stories of the state machine."""
    machine = ("tests/unit/cache/test_machine.py", "tests/unit/cache/test_mutants.py")
    run(session, "pytest", *machine, HYPOTHESIS_PROFILE="coherence")
    run(session, "pytest", "-s", *selection(session, "tests/integration/cache"), MONITOR_TEST_LONG="1")


@nox.session(venv_backend="none", requires=["dev"], default=False)
def faults(session: nox.Session) -> None:
    """The fault proof whole: 100,000 events under kills and crashes, and the rest; ``-- --figures FILE`` keeps them."""
    run(session, "pytest", *selection(session, "tests/faults"), MONITOR_TEST_LONG="1")


@nox.session(venv_backend="none", requires=["dev"], default=False)
def migrations(session: nox.Session) -> None:
    """Upgrade an empty database, compare it with the tables the code knows, go down and up again."""
    run(session, "pytest", "-m", "migrations", *selection(session, "tests/integration"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def demo(session: nox.Session) -> None:
    """What a newcomer sees of `monitor up --demo`, in real time: two minutes."""
    run(session, "pytest", "-m", "demo", *selection(session, "tests/integration"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def openapi(session: nox.Session) -> None:
    """Hold the OpenAPI document against OpenAPI 3.1 and against the committed one; ``-- --write`` commits it anew."""
    committed = Path("docs/openapi.json").resolve()
    document = Path(session.create_tmp()).resolve() / "openapi.json"
    with document.open("w", encoding="utf-8") as file:
        session.run(str(Path(_Dev.bin) / "monitor"), "openapi", stdout=file, external=True)
    run(session, "python", "-m", "openapi_spec_validator", str(document))
    if "--write" in session.posargs:
        committed.write_bytes(document.read_bytes())
    elif committed.read_bytes() != document.read_bytes():
        session.error("docs/openapi.json is not that of the code; run: nox -s openapi -- --write")


@nox.session(venv_backend="none", requires=["dev"], default=False)
def bench(session: nox.Session) -> None:
    """Throughput and latency beside bare yardsticks in the same run: ``nox -s bench -- NAME``."""
    run(session, "python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"], default=False)
def load(session: nox.Session) -> None:
    """
    A hundred users against servers of its own, held to the bars: ``nox -s load -- --minutes 5``.

    Without arguments it is short and small, and its bars of times are wide: it shows that nothing fails, leaks, gets
    lost on the live feed or misses the cache, on a machine that may have other things to do.
    """
    small = ("--minutes", "0.5", "--webhooks", "200", "--attempts", "200000")
    short = (*small, "--latency-slack", "20", "--hit-ratio", "0.8")
    run(session, "python", "-m", "benchmarks.load", *(session.posargs or short))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def detection(session: nox.Session) -> None:
    """False alarms and minutes to detect, over simulated traffic; fails under the floors."""
    run(session, "python", "-m", "benchmarks.detection", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"], default=False)
def fuzz(session: nox.Session) -> None:
    """schemathesis with all its checks, as every role, against a server of its own: several minutes."""
    run(session, "pytest", *selection(session, "tests/fuzz"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def docs(session: nox.Session) -> None:
    """Run every example of the documents as a reader would, and hold their tables and links to the code."""
    run(session, "pytest", *selection(session, "tests/docs"))


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Fit the lock to pyproject.toml; ``-- --upgrade`` takes the newest versions, ``-- --check`` fails on a change."""
    session.install("uv")
    before = [file.read_bytes() for file in LOCKS]
    # One resolution for every platform and Python; pins that still fit are kept.
    command = ("uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--quiet")
    asked = [option for option in session.posargs if option != "--check"]
    how = ("--no-annotate", "--custom-compile-command", "nox -s lock", *asked)
    session.run(*command, *how, "--generate-hashes", "--output-file", LOCKS[0])
    groups = ("--group", "dev", "--group", "browser", "--constraint", LOCKS[0])
    session.run(*command, *how, *groups, "--output-file", LOCKS[1])
    if "--check" in session.posargs and before != [file.read_bytes() for file in LOCKS]:
        session.error("the lock did not fit pyproject.toml; it does now, commit it")


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml allows: a demo that delivers one event, and the unit tests."""
    dependencies = [*PYPROJECT["project"]["dependencies"], *nox.project.dependency_groups(PYPROJECT, "test")]
    pins = Path(session.create_tmp()).resolve() / "lowest.txt"
    pins.write_text("".join(f"{_lowest(dependency)}\n" for dependency in dependencies), encoding="utf-8")
    session.install(".", *nox.project.dependency_groups(PYPROJECT, "test"), "-c", str(pins))
    session.run("python", "tests/smoke.py", f"{session.bin}/monitor up --demo")
    session.run("pytest", "-m", "not property", *selection(session, "tests/unit"))


def _lowest(dependency: str) -> str:
    """Return a constraint to the lower bound of *dependency*, without its extras, which constraints cannot have."""
    requirement = Requirement(dependency)
    (version,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return f"{requirement.name}=={version}" + (f"; {requirement.marker}" if requirement.marker else "")


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The page in headless Chromium, which the system provides, against a server of its own."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, "browser"))
    session.run("pytest", *selection(session, "tests/browser"))


@nox.session(venv_backend="none", default=False)
def vendor(session: nox.Session) -> None:
    """Fetch again what the page and its tests have from npm. The files are committed; this is how they came here."""
    archives = Path(session.create_tmp()).resolve()
    for package, integrity, files in VENDORED:
        options = ("--json", "--silent", "--pack-destination", str(archives))
        told = session.run("npm", "pack", package, *options, external=True, silent=True, stderr=None)
        archive = archives / json.loads(str(told))[0]["filename"]
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != integrity:
            session.error(f"{package} is not what it was when it was chosen: sha512-{digest}")
        with tarfile.open(archive) as content:
            for name, target in files.items():
                member = content.extractfile(f"package/{name}")
                assert member is not None
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_for_browsers(member.read()))


def _for_browsers(source: bytes) -> bytes:
    """Name the one bare import by its file, since there is no import map, and no source map, since there is none."""
    lines = source.replace(b'from"preact"', b'from"./preact.js"').splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"//# sourceMappingURL", b"/*# sourceMappingURL")))

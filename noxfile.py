"""
The project's checks: ``nox`` runs the default ones, ``nox -s NAME -- ARGUMENTS`` one of them, ``nox --list`` names all.

One environment serves every session: ``dev`` builds it, the others run inside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.reuse_venv = "yes"
# uv does not read pip's configuration, so it is used only by those who started nox with it (`uvx nox`).
nox.options.default_venv_backend = "uv|virtualenv" if "UV" in os.environ else "virtualenv"
nox.options.sessions = ["lint", "types", "unit", "property", "integration"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
SOURCES = ("src", "tests", "benchmarks", "alembic", "noxfile.py")

in_dev = nox.session(venv_backend="none", requires=["dev"])


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Build the environment that the other sessions share."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, "dev"))
    _Dev.bin = session.bin


class _Dev:
    bin = ""
    """Where ``dev`` put its programs. Sessions run in this process, after ``dev``."""


def run(session: nox.Session, *command: str, **env: str) -> None:
    """Run *command* in the shared environment."""
    path = os.pathsep.join((_Dev.bin, os.environ["PATH"]))
    session.run(str(Path(_Dev.bin) / command[0]), *command[1:], env={"PATH": path, **env}, external=True)


def selection(session: nox.Session, suite: str) -> tuple[str, ...]:
    """Return what pytest is to run: the arguments of the session, in *suite* unless they name files themselves."""
    names_files = any(argument.startswith("tests/") for argument in session.posargs)
    return (*session.posargs,) if names_files else (suite, *session.posargs)


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
    """Against a real PostgreSQL, a real Redis and real sockets, which the suite starts and stops itself."""
    run(session, "pytest", *selection(session, "tests/integration"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def migrations(session: nox.Session) -> None:
    """Upgrade an empty database, compare it with the tables the code knows, go down and up again."""
    run(session, "pytest", "-m", "migrations", *selection(session, "tests/integration"))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def openapi(session: nox.Session) -> None:
    """Print the OpenAPI document into a file and validate it against OpenAPI 3.1."""
    document = Path(session.create_tmp()) / "openapi.json"
    with document.open("w", encoding="utf-8") as file:
        session.run(str(Path(_Dev.bin) / "monitor"), "openapi", stdout=file, external=True)
    run(session, "python", "-m", "openapi_spec_validator", str(document))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def bench(session: nox.Session) -> None:
    """Throughput and latency beside bare yardsticks in the same run: ``nox -s bench -- NAME``."""
    run(session, "python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"], default=False)
def detection(session: nox.Session) -> None:
    """False alarms and minutes to detect, over simulated traffic; fails under the floors."""
    run(session, "python", "-m", "benchmarks.detection", *session.posargs)

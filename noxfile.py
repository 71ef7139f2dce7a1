"""
The project's checks: ``nox`` runs the default ones, ``nox -s NAME -- ARGUMENTS`` one of them, ``nox --list`` names all.

One environment serves every session: ``dev`` builds it, the others run inside it; three install what only they need.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.reuse_venv = "yes"
# uv does not read pip's configuration, so it is used only by those who started nox with it (`uvx nox`).
nox.options.default_venv_backend = "uv|virtualenv" if "UV" in os.environ else "virtualenv"
nox.options.sessions = ["lint", "tests"]
# Compiled modules are kept: without them each start of a process or of pytest costs a quarter to a half more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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
            "dist/uPlot.iife.min.js": PAGE / "uplot.js",
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

TWO_PROCESSES = ("-n", "2", "--dist", "loadfile")
QUICK = "not (processes or demo or migrations or benchmarks or pagers or topology or deploy or telemetry or upgrades)"
"""What runs by default; each of the other markers has a session of its own, named for it."""
PARTS = (
    ("postgresql", "initdb", "pg_basebackup"),
    ("pgbouncer", "pgbouncer"),
    ("redis-server", "redis-server"),
    ("redis-sentinel", "redis-sentinel"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
)
"""What the session `topology` runs: packages of Debian and their programs."""

POOLED = {"MONITOR_TEST_POOLER": "pgbouncer"}
"""Puts PgBouncer in transaction mode in front of every database of the suite."""

POOLED_SHORT = ("tests/integration/contract/test_unit_of_work.py", "tests/integration/test_settle.py")
"""What `topology` runs so; `pooled` runs all."""

OF_AN_SDIST = (
    *("tests/unit/test_architecture.py", "tests/unit/test_lock.py", "tests/unit/test_packaging.py"),
    *("tests/unit/http/middleware/test_authentication.py", "tests/integration/test_webhooks_api.py"),
)
"""What is run of the tests that an sdist holds: those that read what lies beside the package, and a file on a database.

The others have run on the same source; that an installed `monitor up` delivers is what the smoke test shows.
"""

in_dev = nox.session(venv_backend="none", requires=["dev"], default=False)


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """
    Build the environment that the other sessions share: of the newest versions, in CI of the locked ones.

    ``-- load fuzz browser`` installs those groups, too, so that these sessions can run with ``-R``, side by side.
    """
    _Dev.session = session
    install("dev", "-e", ".")
    for argument in session.posargs:
        if argument in PYPROJECT["dependency-groups"]:
            install(argument)


class _Dev:
    session: nox.Session
    """What ``dev`` ran in. Sessions run in this process, after ``dev``."""


def install(group: str, *also: str) -> None:
    """Add a dependency group to the shared environment."""
    locked = ("-c", LOCKS[1]) if os.environ.get("CI") == "true" else ()
    _Dev.session.install(*also, *nox.project.dependency_groups(PYPROJECT, group), *locked)


def program(name: str) -> str:
    """Return the path of a program of the shared environment."""
    return str(Path(_Dev.session.bin) / name)


def environment(**env: str) -> dict[str, str]:
    return {"PATH": os.pathsep.join((_Dev.session.bin, os.environ["PATH"])), **env}


def run(session: nox.Session, *command: str, **env: str) -> None:
    """Run *command* in the shared environment."""
    session.run(program(command[0]), *command[1:], env=environment(**env), external=True)


@contextmanager
def beside(session: nox.Session, *command: str) -> Iterator[None]:
    """Run *command* in the idle time of what the block runs, print its output after it, and fail if it failed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        nice = ("nice", "-n", "10", program(command[0]), *command[1:])
        with subprocess.Popen(nice, stdout=output, stderr=output, env={**os.environ, **environment()}) as process:
            try:
                yield
            finally:
                code = process.wait()
                output.seek(0)
                session.log(f"{' '.join(command)}, which ran beside it:\n{output.read()}")
    if code:
        session.error(f"{command[0]} exited with code {code}")


def run_tests(session: nox.Session, *suites: str, marked: str = "", together: bool = True, **env: str) -> None:
    """
    Run *suites*, or the files that the arguments of the session name, in the shared environment.

    Args:
        marked: expression of pytest's ``-m``.
        together: split the files over two processes, unless arguments select some.
    """
    names_files = any(argument.startswith("tests/") for argument in session.posargs)
    selected = session.posargs if names_files else (*suites, *session.posargs)
    split = TWO_PROCESSES if together and not session.posargs else ()
    run(session, "pytest", *split, *(("-m", marked) if marked else ()), *selected, **env)


def run_marked(session: nox.Session, marker: str, *suites: str) -> None:
    """Run the tests of *marker*, of the files that name it: pytest takes as long to import all as some sessions run."""
    files = sorted(Path("tests/integration").rglob("test_*.py"))
    named = [str(file) for file in files if f"mark.{marker}" in file.read_text(encoding="utf-8")]
    run_tests(session, *suites, *named, marked=marker, together=False)


def need(session: nox.Session, package: str, *programs: str) -> None:
    """Install *package* as root on Debian where one of *programs* is missing, and fail the session if it stays so."""
    if not all(map(_is_there, programs)) and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends", package)):
            session.run(*command, env={"DEBIAN_FRONTEND": "noninteractive"}, external=True, silent=True)
    if missing := [program for program in programs if not _is_there(program)]:
        session.error(f"this session needs {', '.join(missing)}, which Debian has in {package}")


def _is_there(program: str) -> bool:
    # Debian has the programs of a PostgreSQL server in a folder of each version.
    folders = (os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    return shutil.which(program, path=os.pathsep.join(folders)) is not None


@in_dev
def lint(session: nox.Session) -> None:
    """Style, bans and the direction of imports."""
    run(session, "ruff", "check", *SOURCES)
    run(session, "ruff", "format", "--check", *SOURCES)
    run(session, "lint-imports", "--no-cache")


@in_dev
def tests(session: nox.Session) -> None:
    """The sessions `integration` and `unit` in one run, with `types` beside them."""
    with beside(session, "mypy"):
        # Integration first: its files are the longest, and the end is reached together by many short ones.
        run_tests(session, "tests/integration", "tests/unit", marked=QUICK)


@in_dev
def types(session: nox.Session) -> None:
    """mypy --strict over everything."""
    run(session, "mypy", *session.posargs)


@in_dev
def unit(session: nox.Session) -> None:
    """Examples and laws, without sockets."""
    run_tests(session, "tests/unit")


@in_dev
def integration(session: nox.Session) -> None:
    """Against a real PostgreSQL, a real Redis and real sockets, which the suite starts and stops itself."""
    run_tests(session, "tests/integration", marked=QUICK)


@nox.session(name="property", venv_backend="none", requires=["dev"], default=False)
def laws(session: nox.Session) -> None:
    """The laws, with many examples. HYPOTHESIS_PROFILE=nightly tries far more."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    run_tests(session, "tests/unit", marked="property", HYPOTHESIS_PROFILE=profile)


@in_dev
def coverage(session: nox.Session) -> None:
    """The domain's own unit tests take every branch of it, with few examples of each law and always the same ones."""
    report = ("--cov=monitor.domain", "--cov-report=term-missing:skip-covered")
    run(session, "pytest", *TWO_PROCESSES, *report, "tests/unit/domain", HYPOTHESIS_PROFILE="few")


@in_dev
def processes(session: nox.Session) -> None:
    """Servers and workers in numbers, as processes that are killed, stopped and started again."""
    run_marked(session, "processes")


@in_dev
def faults(session: nox.Session) -> None:
    """
    Nothing is lost under kills, crashes and hostile receivers, in the short form; ``-- --figures FILE`` keeps figures.

    MONITOR_TEST_LONG=1 runs it whole: 100,000 events.
    """
    run_tests(session, "tests/faults", together=False)


@in_dev
def chaos(session: nox.Session) -> None:
    """
    Faults that a seed chooses, under traffic, judged by journals: ``nox -s chaos -- --minutes 10 --seed 7``.

    Without arguments it is short, with one seed.
    """
    run(session, "python", "-m", "tests.chaos", *session.posargs)


@in_dev
def cache(session: nox.Session) -> None:
    """The long forms of the cache's tests: 60 s in 4 processes, a million keys, 500 stories of the state machine."""
    machine = ("tests/unit/cache/test_machine.py", "tests/unit/cache/test_mutants.py")
    run(session, "pytest", *machine, HYPOTHESIS_PROFILE="coherence")
    run_tests(session, "-s", "tests/integration/cache", together=False, MONITOR_TEST_LONG="1")


@in_dev
def sender(session: nox.Session) -> None:
    """The long forms of the sender's tests: 10,000 answers beside aiohttp, a million posts to receivers that close."""
    run_tests(session, "tests/integration/sender", together=False, MONITOR_TEST_LONG="1")


@in_dev
def migrations(session: nox.Session) -> None:
    """Upgrade an empty database, compare it with the tables the code knows, go down and up again."""
    run_marked(session, "migrations")


@in_dev
def demo(session: nox.Session) -> None:
    """What a newcomer sees of `monitor up --demo`, in real time: two minutes."""
    run_marked(session, "demo")


@in_dev
def openapi(session: nox.Session) -> None:
    """Hold the OpenAPI document against OpenAPI 3.1 and against the committed one; ``-- --write`` commits it anew."""
    committed = Path("docs/openapi.json").resolve()
    document = Path(session.create_tmp()).resolve() / "openapi.json"
    with document.open("w", encoding="utf-8") as file:
        session.run(program("monitor"), "openapi", stdout=file, external=True)
    run(session, "python", "-m", "openapi_spec_validator", str(document))
    if "--write" in session.posargs:
        committed.write_bytes(document.read_bytes())
    elif committed.read_bytes() != document.read_bytes():
        session.error("docs/openapi.json is not that of the code; run: nox -s openapi -- --write")


@in_dev
def bench(session: nox.Session) -> None:
    """Throughput and latency beside bare yardsticks in the same run: ``nox -s bench -- NAME``."""
    install("peers")
    run(session, "python", "-m", "benchmarks", *session.posargs)


@in_dev
def benchmarks(session: nox.Session) -> None:
    """Each benchmark in a tiny form: it runs to its end. What it measures says nothing."""
    install("peers")
    run_marked(session, "benchmarks")


@in_dev
def pagers(session: nox.Session) -> None:
    """Debian's Alertmanager as a destination: one alert there for each of ours. As root it installs a missing one."""
    if shutil.which("alertmanager") is None:
        need(session, "prometheus-alertmanager", "prometheus-alertmanager")
    run_marked(session, "pagers")


@in_dev
def deploy(session: nox.Session) -> None:
    """
    What `deploy/` holds, by its linters: the image's file, compose, the chart rendered by Helm, the units by systemd.

    MONITOR_TEST_LONG=1 builds the image by buildah on a base from Debian's packages, as root on Debian, and runs it.
    """
    install("deploy")
    run_tests(session, "tests/deploy", together=False)


@in_dev
def upgrades(session: nox.Session) -> None:
    """
    The last release is replaced under traffic, and backups are restored. As root on Debian it installs PostgreSQL.

    Needs the history of the repository, and the programs of a PostgreSQL server. MONITOR_TEST_LONG=1 runs it whole.
    """
    need(session, "postgresql", "initdb", "pg_dump", "pg_basebackup")
    run_marked(session, "upgrades")


@in_dev
def postgres(session: nox.Session) -> None:
    """All that is SQL on PostgreSQL 14, 16 and 17, which npm has: ``nox -s postgres -- 14`` for one of them."""
    run(session, "python", "-m", "tests.postgres_versions", *session.posargs)


@in_dev
def topology(session: nox.Session) -> None:
    """
    Behind nginx, PgBouncer, with a replica and Redis under Sentinel, of Debian: one part of each kind is killed under
    load, and the primary fails over. As root it installs what is missing.

    MONITOR_TEST_LONG=1 adds what holds behind each part alone, HAProxy and a cluster of Redis among them.
    """
    for package, *programs in PARTS:
        need(session, package, *programs)
    if "MONITOR_TEST_LONG" in os.environ:
        run_marked(session, "topology", "tests/topology")
    else:
        run_tests(session, "tests/topology", marked="topology", together=False)
    if not session.posargs:
        run_tests(session, *POOLED_SHORT, together=False, **POOLED)


@in_dev
def pooled(session: nox.Session) -> None:
    """
    `integration`, `processes`, `faults` and `chaos` through Debian's PgBouncer in transaction mode: about an hour.

    As root it installs a missing one. Arguments are those of pytest: ``nox -s pooled -- tests/faults``.
    """
    need(session, "pgbouncer", "pgbouncer")
    if session.posargs:
        run(session, "pytest", *session.posargs, **POOLED)
        return
    run_tests(session, "tests/integration", marked=QUICK, together=True, **POOLED)
    run_tests(session, "tests/integration", marked="processes", together=False, **POOLED)
    run_tests(session, "tests/faults", together=False, **POOLED)
    run(session, "python", "-m", "tests.chaos", **POOLED)


@in_dev
def telemetry(session: nox.Session) -> None:
    """Debian's Prometheus on real processes, with the rules and queries of deploy/, and traces into a collector.

    As root it installs a missing one.
    """
    need(session, "prometheus", "prometheus", "promtool")
    run_marked(session, "telemetry")


@in_dev
def load(session: nox.Session) -> None:
    """
    A hundred users against servers of its own, held to the bars: ``nox -s load -- --minutes 5``.

    Without arguments it is short and small, and its bars of times are wide: it shows that nothing fails, leaks, gets
    lost on the live feed or misses the cache, on a machine that may have other things to do.
    """
    install("load")
    small = ("--minutes", "0.5", "--webhooks", "200", "--attempts", "200000")
    short = (*small, "--latency-slack", "20", "--hit-ratio", "0.8")
    run(session, "python", "-m", "benchmarks.load", *(session.posargs or short))


@in_dev
def detection(session: nox.Session) -> None:
    """False alarms and minutes to detect, over simulated traffic; fails under the floors."""
    run(session, "python", "-m", "benchmarks.detection", *session.posargs)


@in_dev
def mutants(session: nox.Session) -> None:
    """Tests notice changes of one line, each in a copy of the source. -- WORD selects some."""
    run(session, "python", "-m", "tests.mutants", *session.posargs)


@in_dev
def fuzz(session: nox.Session) -> None:
    """schemathesis with all its checks, as every role, against a server of its own: several minutes."""
    install("fuzz")
    run_tests(session, "tests/fuzz", together=False)


@nox.session(requires=["dev"], default=False)
def clients(session: nox.Session) -> None:
    """
    Generate a Python and a TypeScript client of the OpenAPI document, and call every operation with each.

    Needs Node.js >= 20 and npm. The generator stands apart: it bounds libraries that the tests have newer.
    """
    session.install("openapi-python-client==0.29.1")
    run_tests(session, "tests/clients", together=False, CLIENT_GENERATOR=f"{session.bin}/openapi-python-client")


@nox.session(venv_backend="none", default=False)
def page(session: nox.Session) -> None:
    """The page's modules: style, types, and units that need no browser. Needs Node.js >= 20.19 and npm."""
    with session.chdir("tests/page"):
        session.run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", external=True)
        session.run("npm", "test", external=True)


@in_dev
def security(session: nox.Session) -> None:
    """
    Lists of attacks, the database role, the proxy, and the drill for each leaked key, on an installation as documented.

    It ends with one line for each list: tried, as expected, wrong. As root on Debian it installs a missing nginx.
    """
    need(session, "nginx", "nginx")
    run_tests(session, "tests/docs/test_installation.py", "tests/security", together=False)


@in_dev
def docs(session: nox.Session) -> None:
    """Run every example of the documents as a reader would, and hold their tables and links to the code."""
    # The checklist and the drills behind it belong to `security`.
    run_tests(session, "tests/docs", "--ignore=tests/docs/test_installation.py", together=False)


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
    groups = [part for group in ("dev", "browser", "fuzz", "load", "peers", "deploy") for part in ("--group", group)]
    session.run(*command, *how, *groups, "--constraint", LOCKS[0], "--output-file", LOCKS[1])
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
    session.run("pytest", "-m", "not property", *(session.posargs or ("tests/unit",)))


def _lowest(dependency: str) -> str:
    """Return a constraint to the lower bound of *dependency*, without its extras, which constraints cannot have."""
    requirement = Requirement(dependency)
    (version,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return f"{requirement.name}=={version}" + (f"; {requirement.marker}" if requirement.marker else "")


@nox.session(default=False)
def package(session: nox.Session) -> None:
    """
    Build the wheel and the sdist, check both, run the wheel in an environment of its own, and test the sdist there.

    They are left in dist/.
    """
    session.install("build", "twine")
    dist, work = Path("dist").resolve(), Path(session.create_tmp()).resolve()
    for place in (dist, work):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    # The wheel is built of the sdist, as installers do.
    session.run("python", "-m", "build", "--outdir", str(dist))
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("python", "tests/archives.py", str(dist))
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    (unpacked,) = work.iterdir()
    session.run("python", "-m", "venv", str(work / "venv"))
    python, monitor = (str(work / "venv" / "bin" / name) for name in ("python", "monitor"))
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    # Elsewhere, so that nothing of the checkout can be imported.
    with session.chdir(work):
        session.run(monitor, "--version", external=True)
        session.run("python", str(unpacked / "tests" / "smoke.py"), f"{monitor} up")
    session.run(
        python, "-m", "pip", "install", "--quiet", *nox.project.dependency_groups(PYPROJECT, "test"), external=True
    )
    with session.chdir(unpacked):
        session.run(python, "-m", "pytest", "-m", "not property", *(session.posargs or OF_AN_SDIST), external=True)


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Write dist/sbom.cdx.json: what a deployment of the lock consists of, vendored scripts included, as CycloneDX."""
    session.install("cyclonedx-bom")
    bom = Path("dist/sbom.cdx.json").resolve()
    bom.parent.mkdir(exist_ok=True)
    options = ("--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", str(bom))
    session.run("cyclonedx-py", "requirements", str(LOCKS[0]), *options)
    document = json.loads(bom.read_text(encoding="utf-8"))
    # It reads no version that is dynamic.
    source = (Path("src") / "monitor" / "__init__.py").read_text(encoding="utf-8")
    document["metadata"]["component"]["version"] = source.rpartition("__version__ = ")[2].strip().strip('"')
    document["components"] += [_component(package, digest) for package, digest, files in VENDORED if _ships(files)]
    bom.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    session.run("python", "-c", VALID_SBOM, str(bom))
    named = {component["name"].replace(".", "-").lower() for component in document["components"]}
    missing = {pin for pin in re.findall(r"^([\w.-]+)==", LOCKS[0].read_text(), re.MULTILINE) if pin not in named}
    if missing:
        session.error(f"the SBOM lacks {sorted(missing)}")


VALID_SBOM = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1], encoding="utf-8").read()
version = next(v for v in SchemaVersion if f'"specVersion": "{v.to_version()}"' in text)
sys.exit(JsonStrictValidator(version).validate_str(text) and f"{sys.argv[1]} is no valid CycloneDX")
"""


def _ships(files: dict[str, Path]) -> bool:
    return any(file.is_relative_to("src") for file in files.values())


def _component(package: str, integrity: str) -> dict[str, object]:
    """Return a package of the npm registry as a component of CycloneDX."""
    name, _, version = package.rpartition("@")
    digest = base64.b64decode(integrity.removeprefix("sha512-")).hex()
    return {
        "bom-ref": f"npm-{package}",
        "hashes": [{"alg": "SHA-512", "content": digest}],
        "name": name,
        "purl": f"pkg:npm/{package}",
        "type": "library",
        "version": version,
    }


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """
    Ask the advisories of PyPI about every version of the lock; ``-- --ignore-vuln ID`` accepts one.

    It is skipped, and says so, only where that service cannot be reached.
    """
    session.install("pip-audit")
    report = Path(session.create_tmp()).resolve() / "audit.json"
    report.unlink(missing_ok=True)
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json", "-o", str(report))
    # With a vulnerability and without the service it exits with 1, and only with a report in the first case.
    said = session.run(
        *("pip-audit", "-r", str(LOCKS[0]), *options, *session.posargs), silent=True, success_codes=[0, 1]
    )
    if not report.exists():
        if re.search("ConnectionError|Could not connect|Max retries|timed out", str(said)):
            session.skip(f"the service of advisories cannot be reached, so nothing was audited: {said}")
        session.error(str(said))
    packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    unknown = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    audited = [one for one in packages if "skip_reason" not in one]
    if not audited:
        # As a mirror answers that has the files of PyPI and not its advisories.
        session.skip(f"the index has no advisories, so nothing was audited: {unknown[0]}, and so on for all")
    found = [f"{one['name']} {one['version']}: {flaw['id']}" for one in audited for flaw in one["vulns"]]
    session.log(f"{len(audited)} packages audited")
    if found or unknown:
        session.error("; ".join([*found, *unknown]))


@nox.session(python=["3.12", "3.13"], default=False)
def pythons(session: nox.Session) -> None:
    """The Pythons after the oldest: the demo, and unit tests but for the laws. One: `nox -s pythons-3.13`."""
    session.install(".", *nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("python", "tests/smoke.py", f"{session.bin}/monitor up --demo")
    session.run("pytest", "-m", "not property", *(session.posargs or ("tests/unit",)))


@in_dev
def browser(session: nox.Session) -> None:
    """
    The page in headless Chromium, which the system provides, each file against a server of its own.

    MONITOR_TEST_LONG=1 looks at everything in both themes and both sizes; the short form has each of them once.
    """
    install("browser")
    run_tests(session, "tests/browser")


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
    """
    Return a module without a source map, since there is none.

    The one bare import is named by its file, for want of an import map. A script that sets one variable exports it.
    """
    lines = source.replace(b'from"preact"', b'from"./preact.js"').splitlines(keepends=True)
    module = b"".join(line for line in lines if not line.startswith((b"//# sourceMappingURL", b"/*# sourceMappingURL")))
    script = None if b"export" in module else re.search(rb"^var (\w+)=function\(", module, re.MULTILINE)
    return module + b"export default %s;\n" % script[1] if script else module

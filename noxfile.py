"""Everything that is run on this repository: `nox -l` lists it, plain pip suffices, uv makes it faster.

    nox -s demo                        the example project, with a worker killed in mid-activity
    nox -s tests                       the whole suite: the Python that runs nox, the newest Django for it
    nox -s tests -- -k replay -n 0     what follows `--` goes to pytest
    nox -s "tests-3.13(django='6.1')"  the whole suite on one pair
    nox -s matrix                      the whole suite on every pair whose Python is installed
    nox -s soak                        an hour under load; `-- --minutes 2` is a trial
    nox -s bench -- --tasks 20 --concurrency 10 --payload-size 0 --backend sqlite

Needed: Python and nox. The servers are a Postgres and a Redis out of wheels; tests/servers.py and
tests/redis_servers.py say how to use others.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"  # the packages are installed editable, so an old environment runs today's code
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "imports", "tests"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PACKAGES = [  # siblings come first
    "packages/durable-core",
    "packages/durable-pg-queue",
    "packages/durable-redis-queue",
    "packages/durable-django",
]

OLDEST_PYTHON = (3, 11)
PAIRS = [  # (Python, Django); Django 6.0 needs Python 3.12
    ("3.11", "5.2"),
    ("3.12", "5.2"),
    ("3.12", "6.0"),
    ("3.12", "6.1"),
    ("3.13", "5.2"),
    ("3.13", "6.0"),
    ("3.13", "6.1"),
]
SAY_VERSIONS = "import sys, django; print('Python', *sys.version_info[:3], 'Django', django.__version__)"
SAY_PINNED = """
from importlib.metadata import distributions
print(*sorted(f"{d.name}=={d.version}" for d in distributions() if not d.name.startswith("durable")), sep="\\n")
"""
# Hundreds of processes import what is installed editable: compiled in each, that would be a third of their time.
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}
PYTEST_PROCESSES = "4"  # of xdist, on two cores: most tests wait for processes; "0" runs the suite in one process


# --- interpreters ---


def candidates(version: str) -> Iterator[Path]:
    """Where Python *version* may be; a version manager's shim is on PATH also when it leads nowhere."""
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    home = Path.home()
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local" / "share" / "uv" / "python"))
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    for versions in (pyenv.glob(f"versions/{version}.*"), uv.glob(f"cpython-{version}.*")):
        for installation in sorted(versions, key=lambda path: (len(path.name), path.name), reverse=True):
            yield installation / "bin" / f"python{version}"


@functools.cache
def interpreter(version: str) -> str | None:
    """The path of a Python *version* that runs, None if there is none."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    program = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for python in candidates(version):
        try:
            answer = subprocess.check_output([python, "-c", program], stderr=subprocess.DEVNULL, text=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        found, path = answer.strip().split(" ", 1)
        if found == version:
            return path
    return None


def default_python() -> str | None:
    """None is the Python that runs nox; it may be too old for the packages, then the newest that is not."""
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return None
    found = [path for python, _ in reversed(PAIRS) if (path := interpreter(python))]
    return found[0] if found else "3.11"  # nox then says that it is missing


PYTHON = default_python()


# --- what sessions have in common ---


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def install(session: nox.Session, *requirements: str, extra: str = "") -> None:
    """The packages of this repository as they stand here, and *requirements*, resolved together."""
    *siblings, django = PACKAGES
    needed = siblings if extra else siblings[:1]
    editable = [option for package in (*needed, django + extra) for option in ("-e", package)]
    session.install(*editable, *requirements)


def run_tests(session: nox.Session, django: str) -> None:
    install(session, *group("test"), django, extra="[all]")
    session.run("python", "-c", SAY_VERSIONS)
    options = ["-n", PYTEST_PROCESSES, "--durations=25", *session.posargs]
    session.run("python", "-m", "pytest", *options, env=COMPILED_ONCE)


# --- sessions ---


@nox.session(python=PYTHON)
def demo(session: nox.Session) -> None:
    """Run the example: a workflow survives the SIGKILL of its worker."""
    install(session)
    session.run("python", "examples/onboarding/demo.py", *session.posargs)


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run all tests on SQLite and Postgres, with the Python that runs nox."""
    run_tests(session, "Django>=5.2")


def register_pair(python: str, django: str) -> str:
    """A session of its own for one pair, so that `nox -s tests` means one run and not seven."""
    name = f"tests-{python}(django={django!r})"
    path = interpreter(python)

    def tests_of_pair(session: nox.Session) -> None:
        if path is None:
            session.error(f"Python {python} is not installed: neither on PATH nor below pyenv or uv")
        run_tests(session, f"Django~={django}.0")

    tests_of_pair.__doc__ = f"Run all tests on Python {python} with Django {django}."
    nox.session(name=name, python=path or False, default=False)(tests_of_pair)
    return name


SESSION_OF_PAIR = {(python, django): register_pair(python, django) for python, django in PAIRS}


@nox.session(python=False, default=False)
def matrix(session: nox.Session) -> None:
    """Run all tests on every pair of Python and Django whose Python is installed."""
    for (python, _), name in SESSION_OF_PAIR.items():
        if interpreter(python) is None:
            session.warn(f"{name} is left out: Python {python} is not installed")
        else:
            session.notify(name)


@nox.session(python=PYTHON, default=False)
def teeth(session: nox.Session) -> None:
    """Tell the bank's lies to a copy of the code: each must be found by the tests named for it; `-- -k WORD`."""
    install(session, *group("test"), "Django>=5.2", extra="[all]")
    session.run("python", "-m", "tests.teeth", *session.posargs)


@nox.session(python=PYTHON, default=False)
def mutation(session: nox.Session) -> None:
    """Change the core at random with mutmut, for hours; `-- replay retry`: these modules only, `-- --sample 1200`."""
    install(session, *group("mutation"), "Django>=5.2", extra="[all]")
    session.run("python", "-m", "tests.teeth.mutants", session.create_tmp(), *session.posargs)


@nox.session(python=PYTHON, default=False)
def chaos(session: nox.Session) -> None:
    """Kill, pause and drain workers and restart their servers while random programs run: 15 minutes, over the pairs."""
    install(session, *group("test"), "Django>=5.2", extra="[all]")
    session.run("python", "-m", "tests.chaos", *(session.posargs or ["--seconds", "150"]), env=COMPILED_ONCE)


@nox.session(python=PYTHON, default=False)
def kills(session: nox.Session) -> None:
    """Kill one worker after another, at every two crash points, on every pair of store and queue: 40 minutes."""
    install(session, *group("test"), "Django>=5.2", extra="[all]")
    options = ["-n", PYTEST_PROCESSES, "tests/crashes", "tests/crashes/every_two_kills.py", *session.posargs]
    session.run("python", "-m", "pytest", *options, env=COMPILED_ONCE | {"DURABLE_TEST_PAIRS": "all"})


@nox.session(python=PYTHON, default=False)
def simulate(session: nox.Session) -> None:
    """Simulate worlds of workers whose processes die and whose queue lies: 100,000 seeds that nobody has seen."""
    install(session)
    session.run("python", "-m", "tests.simulation", *(session.posargs or ["--seeds", "100000"]))


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; `nox -s lint -- --fix` mends what can be mended."""
    session.install(*group("lint"))
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    else:
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly; and with pyright what users write."""
    install(session, *group("types"), extra="[all]")
    session.run("python", "-m", "mypy", *session.posargs)
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


@nox.session(python=PYTHON)
def imports(session: nox.Session) -> None:
    """Check that the core reads downwards and knows no Django."""
    install(session, *group("lint"), extra="[all]")
    session.run("lint-imports")


@nox.session(python=PYTHON)
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(*group("docs"))
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html", *session.posargs)


@nox.session(python=PYTHON)
def security(session: nox.Session) -> None:
    """Look through the packages with Bandit; what it is told to pass over stands in pyproject.toml, with reasons."""
    session.install(*group("security"))
    session.run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *(f"{p}/src" for p in PACKAGES))


@nox.session(python=PYTHON, default=False)
def audit(session: nox.Session) -> None:
    """Ask PyPI's advisory service for known holes in what an installation brings along; where it is silent, fail."""
    install(session, *group("security"), extra="[all]")
    pinned = str(session.run("python", "-c", SAY_PINNED, silent=True))
    requirements = Path(session.create_tmp()) / "installed.txt"
    requirements.write_text(pinned)
    session.log("This asks https://pypi.org itself, not an index of packages; with -- -s osv it asks api.osv.dev.")
    # --strict: a package that the service knows nothing of is a failure, or a service that is away would look clean.
    options = ["--strict", "--no-deps", "--disable-pip", "--requirement", str(requirements)]
    session.run("pip-audit", *options, *session.posargs)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure latency and throughput."""
    install(session, *group("bench"), extra="[all]")
    session.run("python", "benchmarks/bench.py", *session.posargs)


@nox.session(python=PYTHON)
def soak(session: nox.Session) -> None:
    """Keep workers under load for an hour: 1,000,000 runs on Postgres. `-- --minutes 2` is a trial."""
    install(session, *group("bench"), extra="[all]")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session(python=PYTHON)
def build(session: nox.Session) -> None:
    """Build wheels and sdists, and use them in an empty environment, away from this checkout."""
    # One environment for eight builds. That the packages name what builds them shows wherever pip installs them.
    projects = [nox.project.load_toml(f"{package}/pyproject.toml") for package in PACKAGES]
    backend = {name for project in projects for name in project["build-system"]["requires"]}
    session.install("build", *sorted(backend))
    out = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(out, ignore_errors=True)
    for package in PACKAGES:  # the wheel is made from the sdist, so both are complete
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(out), package)

    # By their paths: an index may know other packages of these names.
    wheels = [str(wheel) for wheel in sorted(out.glob("*.whl"))]
    with tempfile.TemporaryDirectory(prefix="durable-build-") as place, session.chdir(place):
        session.run("python", "-m", "venv", "clean")
        python = str(Path(place) / "clean" / "bin" / "python")
        session.run(python, "-m", "pip", "install", "--quiet", *wheels, "psycopg[binary]", external=True)
        session.run(python, "-P", str(ROOT / "tests" / "installed.py"), external=True)

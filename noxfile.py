"""The one way to do anything here: ``nox --list`` says what there is, ``nox`` does what CI does."""

import os
import re
import shutil
import sys
from pathlib import Path
from platform import machine, system

import nox

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ("3.11", "3.12", "3.13")
DEVELOPMENT = ROOT / ".venv"
SOURCES = (".", "adapters", "entrypoints")
# What each locked file holds. The first one holds everything, so the others agree with it.
LOCKS = {
    "dev": ("pyproject.toml", "--extra=service", "--extra=debug", "--extra=otel", "--group=dev"),
    "service": ("pyproject.toml", "--extra=service"),
    "tests": (
        "pyproject.toml",
        "--extra=service",
        "--extra=debug",
        "--extra=otel",
        "--group=tests",
    ),
    "typing": (
        "pyproject.toml",
        "--extra=service",
        "--extra=debug",
        "--extra=otel",
        "--group=typing",
    ),
    "lint": ("--group=lint",),
    "build": ("--group=build",),
    "zipapps": ("--group=zipapps",),
    "docs": ("pyproject.toml", "--group=docs"),
    "audit": ("--group=audit",),
    "sbom": ("--group=sbom",),
    "fuzz": ("pyproject.toml", "--extra=service", "--group=fuzz"),
    "console": ("--group=console",),
    "deploy": ("--group=deploy",),
    "clients": ("pyproject.toml", "--extra=service", "--group=clients"),
    "receivers": ("--group=receivers",),
    "embedding": ("pyproject.toml", "--extra=service", "--group=embedding"),
}
# What uv calls the platforms that there is a file for. Of Intel Macs and of Linux with musl there
# is none: cryptography has no wheel for the first, aiokafka none for the second.
PLATFORMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "macos-arm64": "aarch64-apple-darwin",
    "windows-x86_64": "x86_64-pc-windows-msvc",
}
# Tests wait more than they compute: one process more than there are cores. In the order of their
# names the files that take long come first, and the many short ones of tests/unit fill the end.
BESIDE = (
    f"--numprocesses={(os.cpu_count() or 1) + 1}",
    "--dist=loadfile",
    "--no-loadscope-reorder",
)
LITTER = (
    *("build", "dist", "docs/_build", "htmlcov", ".coverage*", ".hypothesis", "**/__pycache__"),
    *(".import_linter_cache", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache"),
)

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"  # `nox -s clean` is the way back to a fresh start
nox.options.sessions = ["lint", "typing", "tests"]


@nox.session(venv_backend="none")
def init(session: nox.Session) -> None:
    """Make .venv for development: everything locked, the project editable, pre-commit in git."""
    programs = DEVELOPMENT / ("Scripts" if os.name == "nt" else "bin")
    if not programs.exists():
        session.run(sys.executable, "-m", "venv", str(DEVELOPMENT), external=True)
    pip = (str(programs / "python"), "-m", "pip", "install")
    session.run(*pip, *_locked("dev"), external=True)
    session.run(*pip, "--no-deps", "--no-build-isolation", "--editable", ".", external=True)
    if (ROOT / ".git").exists() and shutil.which("git"):
        # It refuses where the developer has hooks of their own: that is no reason to fail.
        session.run(str(programs / "pre-commit"), "install", success_codes=[0, 1], external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, layers, spelling, words and the packaging's own file."""
    session.install(*_locked("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join(SOURCES)})
    session.run("codespell")
    session.run("python", "docs/check_words.py")
    session.run("validate-pyproject", "pyproject.toml")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of everything, tests and this file included."""
    session.install(*_locked("typing"))
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Test what a user gets; arguments after -- go to pytest."""
    _install_as_a_user_would(session, "tests")
    session.run("pytest", *BESIDE, *session.posargs, env={"PYTHONSAFEPATH": "1"})


@nox.session(venv_backend="none")
@nox.parametrize("version", PYTHONS)
def pythons(session: nox.Session, version: str) -> None:
    """Test on SQLite and in memory with each Python; one that is not installed is skipped."""
    interpreter = _find_interpreter(version)
    if interpreter is None:
        session.skip(f"Python {version} is not installed: pyenv install {version}")
    folder = ROOT / ".nox" / f"pythons-{version}"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    session.run(interpreter, "-m", "venv", str(folder), external=True)
    pip = (str(programs / "python"), "-m", "pip", "install", "--quiet")
    session.run(*pip, *_locked("tests", "build"), external=True)
    wheel = ("--no-deps", "--no-build-isolation", "--force-reinstall", ".")
    session.run(*pip, *wheel, external=True)
    chosen = ("-k", "not postgres and not kafka", *BESIDE, *session.posargs)
    folders = ("tests/contracts", "tests/unit", "tests/entrypoints")
    pytest = (str(programs / "python"), "-m", "pytest", *chosen, *folders)
    session.run(*pytest, env={"PYTHONSAFEPATH": "1"}, external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """Test, and fail where too few branches were taken; arguments after -- go to pytest."""
    _install_as_a_user_would(session, "tests")
    session.run("pytest", *BESIDE, "--cov", *session.posargs, env={"PYTHONSAFEPATH": "1"})


@nox.session
def coverage_html(session: nox.Session) -> None:
    """Test, and write which branches were taken into htmlcov/; arguments after -- go to pytest."""
    _install_as_a_user_would(session, "tests")
    report = ("--cov", "--cov-report=html", "--cov-fail-under=0")
    session.run("pytest", *BESIDE, *report, *session.posargs, env={"PYTHONSAFEPATH": "1"})


@nox.session
def faults(session: nox.Session) -> None:
    """Test the guarantees by fault injection; ``-- -k WORD --seed N --minutes M`` chooses.

    A table at the end has a line for each experiment. What is known of each stays in build/ until
    the next time, with what to say to run it again.
    """
    _install_as_a_user_would(session, "tests")
    _break_it(session, "(experiment or long) and not mutant")


@nox.session
def mutants(session: nox.Session) -> None:
    """Test the checker of the guarantees by mutations of the product."""
    _install_as_a_user_would(session, "tests")
    _break_it(session, "mutant")


@nox.session
def hostile(session: nox.Session) -> None:
    """Run misbehaving receivers, names and URLs against each sender, and print the results."""
    _install_as_a_user_would(session, "tests")
    session.run("python", "-m", "tests.hostile", *session.posargs)


@nox.session
def clients(session: nox.Session) -> None:
    """Have others' generators make clients of the API document, compile them and use them."""
    if not shutil.which("npm"):
        session.skip("npm is not installed: apt install npm, or nodejs.org")
    _install_as_a_user_would(session, "clients")
    session.run("python", "-m", "tests.clients")


@nox.session
def embedding(session: nox.Session) -> None:
    """Run the Django project of docs/examples, and the contract suites on a storage like yours."""
    _install_as_a_user_would(session, "tests", "embedding")
    session.run("python", "-m", "tests.embedding")


@nox.session
def receivers(session: nox.Session) -> None:
    """Run the examples of docs/receivers, and published libraries, on deliveries; ``-- node go``.

    Languages that are not installed are skipped: Node, Go, Rust, Java with Maven, Ruby with Puma
    and PHP. Their packages come from their registries.
    """
    _install_as_a_user_would(session, "tests", "receivers")
    session.run("python", "-m", "tests.receivers", *session.posargs)


@nox.session
def console(session: nox.Session) -> None:
    """Look at the console's pages in a real browser; ``-- --pictures FOLDER`` writes them there.

    It needs Chromium and npm, which brings axe.
    """
    _install_as_a_user_would(session, "tests", "console")
    session.run("python", "-m", "tests.browser", *session.posargs)


@nox.session
def deployment(session: nox.Session) -> None:
    """Validate deploy/, and run the image's steps and its command without a container engine."""
    _install_as_a_user_would(session, "deploy", "tests")
    session.run("python", "-m", "tests.deployment")


@nox.session
def monitoring(session: nox.Session) -> None:
    """Test alerts and dashboard with a real Prometheus, and draw the dashboard."""
    if not (shutil.which("promtool") and shutil.which("prometheus")):
        session.skip("promtool and prometheus are not installed: apt-get install prometheus")
    _install_as_a_user_would(session, "tests")
    session.run("python", "-m", "tests.monitoring")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz parsers and API; ``-- -max_total_time=600`` runs longer."""
    _install_as_a_user_would(session, "fuzz", "tests")
    limits = session.posargs or ["-max_total_time=20"]
    for target in sorted(Path("tests/fuzz").glob("fuzz_*.py")):
        session.run("python", str(target), *limits, "-verbosity=0", "-print_final_stats=1")
    env = {"API_FUZZ_EXAMPLES": "200", "PYTHONSAFEPATH": "1"}
    api = ("-s", "--long", "--timeout=7200", "tests/entrypoints/api/test_schemathesis.py")
    session.run("pytest", *api, env=env)


@nox.session
def generate(session: nox.Session) -> None:
    """Write what follows from the code again: reference pages, the document as JSON, schemas."""
    _install_as_a_user_would(session, "tests")
    session.run("python", "docs/generate.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/; a warning is an error."""
    session.install(*_locked("docs"))
    session.run("sphinx-build", "--nitpicky", "--fail-on-warning", "docs", "docs/_build")


@nox.session(reuse_venv=False)
def documents(session: nox.Session) -> None:
    """Run what README, quickstart and guides tell their reader to run; ``-- verify`` chooses.

    What is not run is printed with its reason. It needs curl and jq.
    """
    _install_as_a_user_would(session, "service")
    session.run("python", "-m", "tests.documents", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure how fast the system is, over what is possible; ``-- --help`` says what it takes."""
    _install_as_a_user_would(session, "tests")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session
def trace(session: nox.Session) -> None:
    """Count what one event passes from publish to stored result; ``-- --list`` names it."""
    _install_as_a_user_would(session, "tests")
    session.run("python", "-m", "tests.trace_event", *session.posargs)


@nox.session(venv_backend="none")
def structure(session: nox.Session) -> None:
    """Count modules, functions and names; ``-- --at REVISION`` compares, ``-- --list`` names."""
    session.run(sys.executable, "-m", "tests.structure", *session.posargs, external=True)


@nox.session
def demo(session: nox.Session) -> None:
    """Watch a pipeline's events arrive, signed and verified, through a retry and a crash."""
    _install_as_a_user_would(session, "service")
    session.run("python", "docs/examples/demo.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel, the source distribution and their SBOM into dist/."""
    session.install(*_locked("build", "sbom"))
    session.run("python", "-m", "build", "--no-isolation")
    _list_materials(session)


@nox.session
def build_all(session: nox.Session) -> None:
    """Build a file for each platform that runs with this Python's version and nothing else.

    The one for this platform is put to work: it delivers the events of a test.
    """
    session.install(*_locked("zipapps", "tests"))
    DIST.mkdir(exist_ok=True)
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.run("python", "-m", "build", "--no-isolation", "--wheel", f"--outdir={folder}")
    (wheel,) = folder.glob("*.whl")
    session.install("--no-deps", "--force-reinstall", str(wheel))
    for name, platform in PLATFORMS.items():
        _build_zipapp(session, wheel, name, platform)
    here = f"{system().lower()}-{machine()}".replace("darwin", "macos").replace("AMD64", "x86_64")
    if here in PLATFORMS:
        ours = DIST / _zipapp_name(wheel, here)
        env = {"TEST_COMMAND": str(ours), "SHIV_ROOT": str(folder / "unpacked")}
        session.run("pytest", "tests/e2e/test_events.py", env=env | {"PYTHONSAFEPATH": "1"})


@nox.session
def audit(session: nox.Session) -> None:
    """Check locked dependencies for known vulnerabilities; reports those that are unknown."""
    session.install(*_locked("audit"))
    report = Path(session.create_tmp()) / "report.json"
    report.unlink(missing_ok=True)
    locked = [f"--requirement=requirements/{name}.txt" for name in LOCKS]
    session.run(
        *("pip-audit", "--require-hashes", "--disable-pip", "--format=json", "--desc=off"),
        *(f"--output={report}", "--progress-spinner=off", *locked),
        success_codes=[0, 1],
        silent=True,
    )
    session.run("python", "docs/audit.py", str(report))


@nox.session(venv_backend="none")
def clean(session: nox.Session) -> None:
    """Remove what the other sessions leave, their environments included; .venv stays."""
    for pattern in LITTER:
        for path in ROOT.glob(pattern):
            if not path.is_relative_to(DEVELOPMENT):
                session.log("removing %s", path.relative_to(ROOT))
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements/*.txt again from pyproject.toml; ``-- --upgrade`` takes newer versions."""
    session.install("uv")
    for name, sources in LOCKS.items():
        session.run(
            *("uv", "pip", "compile", "--universal", "--python-version=3.11", "--generate-hashes"),
            # With its extras named a requirement is pinned for every pip: older ones look for
            # `coverage[toml]` again where only `coverage` is locked, and then miss its hash.
            *("--no-strip-extras", "--no-header", "--no-annotate", "--quiet"),
            f"--output-file=requirements/{name}.txt",
            *(() if name == "dev" else ("--constraints=requirements/dev.txt",)),
            *sources,
            *session.posargs,
        )


def _find_interpreter(version: str) -> str | None:
    """Return pyenv's newest interpreter of a version, or the one on the path."""
    installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    newest = max(installed, key=lambda path: int(path.parts[-3].split(".")[2]), default=None)
    return str(newest) if newest else shutil.which(f"python{version}")


def _break_it(session: nox.Session, marks: str) -> None:
    """Run the tests that have these marks, and keep what they leave behind."""
    (ROOT / "build").mkdir(exist_ok=True)
    chosen = ("-v", "-m", marks, "--long", f"--basetemp={ROOT / 'build' / session.name}")
    session.run("pytest", *chosen, *session.posargs, env={"PYTHONSAFEPATH": "1"})


def _locked(*names: str) -> tuple[str, ...]:
    return ("--require-hashes", *(f"--requirement=requirements/{name}.txt" for name in names))


def _text_of(name: str) -> str:
    return Path(f"requirements/{name}.txt").read_text("utf-8")


def _list_materials(session: nox.Session) -> None:
    """Write what is needed to run the wheel, and what is inside of it, as CycloneDX."""
    folder = Path(session.create_tmp())
    everything, draft = folder / "requirements.txt", folder / "draft.json"
    # Of what the build needs one thing is inside of the wheel: the files of Swagger UI.
    carrier = re.search(r"(?m)^drf-spectacular-sidecar==(?:.*\\\n)*.*\n", _text_of("build"))
    everything.write_text(_text_of("service") + (carrier[0] if carrier else ""))
    session.run(
        *("cyclonedx-py", "requirements", str(everything), "--pyproject=pyproject.toml"),
        *("--output-reproducible", f"--output-file={draft}"),
        env={"PYTHONWARNINGS": "ignore"},  # that it knows no dependencies among these
    )
    session.run(
        "python", "docs/bill_of_materials.py", str(draft), str(DIST), env={"PYTHONPATH": "."}
    )


def _build_zipapp(session: nox.Session, wheel: Path, name: str, platform: str) -> None:
    """Build one file of the wheel and its dependencies as they are locked."""
    site = wheel.with_name(name)
    session.run(
        *("uv", "pip", "install", f"--target={site}", "--only-binary=:all:", "--quiet"),
        *(f"--python-platform={platform}", f"--python-version={PYTHON}"),
        *_locked("service"),
    )
    session.run("uv", "pip", "install", f"--target={site}", "--no-deps", "--quiet", str(wheel))
    session.run(
        *("shiv", f"--site-packages={site}", "--entry-point=notification_entrypoints.cli:main"),
        *(f"--python=/usr/bin/env python{PYTHON}", "--compressed", "--reproducible"),
        f"--output-file={DIST / _zipapp_name(wheel, name)}",
    )


def _zipapp_name(wheel: Path, platform: str) -> str:
    _, version, *_ = wheel.name.split("-")
    return f"notification-management-{version}-py{PYTHON}-{platform}.pyz"


def _install_as_a_user_would(session: nox.Session, *requirements: str) -> None:
    """Install the project as a wheel, not editable, so that what is left out of it is missed."""
    session.install(*_locked(*requirements, "build"))
    session.install("--no-deps", "--no-build-isolation", "--force-reinstall", ".")

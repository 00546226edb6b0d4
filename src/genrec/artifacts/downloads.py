"""What genrec fetches once and keeps: pinned wheels from the package registry that pip is configured for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from genrec.errors import GenrecError

MARKER = ".genrec.json"
"""Written last into a finished folder: the sizes of its files and where they came from."""


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel of a package registry, pinned by version and content. `size` is in bytes."""

    name: str
    version: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """As pip spells it."""
        return f"{self.name}=={self.version}"


def root() -> Path:
    """The cache folder: GENREC_CACHE, or ~/.cache/genrec."""
    return Path(os.environ.get("GENREC_CACHE") or Path.home() / ".cache" / "genrec")


def pip_command() -> list[str]:
    """The pip of the running interpreter; it knows the user's registry, proxy and certificates."""
    return [sys.executable, "-m", "pip"]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds a lock of the cache against other processes; the system lets go of it when a process dies."""
    from filelock import FileLock, Timeout
    from rich.console import Console

    folder = root() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            Console(stderr=True, highlight=False).print(f"waiting for another process that fetches {name} ...")
            lock.acquire()
    except OSError as error:
        raise _not_writable(error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staged(target: Path, source: str) -> Iterator[Path]:
    """Gives an empty folder next to `target`; it becomes `target` when the block ends without an error.

    What stood at `target` is replaced. An interrupted block leaves nothing behind but, after a kill, a hidden folder
    that the next call removes. Call it under `locked`.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(f".{target.name}.*"):
            shutil.rmtree(leftover)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _not_writable(error) from error
    try:
        yield staging
        staging.chmod(0o755)
        sizes = {str(path.relative_to(staging)): path.stat().st_size for path in _files(staging)}
        (staging / MARKER).write_text(json.dumps({"source": source, "files": sizes}, indent=1), "utf-8")
        for path in _files(staging):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def finished(folder: Path, source: str) -> bool:
    """Whether `folder` was completed from `source` and has all its files in full length."""
    try:
        record = json.loads((folder / MARKER).read_text("utf-8"))
        return record["source"] == source and all(
            (folder / name).stat().st_size == size for name, size in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def wheel(package: Package, progress: bool = True) -> Path:
    """The verified wheel of a package, downloaded with pip unless it is in the cache. Call it under `locked`.

    pip refuses what has another checksum; one in the cache is verified here. GenrecError if pip cannot get it or
    refuses it; then nothing is kept.
    """
    folder = root() / "wheels" / f"{package.name}-{package.version}"
    kept = next(folder.glob("*.whl"), None)
    if kept is not None and _sha256(kept) == package.sha256:
        return kept
    with staged(folder, package.requirement) as staging:
        downloads = staging / "pip"
        _download(package, downloads, progress)
        found = next(downloads.glob("*.whl"), None)
        if found is None:
            raise GenrecError(
                f"pip got no wheel of {package.requirement}", "look at what your package registry offers for it"
            )
        found.rename(staging / found.name)
        shutil.rmtree(downloads)
    return next(folder.glob("*.whl"))


def forget_wheel(package: Package) -> None:
    """Removes the wheel of a package once what was wanted from it is in place."""
    shutil.rmtree(root() / "wheels" / f"{package.name}-{package.version}", ignore_errors=True)


def extract(archive: Path, prefix: str, target: Path) -> list[Path]:
    """Extracts what a zip file holds below `prefix` (a folder, or one file by its whole name) and returns the files.

    Paths that would leave `target`, and links, are errors; so is a prefix with no file.
    """
    extracted = []
    try:
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                if member.is_dir() or not member.filename.startswith(prefix):
                    continue
                relative = PurePosixPath(member.filename[len(prefix) :] or PurePosixPath(prefix).name)
                unsafe = relative.is_absolute() or ".." in relative.parts or "\\" in member.filename
                if unsafe or stat.S_ISLNK(member.external_attr >> 16):
                    raise GenrecError(f"{archive.name} has an unsafe member", "do not use this file")
                path = target / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                with members.open(member) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                extracted.append(path)
    except zipfile.BadZipFile as error:
        raise GenrecError(f"{archive.name} is not a readable zip file", "remove it and fetch again") from error
    except OSError as error:
        raise _not_writable(error) from error
    if not extracted:
        raise GenrecError(f"{archive.name} has nothing below {prefix!r}", "look for a newer version of genrec")
    return extracted


def _download(package: Package, folder: Path, progress: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    # pip writes to the temporary folder first: with it on the same disk the bytes that arrive can be watched.
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", "utf-8")
    command = [*pip_command(), "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--requirement", str(pinned)]
    log = folder / "pip.log"
    console = Console(stderr=True, highlight=False)
    try:
        with (
            log.open("wb") as output,
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=console,
                disable=not (progress and console.is_terminal),
            ) as bar,
        ):
            task = bar.add_task(f"downloading {package.requirement}", total=package.size)
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(temporary)}
            )
            try:
                while process.poll() is None:
                    bar.update(task, completed=min(_bytes_below(folder), package.size))
                    time.sleep(0.1)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            bar.update(task, completed=package.size if process.returncode == 0 else None)
    except OSError as error:
        raise GenrecError(f"pip did not start: {error.strerror}", "check the Python installation") from error
    if process.returncode != 0:
        raise _pip_failed(package, log.read_text("utf-8", "replace"))


def _pip_failed(package: Package, log: str) -> GenrecError:
    if "No module named pip" in log:
        return GenrecError("this Python has no pip", f"install it: {sys.executable} -m ensurepip")
    if "No space left" in log:
        return GenrecError(f"no space left while downloading {package.requirement}", "free some, or set GENREC_CACHE")
    if "DO NOT MATCH THE HASHES" in log:
        return GenrecError(
            f"the wheel of {package.requirement} is not the one this version of genrec knows (its SHA-256 differs)",
            "nothing was kept; check which registry pip uses (pip config list), then try again",
        )
    said = [line.strip() for line in log.splitlines() if line.startswith("ERROR:")]
    return GenrecError(
        f"pip could not download {package.requirement}" + (f": {said[-1][:300]}" if said else ""),
        f"check the network and pip's settings (pip config list); this must work: pip download --no-deps "
        f"{package.requirement}",
    )


def _not_writable(error: OSError) -> GenrecError:
    return GenrecError(
        f"the cache folder {root()} cannot be written: {error.strerror}",
        "free space or fix its permissions, or set GENREC_CACHE to another folder",
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _bytes_below(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(directory, name)).st_size
            except OSError:  # pip moved it in between
                continue
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

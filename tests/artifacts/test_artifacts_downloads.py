"""Fetching packages: a fake pip stands for the network."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from genrec.artifacts import downloads
from genrec.errors import GenrecError

FAKE_PIP = """
import hashlib, os, pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write("x")
mode = (here / "mode").read_text()
target = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
if mode == "slow":
    (target / "thing-1.0-py3-none-any.whl").write_bytes(b"half")
    (here / "started").write_text(str(target))
    time.sleep(15)
if mode == "offline":
    print("ERROR: Could not find a version that satisfies the requirement thing==1.0", file=sys.stderr)
    sys.exit(1)
if mode == "no pip":
    print("python: No module named pip", file=sys.stderr)
    sys.exit(1)
if mode == "full":
    print("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", file=sys.stderr)
    sys.exit(1)
if mode == "brief":
    time.sleep(0.3)
assert {"download", "--no-deps", "--require-hashes"} <= set(sys.argv)
pinned = pathlib.Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text()
if pinned != "thing==1.0 --hash=sha256:" + hashlib.sha256((here / "thing.whl").read_bytes()).hexdigest() + "\\n":
    print("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", file=sys.stderr)
    sys.exit(1)
if mode != "empty":
    shutil.copy(here / "thing.whl", target / "thing-1.0-py3-none-any.whl")
"""


PIP_COMMAND = downloads.pip_command


class FakeRegistry:
    """A folder with a fake pip, the wheel it serves, and how it behaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pip.py").write_text(FAKE_PIP)
        self.mode("good")
        with zipfile.ZipFile(folder / "thing.whl", "w") as wheel:
            wheel.writestr("thing/data/a.txt", "alpha")
            wheel.writestr("thing/data/sub/b.txt", "beta")
            wheel.writestr("thing/code.py", "pass")
            wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
            wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr("thing-1.0.dist-info/RECORD", "")
        content = (folder / "thing.whl").read_bytes()
        self.package = downloads.Package("thing", "1.0", hashlib.sha256(content).hexdigest(), len(content))

    def mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def command(self) -> list[str]:
        return [sys.executable, str(self.folder / "pip.py")]

    def calls(self) -> int:
        return len((self.folder / "calls").read_text()) if (self.folder / "calls").exists() else 0


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    fake = FakeRegistry(folder)
    monkeypatch.setattr(downloads, "pip_command", fake.command)
    return fake


def kept(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_wheel_is_downloaded_once(registry: FakeRegistry) -> None:
    first = downloads.wheel(registry.package, progress=False)
    second = downloads.wheel(registry.package, progress=False)
    assert first == second
    assert first.read_bytes() == (registry.folder / "thing.whl").read_bytes()
    assert registry.calls() == 1


def test_a_wheel_that_was_damaged_in_the_cache_is_downloaded_again(registry: FakeRegistry) -> None:
    path = downloads.wheel(registry.package, progress=False)
    path.write_bytes(b"damaged")
    assert (
        downloads.wheel(registry.package, progress=False).read_bytes() == (registry.folder / "thing.whl").read_bytes()
    )
    assert registry.calls() == 2


def test_another_wheel_of_the_same_name_is_refused_and_not_kept(registry: FakeRegistry) -> None:
    with zipfile.ZipFile(registry.folder / "thing.whl", "a") as wheel:
        wheel.writestr("thing/evil.py", "pass")
    with pytest.raises(GenrecError, match="SHA-256 differs"):
        downloads.wheel(registry.package, progress=False)
    assert kept(downloads.root()) == []


@pytest.fixture
def real_pip(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """The pip of this Python, which gets its wheels from a folder."""
    (registry.folder / "thing.whl").rename(registry.folder / "thing-1.0-py3-none-any.whl")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry.folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(downloads, "pip_command", PIP_COMMAND)
    return registry


def test_pip_itself_gets_the_wheel_that_is_pinned(real_pip: FakeRegistry) -> None:
    path = downloads.wheel(real_pip.package, progress=False)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == real_pip.package.sha256
    assert kept(path.parent) == sorted([downloads.MARKER, path.name])


def test_pip_itself_refuses_a_wheel_with_another_checksum(real_pip: FakeRegistry) -> None:
    with zipfile.ZipFile(real_pip.folder / "thing-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("thing/evil.py", "pass")
    with pytest.raises(GenrecError, match="SHA-256 differs") as raised:
        downloads.wheel(real_pip.package, progress=False)
    assert "which registry" in raised.value.hint
    assert kept(downloads.root()) == []


def test_pip_itself_without_the_wheel_names_it(real_pip: FakeRegistry) -> None:
    (real_pip.folder / "thing-1.0-py3-none-any.whl").unlink()
    with pytest.raises(GenrecError, match=r"could not download thing==1\.0: ERROR: No matching distribution") as raised:
        downloads.wheel(real_pip.package, progress=False)
    assert "network" in raised.value.hint


@pytest.mark.parametrize(
    ("mode", "message", "hint"),
    [
        ("offline", "Could not find a version", "network"),
        ("no pip", "has no pip", "ensurepip"),
        ("full", "no space left", "GENREC_CACHE"),
        ("empty", "got no wheel", "registry"),
    ],
)
def test_a_failed_download_says_what_to_do_and_keeps_nothing(
    registry: FakeRegistry, mode: str, message: str, hint: str
) -> None:
    registry.mode(mode)
    with pytest.raises(GenrecError, match=message) as raised:
        downloads.wheel(registry.package, progress=False)
    assert hint in raised.value.hint
    assert kept(downloads.root()) == []
    registry.mode("good")
    assert downloads.wheel(registry.package, progress=False).is_file()


def test_pip_that_does_not_start_is_an_error(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "pip_command", lambda: [str(registry.folder / "missing")])
    with pytest.raises(GenrecError, match="did not start"):
        downloads.wheel(registry.package, progress=False)


@pytest.fixture
def fetch_in_process(registry: FakeRegistry) -> Callable[[], "subprocess.Popen[str]"]:
    code = textwrap.dedent(f"""
        import signal
        from genrec.artifacts import downloads
        # A parent that runs in the background of a shell would hand down that it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        downloads.pip_command = lambda: {registry.command()!r}
        package = downloads.Package("thing", "1.0", {registry.package.sha256!r}, {registry.package.size})
        try:
            with downloads.locked("thing"):
                print(downloads.wheel(package, progress=False))
        except KeyboardInterrupt:
            print("interrupted")
    """)
    return lambda: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


def test_an_interrupted_download_leaves_nothing(
    registry: FakeRegistry, fetch_in_process: Callable[[], "subprocess.Popen[str]"]
) -> None:
    registry.mode("slow")
    process = fetch_in_process()
    wait_for(registry.folder / "started")
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "interrupted\n"
    assert [name for name in kept(downloads.root()) if not name.endswith(".lock")] == []


def test_a_killed_download_does_not_disturb_the_next(
    registry: FakeRegistry, fetch_in_process: Callable[[], "subprocess.Popen[str]"]
) -> None:
    registry.mode("slow")
    process = fetch_in_process()
    wait_for(registry.folder / "started")
    process.kill()
    process.communicate()
    registry.mode("good")
    with downloads.locked("thing"):
        path = downloads.wheel(registry.package, progress=False)
    assert kept(downloads.root() / "wheels") == sorted([f"thing-1.0/{downloads.MARKER}", f"thing-1.0/{path.name}"])


def test_two_processes_download_once(
    registry: FakeRegistry, fetch_in_process: Callable[[], "subprocess.Popen[str]"]
) -> None:
    registry.mode("brief")
    answers = {process.communicate()[0] for process in [fetch_in_process(), fetch_in_process()]}
    assert len(answers) == 1
    assert Path(answers.pop().strip()).is_file()
    assert registry.calls() == 1


def test_extract_takes_what_is_below_the_prefix(registry: FakeRegistry, tmp_path: Path) -> None:
    files = downloads.extract(registry.folder / "thing.whl", "thing/data/", tmp_path / "out")
    assert kept(tmp_path / "out") == ["a.txt", "sub/b.txt"]
    assert [path.read_text() for path in files] == ["alpha", "beta"]


def test_extract_takes_a_single_file_by_its_name(registry: FakeRegistry, tmp_path: Path) -> None:
    assert downloads.extract(registry.folder / "thing.whl", "thing/data/a.txt", tmp_path) == [tmp_path / "a.txt"]


@pytest.mark.parametrize("name", ["d/../../evil", "d//etc/evil", "d/..\\evil"])
def test_extract_refuses_paths_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(GenrecError, match="unsafe"):
        downloads.extract(tmp_path / "bad.zip", "d/", tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_extract_refuses_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("d/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(GenrecError, match="unsafe"):
        downloads.extract(tmp_path / "bad.zip", "d/", tmp_path / "out")


def test_extract_refuses_what_is_no_zip_and_what_lacks_the_prefix(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "text.whl").write_text("no zip")
    with pytest.raises(GenrecError, match="not a readable zip"):
        downloads.extract(tmp_path / "text.whl", "", tmp_path)
    with pytest.raises(GenrecError, match="nothing below"):
        downloads.extract(registry.folder / "thing.whl", "other/", tmp_path)


def test_a_staged_folder_appears_whole_or_not_at_all(registry: FakeRegistry) -> None:
    target = downloads.root() / "made"

    def fail() -> None:
        with downloads.staged(target, "source 1") as staging:
            (staging / "file").write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert kept(downloads.root()) == []
    with downloads.staged(target, "source 1") as staging:
        (staging / "file").write_text("whole")
        assert not target.exists()
    assert downloads.finished(target, "source 1")
    assert not downloads.finished(target, "source 2")
    assert json.loads((target / downloads.MARKER).read_text())["files"] == {"file": 5}


@pytest.mark.parametrize("damage", ["missing", "truncated", "marker"])
def test_a_damaged_folder_is_not_finished(registry: FakeRegistry, damage: str) -> None:
    target = downloads.root() / "made"
    with downloads.staged(target, "source") as staging:
        (staging / "file").write_text("whole")
    if damage == "missing":
        (target / "file").unlink()
    elif damage == "truncated":
        (target / "file").write_text("who")
    else:
        (target / downloads.MARKER).write_text("{}")
    assert not downloads.finished(target, "source")


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "file"))
    with pytest.raises(GenrecError, match="cannot be written") as raised, downloads.locked("thing"):
        pass
    assert "GENREC_CACHE" in raised.value.hint


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GENREC_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert downloads.root() == tmp_path / ".cache" / "genrec"


def test_waiting_for_another_process_is_said(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from genrec.artifacts import downloads\nwith downloads.locked('t'):\n  print('held', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert isinstance(holder.stdout, io.TextIOBase)
    assert holder.stdout.readline() == "held\n"
    threading.Timer(0.3, lambda: holder.communicate("\n")).start()
    with downloads.locked("t"):
        assert "waiting for another process" in capsys.readouterr().err
    holder.wait()

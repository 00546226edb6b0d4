"""The cache of computed results forgets what other code computed."""

import pytest

import genrec
from genrec.artifacts.memo import code_hash


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("llm/engines/vllm.py", True),
        ("pipeline.py", True),
        ("evaluation/metrics/ndcg.py", True),
        ("cli/eval.py", False),
        ("serving/routes.py", False),
        ("reports/pages.py", False),
    ],
)
def test_a_change_of_code_that_computes_changes_the_hash(tmp_path, monkeypatch, file, counts):
    hashes = []
    for number in (1, 2):
        package = tmp_path / str(number)
        changed = package / file
        changed.parent.mkdir(parents=True)
        changed.write_text(f"a = {number}")
        monkeypatch.setattr(genrec, "__file__", str(package / "__init__.py"))
        hashes.append(code_hash())
    assert (hashes[0] != hashes[1]) == counts


def test_a_renamed_file_is_other_code(tmp_path, monkeypatch):
    hashes = set()
    for name in ("a.py", "b.py"):
        package = tmp_path / name.removesuffix(".py")
        package.mkdir()
        (package / name).write_text("x = 1")
        monkeypatch.setattr(genrec, "__file__", str(package / "__init__.py"))
        hashes.add(code_hash())
    assert len(hashes) == 2

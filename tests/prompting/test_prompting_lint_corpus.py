"""Every folder of wrong/ is a template with one fault: lint finds it, at its line, and nothing else.

CODE or CODE--VARIANT has in wrong/ the files that differ from a template without faults (fixed/ if the folder has it,
else the one of _fixed/), and in expected.txt the file, line and code of the finding.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genrec.errors import TemplateError
from genrec.prompting.library import LOCK, TemplateLibrary
from genrec.prompting.lint import CODES, lint
from genrec.prompting.lock import write_lock
from genrec.prompting.tokenizer import ChatTokenizer

CORPUS = Path(__file__).parent / "wrong"
FAULTS = sorted(folder.name for folder in CORPUS.iterdir() if not folder.name.startswith("_"))
OF_THE_LOCK = {"version", "trailing-whitespace"}


def code_of(name: str) -> str:
    return name.partition("--")[0]


def fixed(name: str, folder: Path, tokenizer: ChatTokenizer) -> None:
    """The twin without the fault, locked and with reviewed snapshots."""
    shutil.copytree(CORPUS / "_fixed", folder, dirs_exist_ok=True)
    if (CORPUS / name / "fixed").is_dir():
        shutil.copytree(CORPUS / name / "fixed", folder, dirs_exist_ok=True)
    library = TemplateLibrary(folder)
    write_lock(folder, [library.get("rank/mine")])
    assert lint(library, "rank/mine", tokenizer, "update") == []


def lock_again(folder: Path) -> None:
    (folder / LOCK).unlink()
    try:
        write_lock(folder, [TemplateLibrary(folder).get("rank/mine")])
    except TemplateError:
        return  # what cannot be loaded cannot be locked


def test_the_corpus_covers_all_codes() -> None:
    assert {code_of(name) for name in FAULTS} == set(CODES)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_line_and_nothing_else(name: str, tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    fixed(name, tmp_path, tokenizer)
    assert lint(TemplateLibrary(tmp_path), "rank/mine", tokenizer) == []
    shutil.copytree(CORPUS / name / "wrong", tmp_path, dirs_exist_ok=True)
    if code_of(name) not in OF_THE_LOCK:
        lock_again(tmp_path)
    found = lint(TemplateLibrary(tmp_path), "rank/mine", tokenizer)
    places = [f"{finding.path.relative_to(tmp_path).as_posix()}:{finding.line} {finding.code}" for finding in found]
    assert places == (CORPUS / name / "expected.txt").read_text("utf-8").splitlines()
    assert {finding.code for finding in found} == {code_of(name)}
    assert all(finding.message and finding.hint for finding in found)

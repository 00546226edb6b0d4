"""Findings as text, as JSON, and in the forms that code hosts show beside the line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import genrec
from genrec.prompting.lint.findings import CODES, Finding

Format = Literal["text", "json", "github", "sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def written(findings: Sequence[Finding], form: Format) -> str:
    """The findings in one of the forms, without a line end behind the last line; files as seen from here."""
    if form == "json":
        return json.dumps([_plain(finding) for finding in findings], indent=2, ensure_ascii=False)
    if form == "sarif":
        return json.dumps(sarif(findings), indent=2, ensure_ascii=False)
    return "\n".join(github(found) if form == "github" else str(_from_here(found)) for found in findings)


def github(finding: Finding) -> str:
    """A command of GitHub's workflows; Gitea and Forgejo read it, too."""
    place = f"file={_escaped(_file(finding), ':,')},line={finding.line},title={_escaped(finding.code, ':,')}"
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"::error {place}::{_escaped(finding.message + hint)}"


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """A log of the Static Analysis Results Interchange Format, OASIS standard 2.1.0."""
    codes = list(CODES)
    rules = [
        {"id": code, "shortDescription": {"text": entry.meaning}, "help": {"text": entry.fix}}
        for code, entry in CODES.items()
    ]
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": "error",
            "message": {"text": finding.message + (f" ({finding.hint})" if finding.hint else "")},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(finding)},
                        "region": {"startLine": finding.line},
                    }
                }
            ],
        }
        for finding in findings
    ]
    driver = {"name": "genrec prompt lint", "version": genrec.__version__, "rules": rules}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "file": _file(finding),
        "line": finding.line,
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint,
    }


def _file(finding: Finding) -> str:
    return _from_here(finding).path.as_posix()


def _from_here(finding: Finding) -> Finding:
    path, here = finding.path.absolute(), Path.cwd()
    return replace(finding, path=path.relative_to(here) if path.is_relative_to(here) else path)


def _uri(finding: Finding) -> str:
    from urllib.parse import quote

    file = _file(finding)
    return Path(file).as_uri() if file.startswith("/") else quote(file)


def _escaped(text: str, also: str = "") -> str:
    """Percent signs, line ends, and in properties also the signs that end them."""
    for sign in "%\r\n" + also:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text

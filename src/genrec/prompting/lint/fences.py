"""What stands around the values on each line of a template.

The guard makes every untrusted value one line without double quotes. So two things hold a value in: double quotes that
open and close on its line, or a line that the template begins with a mark of its own (a bullet, a number, a label, a
heading with a colon). Free text may be long and is often a sentence, so on a marked line nothing may stand behind it; a
user message that is nothing but free text needs no more. A system message holds no untrusted value at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jinja2 import nodes

from genrec.prompting.lint import source
from genrec.prompting.lint.findings import Finding
from genrec.prompting.template import Template

Kind = Literal["text", "data"]
"""Free text, and the fields of items and facts."""

_SAFE = frozenset({"label", "verb", "rating", "domain"})
"""Attributes that genrec words itself; no text of strangers."""
_COUNTS = frozenset({"length", "count"})
_MARK = re.compile(r"[-*•·–>]|\d+[.)]|[A-Z]{1,2}[.)]")
_HEADING = (":", "：")
_DATA, _NUMBER, _LABEL = "\ufffc", "1", "A"
"""What stands for a value in the start of a line."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A value whose fence is still open, and what must come next: `"`, the end of line or message, or a full stop."""

    path: Path
    line: int
    until: Literal['"', "line", "message", "."]


@dataclass(frozen=True, slots=True)
class _Line:
    """What is known of the line so far; a template with branches has several of them at each place."""

    head: str = ""
    last: str = ""
    quoted: bool = False
    marked: bool = False
    held: frozenset[_Held] = frozenset()
    opens_message: bool = False


_PROBLEMS = {
    '"': "the quotation around it does not close on its line",
    "line": "free text is not the last thing on its line",
    "message": "free text begins its message, and more follows",
}
Scope = dict[str, Kind | None]
"""What every name holds at a place of the template."""


def check_fences(template: Template) -> Iterator[Finding]:
    """Untrusted values outside of a fence, and labels of a ranking that do not start a line."""
    walk = _Walk(template)
    scope: Scope = {
        name: None if spec.trust == "trusted" else "text" if spec.type == "text" else "data"
        for name, spec in template.inputs.items()
    }
    walk.close(walk.block(source.body_tree(template).body, {_Line()}, scope, template.path))
    return iter(walk.findings.values())


class _Walk:
    """Goes through the nodes with every line that can stand there; loops count as run never, once and twice."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.role = ""
        self.findings: dict[tuple[Path, int, str], Finding] = {}

    def block(self, parts: Iterable[nodes.Node], lines: set[_Line], scope: Scope, path: Path) -> set[_Line]:
        for part in parts:
            lines = self.node(part, lines, scope, path)
        return lines

    def node(self, node: nodes.Node, lines: set[_Line], scope: Scope, path: Path) -> set[_Line]:
        match node:
            case nodes.Output():
                for part in node.nodes:
                    lines = self.output(part, lines, scope, path)
                return lines
            case nodes.For():
                return self.loop(node, lines, scope, path)
            case nodes.If():
                branches = [node.body, *(other.body for other in node.elif_), node.else_]
                return set().union(*(self.block(branch, lines, dict(scope), path) for branch in branches))
            case nodes.CallBlock() if source.block_method(node) == "_message":
                return self.message(node, lines, scope, path)
            case nodes.Include():
                name = node.template.value if isinstance(node.template, nodes.Const) else ""
                tree = source.partial_tree(self.template, name)
                return self.block(tree.body, lines, dict(scope), self.template.partial_paths[name])
            case nodes.With():
                inner = dict(scope)
                for target, value in zip(node.targets, node.values, strict=True):
                    _bind(inner, target, _kind(value, scope))
                return self.block(node.body, lines, inner, path)
            case nodes.Assign():
                _bind(scope, node.target, _kind(node.node, scope))
            case nodes.AssignBlock():
                _bind(scope, node.target, _any(_kind(part, scope) for part in node.body))
            case nodes.CallBlock() | nodes.FilterBlock() | nodes.Scope() | nodes.ScopedEvalContextModifier():
                return self.block(node.body, lines, scope, path)
        return lines

    def loop(self, node: nodes.For, lines: set[_Line], scope: Scope, path: Path) -> set[_Line]:
        inner = dict(scope)
        _bind(inner, node.target, _kind(node.iter, scope))
        once = self.block(node.body, lines, inner, path)
        if source.is_tail_loop(node):
            return once
        never = self.block(node.else_, lines, dict(scope), path) if node.else_ else lines
        return never | once | self.block(node.body, once, inner, path)

    def message(self, node: nodes.CallBlock, lines: set[_Line], scope: Scope, path: Path) -> set[_Line]:
        self.close(lines)
        role = node.call.args[0]
        self.role = str(role.value) if isinstance(role, nodes.Const) else ""
        # What stands behind a shared prefix comes next and goes on with these lines.
        return self.block(node.body, {_Line(opens_message=True)}, scope, path)

    def close(self, lines: set[_Line]) -> None:
        """The message ends here."""
        for line in lines:
            self.release(line.held, '"', ".")

    def output(self, part: nodes.Node, lines: set[_Line], scope: Scope, path: Path) -> set[_Line]:
        if isinstance(part, nodes.TemplateData):
            return self.literals((part.data,), lines)
        texts = _alternatives(part)
        if texts is not None:
            return self.literals(texts, lines)
        ranks = self.template.output.kind == "ranking"
        if ranks and isinstance(part, nodes.Getattr) and part.attr == "label":
            return {self.label(line, path, part.lineno) for line in lines}
        kind = _kind(part, scope)
        if kind is None:
            return {self.plain(line, _NUMBER) for line in lines}
        return {self.value(line, kind, path, part.lineno) for line in lines}

    def literals(self, texts: Sequence[str], lines: set[_Line]) -> set[_Line]:
        return {self.literal(text, line) for text in texts for line in lines}

    def literal(self, text: str, line: _Line) -> _Line:
        for piece in re.split(r'([\n"])', text):
            if piece == "\n":
                self.release(line.held, '"', ".")
                kept = frozenset(held for held in line.held if held.until == "message")
                line = _Line(held=kept, opens_message=line.opens_message and not line.head and not kept)
            elif piece == '"' and line.quoted:
                line = replace(
                    self.plain(replace(line, held=frozenset(h for h in line.held if h.until != '"')), piece),
                    quoted=False,
                )
            elif piece == '"':
                line = replace(self.plain(line, piece), quoted=True)
            elif piece.strip():
                line = self.plain(line, piece)
        return line

    def plain(self, line: _Line, text: str) -> _Line:
        """Text that is not blank goes on the line."""
        self.release(line.held, "line", "message", *(() if text.startswith(".") else (".",)))
        held = frozenset(held for held in line.held if held.until == '"')
        head = line.head if len(line.head) >= 8 else (line.head + text).lstrip()[:8]
        return replace(line, head=head, last=text.rstrip()[-1:], held=held, opens_message=False)

    def label(self, line: _Line, path: Path, number: int) -> _Line:
        if line.head:
            self.found(path, number, "output-mismatch", "the label does not start its line")
        after = self.plain(line, _LABEL)
        return replace(after, marked=True, held=after.held | {_Held(path, number, ".")})

    def value(self, line: _Line, kind: Kind, path: Path, number: int) -> _Line:
        marked = line.marked or _MARK.match(line.head) is not None or line.last in _HEADING
        until: Literal['"', "line", "message"] | None = None
        if self.role == "system":
            self.found(path, number, "unfenced-value", "an untrusted value stands in a system message")
        elif line.quoted:
            until = '"'
        elif kind == "text" and line.opens_message and self.role == "user":
            until = "message"
        elif not marked:
            self.found(path, number, "unfenced-value", "an untrusted value stands among the template's own words")
        elif kind == "text":
            until = "line"
        after = replace(self.plain(line, _DATA), marked=marked)
        return after if until is None else replace(after, held=after.held | {_Held(path, number, until)})

    def release(self, held: Iterable[_Held], *broken: str) -> None:
        """Notes the values whose fence is broken by what comes now."""
        for value in held:
            if value.until in broken:
                if value.until == ".":
                    self.found(value.path, value.line, "output-mismatch", "no full stop follows the label")
                else:
                    self.found(value.path, value.line, "unfenced-value", _PROBLEMS[value.until])

    def found(self, path: Path, line: int, code: str, message: str) -> None:
        hint = (
            "write {{ item.label }}. at the start of the candidate's line"
            if code == "output-mismatch"
            else "put it between double quotes, or begin its line with a bullet, a label or a heading with a colon"
        )
        self.findings.setdefault((path, line, code), Finding(path, line, code, message, hint))


def _alternatives(expression: nodes.Node) -> tuple[str, ...] | None:
    """The texts that an expression of constants can print, such as `"; " if not loop.last`; None for any other."""
    if isinstance(expression, nodes.Const):
        return (str(expression.value),)
    if isinstance(expression, nodes.CondExpr):
        first = _alternatives(expression.expr1)
        second = ("",) if expression.expr2 is None else _alternatives(expression.expr2)
        return None if first is None or second is None else first + second
    return None


def _kind(node: nodes.Node, scope: Scope) -> Kind | None:
    """Whether an expression prints untrusted text; free text wins over fields."""
    match node:
        case nodes.Name():
            return scope.get(node.name)
        case nodes.Getattr():
            base = _kind(node.node, scope)
            return None if node.attr in _SAFE else base and "data"
        case nodes.Getitem():
            return _kind(node.node, scope)
        case nodes.Filter() if node.name in _COUNTS:
            return None
        case nodes.Test() | nodes.Compare() | nodes.Not():
            return None
        case nodes.CondExpr():
            return _any(_kind(part, scope) for part in (node.expr1, node.expr2) if part is not None)
    return _any(_kind(part, scope) for part in node.iter_child_nodes())


def _any(kinds: Iterable[Kind | None]) -> Kind | None:
    found = set(kinds)
    return "text" if "text" in found else "data" if "data" in found else None


def _bind(scope: Scope, target: nodes.Node, kind: Kind | None) -> None:
    names = [target] if isinstance(target, nodes.Name) else list(target.find_all(nodes.Name))
    scope.update({name.name: kind for name in names})

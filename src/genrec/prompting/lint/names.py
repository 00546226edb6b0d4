"""Names, loops and literal text of a template."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import meta, nodes

from genrec.prompting.lint import source
from genrec.prompting.lint.findings import Finding
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template

_CONTROL = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<(?:bos|eos)>|[\ue000-\ue0ff]")


def check_inputs(template: Template) -> Iterator[Finding]:
    """Names that are no input, and inputs that are never used."""
    (body, _), *partials = source.trees(template)
    set_in_body = {name.name for name in body.find_all(nodes.Name) if name.ctx == "store"}
    used: set[str] = set()
    for tree, path in [(body, template.path), *partials]:
        free = meta.find_undeclared_variables(tree)
        used |= free
        known = set(template.inputs) | (set() if tree is body else set_in_body)
        for name in sorted(free - known):
            line = min(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
            hint = f"the inputs are {', '.join(template.inputs)}"
            yield Finding(path, line, "undeclared-input", f"'{name}' is no input of this template", hint)
    for name in template.inputs:
        if name not in used:
            line = source.line_of(template, rf"\s+{name}\s*:")
            yield Finding(template.path, line, "unused-input", f"input '{name}' is never used", "use it or remove it")
    shown = {node.attr for tree, _ in [(body, None), *partials] for node in tree.find_all(nodes.Getattr)}
    for name, attribute in template.declared:
        if name in used and attribute not in shown:
            line = source.line_of(template, rf"\s+{name}\s*:")
            message = f"evidence of '{name}' is declared, but .{attribute} is never printed"
            yield Finding(template.path, line, "unused-input", message, "print it, or take evidence out")


def check_literals(template: Template, tokenizer: Tokenizer | None) -> Iterator[Finding]:
    """Control strings in the template's own text: of known chat templates, and of the tokenizer at hand."""
    own = sorted(tokenizer.control_strings) if tokenizer else []
    for tree, path in source.trees(template):
        for node in tree.find_all((nodes.TemplateData, nodes.Const)):
            text = getattr(node, "data", None) or getattr(node, "value", None)
            if not isinstance(text, str):
                continue
            found = _CONTROL.search(text)
            string = found[0] if found else next((control for control in own if control in text), None)
            if string is not None:
                line = node.lineno + text[: text.index(string)].count("\n")
                hint = "roles come from message blocks only"
                yield Finding(path, line, "control-string", f"literal text holds {string!a}", hint)


def check_loops(template: Template) -> Iterator[Finding]:
    """Loops, and joins, that no cap ends."""
    for tree, path in source.trees(template):
        loops = [(node.lineno, node.iter) for node in tree.find_all(nodes.For) if not source.is_tail_loop(node)]
        joins = [(node.lineno, node.node) for node in tree.find_all(nodes.Filter) if node.name == "join" and node.node]
        for line, expression in loops + joins:
            over = _unbounded(expression, template)
            if over == "range":
                yield Finding(path, line, "unbounded-loop", "the range is not fixed", "loop over the input itself")
            elif over is not None:
                hint = f"give {over} max_items, or loop over a slice such as {over}[:10]"
                yield Finding(path, line, "unbounded-loop", f"input '{over}' has no max_items", hint)


def _unbounded(expression: nodes.Node, template: Template) -> str | None:
    """Name of the input without a cap that an expression runs over; 'range' for a range that is not fixed."""
    if isinstance(expression, nodes.Name) and expression.name in template.inputs:
        spec = template.inputs[expression.name]
        return expression.name if spec.type != "text" and spec.max_items is None else None
    if isinstance(expression, nodes.Filter) and expression.node is not None:
        return _unbounded(expression.node, template)
    if isinstance(expression, nodes.Getitem) and isinstance(expression.arg, nodes.Slice):
        return None if _is_short(expression.arg) else _unbounded(expression.node, template)
    if isinstance(expression, nodes.Call) and isinstance(expression.node, nodes.Name):
        fixed = all(isinstance(argument, nodes.Const) for argument in expression.args)
        return "range" if expression.node.name == "range" and not fixed else None
    return None


def _is_short(part: nodes.Slice) -> bool:
    """[:10] and [-10:] have an end; [10:] and [:-10] grow with the input."""
    negative = isinstance(part.start, nodes.Neg) and isinstance(part.start.node, nodes.Const)
    return isinstance(part.stop, nodes.Const) or (negative and part.stop is None)

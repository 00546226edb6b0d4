"""The text of a template as trees with the lines of its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import nodes

from genrec.prompting import syntax
from genrec.prompting.library import read_text
from genrec.prompting.template import Template


def trees(template: Template) -> Iterator[tuple[nodes.Template, Path]]:
    """The body first, then every partial, each with its file."""
    yield body_tree(template), template.path
    for name in template.partials:
        yield partial_tree(template, name), template.partial_paths[name]


def body_tree(template: Template) -> nodes.Template:
    """The body; lines are those of the file."""
    return syntax.parse(template.body, template.path, template.body_line)


def partial_tree(template: Template, name: str) -> nodes.Template:
    """A partial that the template includes."""
    return syntax.parse(template.partials[name], template.partial_paths[name])


def line_of(template: Template, pattern: str) -> int:
    """The first line of the file that begins with the pattern; 1 if there is none."""
    lines = enumerate(read_text(template.path).splitlines(), start=1)
    return next((number for number, text in lines if re.match(pattern, text)), 1)


def block_method(node: nodes.Node) -> str | None:
    """`_message` or `_tail` where a node is such a block of `genrec.prompting.syntax`."""
    if isinstance(node, nodes.CallBlock) and isinstance(node.call.node, nodes.ExtensionAttribute):
        return str(node.call.node.name)
    return None


def is_tail_loop(node: nodes.For) -> bool:
    """Whether a loop is the one that renders each candidate behind the shared prefix, one prompt each."""
    return len(node.body) == 1 and block_method(node.body[0]) == "_tail"

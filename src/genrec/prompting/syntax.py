"""Jinja as templates use it: sandboxed, exact about whitespace, with message blocks that yield message objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2 import Template as CompiledTemplate
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from genrec.errors import TemplateError
from genrec.prompting.template import Template

ROLES = ("system", "user", "assistant")
MARKS = re.compile("([\ue000-\ue0ff])")
"""Private-use characters that show which part of a text came from which input; the guard keeps data free of them."""
CLOSE = "\ue0ff"
_COLLECTOR = "genrec.collector"  # no identifier, so no template can name it


@dataclass(slots=True)
class Collector:
    """What one rendering yields: (role, content) of each message; for each candidate its tail of the last message."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    tails: list[str] = field(default_factory=list)
    tails_of: int = 0
    """How many messages there were when the tails came: they must belong to the last one."""


class MessageExtension(Extension):
    """`{% message "user" %}...{% endmessage %}`, with at most one `{% shared_prefix_end %}` directly inside.

    What stands behind the mark is rendered once for each candidate, as `candidate`.
    """

    tags = {"message"}  # noqa: RUF012 (jinja declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Called by Jinja at the tag."""
        line = next(parser.stream).lineno
        role = parser.parse_expression()
        if not isinstance(role, nodes.Const) or role.value not in ROLES:
            parser.fail(f'a message has one of the roles {", ".join(ROLES)}, in quotes: {{% message "user" %}}', line)
        ends = ("name:shared_prefix_end", "name:endmessage")
        head = parser.parse_statements(ends)
        found: list[nodes.Node] = [self._block("_message", [role], head, line)]
        if next(parser.stream).value == "shared_prefix_end":
            tail = parser.parse_statements(("name:endmessage",), drop_needle=True)
            target, slate = nodes.Name("candidate", "store"), nodes.Name("candidates", "load")
            block = self._block("_tail", [], tail, line)
            found.append(nodes.For(target, slate, [block], [], None, False).set_lineno(line))
        return found

    def _block(self, method: str, arguments: list[nodes.Expr], body: list[nodes.Node], line: int) -> nodes.Node:
        call = self.call_method(method, [*arguments, nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _message(self, role: str, context: Context, caller: Callable[[], str]) -> str:
        context[_COLLECTOR].messages.append((role, caller()))
        return ""

    def _tail(self, context: Context, caller: Callable[[], str]) -> str:
        collector: Collector = context[_COLLECTOR]
        collector.tails.append(caller())
        collector.tails_of = len(collector.messages)
        return ""


class _InputMarker(NodeTransformer):
    """Puts marks around every loop over an input and every value of an input, for the account of tokens."""

    def __init__(self, marks: Mapping[str, str]) -> None:
        self.marks = marks

    def _mark(self, node: nodes.Node) -> str | None:
        names = [node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name)
        return next((self.marks[name.name] for name in names if name.name in self.marks), None)

    def visit_For(self, node: nodes.For) -> Any:  # noqa: N802
        mark = self._mark(node.iter)
        if mark is None:
            return self.generic_visit(node)
        return [_text(mark), node, _text(CLOSE)]

    def visit_Output(self, node: nodes.Output) -> Any:  # noqa: N802
        parts: list[nodes.Expr] = []
        for part in node.nodes:
            mark = None if isinstance(part, nodes.TemplateData) else self._mark(part)
            parts += [part] if mark is None else [nodes.TemplateData(mark), part, nodes.TemplateData(CLOSE)]
        node.nodes = parts
        return node


def _text(text: str) -> nodes.Output:
    return nodes.Output([nodes.TemplateData(text)])


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Strict about undefined names; plain text; `random` and `lipsum` are gone, as a prompt must be reproducible."""

    def __init__(self, inputs: tuple[str, ...], loader: FunctionLoader | None = None) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
            extensions=[MessageExtension],
            loader=loader,
        )
        self.filters.pop("random", None)
        self.globals.pop("lipsum", None)
        self._marker = _InputMarker({name: chr(0xE000 + position) for position, name in enumerate(inputs)})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As in the sandbox; plain values under public names take a short cut, as a prompt reads hundreds of them."""
        if type(value) in (str, tuple):
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)

    def _generate(self, source: nodes.Template, *arguments: Any, **named: Any) -> str:
        return super()._generate(self._marker.visit(source), *arguments, **named)


def padded(body: str, first_line: int) -> str:
    """The body behind a comment that makes Jinja count lines as the file does."""
    return "{#" + "\n" * (first_line - 1) + "#}" + body


@lru_cache(maxsize=256)
def compiled(template: Template) -> CompiledTemplate:
    """The compiled template; TemplateError names file and line of a syntax error."""
    partials = tuple(
        (name, text, str(template.partial_paths[name])) for name, text in sorted(template.partials.items())
    )
    try:
        environment = _environment(tuple(template.inputs), partials)
        source = padded(template.body, template.body_line)
        code = environment.compile(source, template.id, str(template.path))
    except TemplateSyntaxError as error:
        raise _syntax_error(error, Path(error.filename or template.path)) from None
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


@lru_cache(maxsize=64)
def _environment(inputs: tuple[str, ...], partials: tuple[tuple[str, str, str], ...]) -> PromptEnvironment:
    """An environment with its (name, text, path) partials compiled; shared by the templates that have both alike."""
    sources = {name: (text, path) for name, text, path in partials}

    def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        found = sources.get(name)
        return None if found is None else (*found, lambda: True)

    environment = PromptEnvironment(inputs, FunctionLoader(load))
    for name in sources:
        environment.get_template(name)
    return environment


@lru_cache(maxsize=512)
def parse(text: str, path: Path, first_line: int = 1) -> nodes.Template:
    """The syntax tree of a body or partial, with the line numbers of the file. It is shared: do not change it."""
    try:
        return PromptEnvironment(()).parse(padded(text, first_line))
    except TemplateSyntaxError as error:
        raise _syntax_error(error, path) from None


def included(tree: nodes.Template, path: Path) -> Iterator[str]:
    """Names of the partials that a tree includes; they must be written out."""
    for name in meta.find_referenced_templates(tree):
        if name is None:
            raise TemplateError(
                f"{path}: a partial is included by a computed name", "write the name of the partial in quotes"
            )
        yield name


def run(template: Template, values: Mapping[str, Any]) -> Collector:
    """Renders; errors inside the template name file and line, and never show the data."""
    collector = Collector()
    try:
        outside = compiled(template).render({**values, _COLLECTOR: collector})
    except TemplateError:
        raise
    except Exception as error:
        path, line = _place(error, template)
        detail = _without_data(error, template)
        raise TemplateError(f"{path}:{line}: rendering failed: {detail}", "genrec prompt lint shows more") from None
    problem, hint = _shape_problem(template, collector, MARKS.sub("", outside), len(values["candidates"]))
    if problem:
        raise TemplateError(f"{template.path}:{template.body_line}: {problem}", hint)
    return collector


def _shape_problem(template: Template, collector: Collector, outside: str, candidates: int) -> tuple[str, str]:
    if outside.strip():
        return "there is text outside of the message blocks", 'put it into {% message "user" %}...{% endmessage %}'
    if not collector.messages:
        return "there is no message", 'write the prompt into {% message "user" %}...{% endmessage %}'
    if template.output.kind == "yes_no" and len(collector.tails) != candidates:
        return (
            "a yes_no template marks where its shared prefix ends, once",
            "put {% shared_prefix_end %} before the card",
        )
    if template.output.kind != "yes_no" and collector.tails:
        return "only a yes_no template has a shared prefix", "remove {% shared_prefix_end %}"
    if collector.tails and collector.tails_of != len(collector.messages):
        return "a message follows the one with the shared prefix", "make that message the last one"
    return "", ""


def _without_data(error: Exception, template: Template) -> str:
    """The message where it speaks of names in the template, else the kind of error only."""
    sources = "\n".join([template.body, *template.partials.values()])
    names = re.findall(r"'([^']*)'", str(error))
    own = isinstance(error, UndefinedError | SecurityError)
    return (
        str(error)
        if own and all(name in sources or name.endswith(" object") for name in names)
        else type(error).__name__
    )


def _place(error: BaseException, template: Template) -> tuple[str, int]:
    paths = {str(template.path), *map(str, template.partial_paths.values())}
    place, frame = (str(template.path), template.body_line), error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in paths:
            place = (frame.tb_frame.f_code.co_filename, frame.tb_lineno)
        frame = frame.tb_next
    return place


def _syntax_error(error: TemplateSyntaxError, path: Path) -> TemplateError:
    return TemplateError(f"{path}:{error.lineno}: {error.message}", "prompts/README.md shows the tags there are")

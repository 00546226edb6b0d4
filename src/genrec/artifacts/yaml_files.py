"""YAML files that people write: templates, cases, suites, training configs. Mistakes name file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from genrec.errors import GenrecError, SettingsError

if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:  # libyaml is ten times as fast; some builds of PyYAML are without it
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """Plain data only. `yes` and `no` are words (labels are called so), and no key may stand twice in a mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def load_yaml(
    text: str, path: Path | str, first_line: int = 1, kind: type[GenrecError] = SettingsError
) -> tuple[Any, yaml.Node | None]:
    """Data and nodes (which know their lines) of a YAML text; an error of `kind` names the line of a mistake."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    except (yaml.YAMLError, TypeError) as error:  # TypeError: a key that is a list or a mapping
        mark = getattr(error, "problem_mark", None)
        # libyaml puts a missing end on the line behind the last one.
        line = first_line + (min(mark.line, max(0, len(text.splitlines()) - 1)) if mark else 0)
        raise kind(
            f"{path}:{line}: is not valid YAML: {getattr(error, 'problem', None) or 'cannot be read'}",
            "fix the line; a text with a colon needs quotes",
        ) from None
    finally:
        loader.dispose()


def line_of(node: yaml.Node | None, location: tuple[int | str, ...], first_line: int = 1) -> int:
    """Line of the key or entry that `location` leads to, or of the nearest one above it."""
    line = first_line + (node.start_mark.line if node else 0)
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = first_line + key.start_mark.line, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = first_line + node.start_mark.line
    return line

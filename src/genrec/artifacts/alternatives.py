"""Alternatives by name: a name is a module of the folder, a dotted path is a module or class of anyone's."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from typing_extensions import get_protocol_members

from genrec.errors import GenrecError, NotFoundError

T = TypeVar("T")
INTERFACE = "base"
"""The one module of a folder of alternatives that is none: it says what they are."""


class Alternatives(Generic[T]):
    """The alternatives of one kind. A new one is a new file of `package`; nothing has to be registered.

    `kind` names one of them in messages. A class is an alternative if it has the methods and class variables of the
    Protocol `interface`. A folder of modules, such as metrics, has `T` as what every module must look like; what they
    must have is looked for in the module itself.
    """

    def __init__(self, kind: str, package: str, interface: object, *, error: type[GenrecError] = NotFoundError) -> None:
        self.kind, self.package = kind, package
        self._error = error
        self._members = sorted(get_protocol_members(cast("type[Any]", interface)))
        self._required = [name for name in self._members if _is_on_the_class(cast("type[Any]", interface), name)]

    def names(self) -> list[str]:
        """The names of those in the box, by alphabet."""
        folder = importlib.import_module(self.package)
        found = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return sorted(name for name in found if name != INTERFACE and not name.startswith("_"))

    def find(self, name: str) -> type[T]:
        """The class of that name or dotted path. Raises `error` with all names where there is none."""
        target = self._target(name)
        if isinstance(target, type):
            if lacking := self._lacking(target, self._required):
                raise self._no(name, f"the class has no {' and no '.join(lacking)}")
            return target
        classes = [
            value
            for key, value in vars(target).items()
            if isinstance(value, type) and not key.startswith("_") and not self._lacking(value, self._required)
        ]
        own = [one for one in classes if one.__module__ == target.__name__] or classes
        if len(own) != 1:
            listed = ", ".join(one.__name__ for one in own)
            why = f"the module has several: {listed}; name one as {name}.{own[0].__name__}" if own else self._none_in()
            raise self._no(name, why)
        return cast("type[T]", own[0])

    def module(self, name: str) -> T:
        """The module of that name or dotted path, for alternatives that are modules."""
        target = self._target(name)
        if lacking := self._lacking(target, self._members):
            raise self._no(name, f"it has no {' and no '.join(lacking)}")
        return cast(T, target)

    def problem(self, name: str) -> str | None:
        """What is wrong with a name, for validation; None where it names an alternative."""
        try:
            self.find(name)
        except GenrecError as error:
            return f"{error.message}; {error.hint}"
        return None

    def source_hash(self, name: str) -> str:
        """Digest of the file of one given as a dotted path, for caches; "" in the box, whose code is hashed anyway."""
        if name in self.names():
            return ""
        file = inspect.getsourcefile(cast("Any", self._target(name)))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    def _target(self, name: str) -> ModuleType | type[Any]:
        if "." not in name:
            if name not in self.names():
                raise self._no(name)
            return importlib.import_module(f"{self.package}.{name}")
        if not all(part.isidentifier() for part in name.split(".")):
            raise self._no(name)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not _is_part(error.name, name):
                raise  # the module is there, and what it needs is not
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if not _is_part(error.name, module):
                raise
            raise self._no(name, "it cannot be imported") from None
        if not isinstance(found, type):
            raise self._no(name, f"{module} has no class {attribute}")
        return found

    def _lacking(self, target: object, wanted: list[str]) -> list[str]:
        if getattr(target, "_is_protocol", False):
            return wanted
        return [member for member in wanted if not hasattr(target, member)]

    def _none_in(self) -> str:
        return f"the module has no class with {', '.join(self._required)}"

    def _no(self, name: str, why: str = "") -> GenrecError:
        names = self.names()
        near = get_close_matches(name, names, 1)
        return self._error(
            f"there is no {self.kind} {name!r}{': ' * bool(why)}{why}",
            f"{'did you mean ' + near[0] + '? ' if near else ''}there are: {', '.join(names)}; "
            "or give the dotted path of a module or class of your own",
        )


def _is_on_the_class(interface: type[Any], member: str) -> bool:
    """Methods and class variables are; what an object gets when it is made is not."""
    annotations = (vars(base).get("__annotations__", {}) for base in interface.__mro__)
    is_variable = any("ClassVar" in str(known.get(member, "")) for known in annotations)
    return is_variable or callable(getattr(interface, member, None))


def _is_part(missing: str | None, path: str) -> bool:
    return missing is not None and (path == missing or path.startswith(f"{missing}."))

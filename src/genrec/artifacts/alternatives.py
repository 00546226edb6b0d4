"""Alternatives by name: a name is a module of the folder, a dotted path is a module or class of anyone's."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from typing_extensions import get_protocol_members

from genrec.errors import GenrecError, NotFoundError

T = TypeVar("T")
INTERFACE = "base"
"""The one module of a folder of alternatives that is none: it says what they are."""


class _Folder:
    """The alternatives of one kind. A new one is a new file of `package`; nothing has to be registered.

    `kind` names one of them in messages. `interface` is the Protocol that says what one must have.
    """

    def __init__(self, kind: str, package: str, interface: object, *, error: type[GenrecError] = NotFoundError) -> None:
        self.kind, self.package = kind, package
        self._interface = cast("type[Any]", interface)
        self._error = error

    def names(self) -> list[str]:
        """The names of those in the box, by alphabet."""
        folder = importlib.import_module(self.package)
        found = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return sorted(name for name in found if name != INTERFACE and not name.startswith("_"))

    def find(self, name: str) -> Any:
        """The alternative of that name or dotted path. Raises `error` with all names where there is none."""
        raise NotImplementedError

    def load(self, name: str) -> Any:
        """As `find`, for names that a user has just given: a package that a module needs and lacks is `error` too."""
        try:
            return self.find(name)
        except ModuleNotFoundError as error:
            raise self._error(self._needs(name, error), f"install it: pip install {error.name}") from error

    def problem(self, name: str) -> str | None:
        """What is wrong with a name, for validation; None where it names an alternative. Imports none of the box."""
        if "." not in name and name in self.names():
            return None
        try:
            self.find(name)
        except GenrecError as error:
            return f"{error.message}; {error.hint}"
        except ModuleNotFoundError as error:
            return self._needs(name, error)
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

    def _needs(self, name: str, error: ModuleNotFoundError) -> str:
        return f"{self.kind} {name!r} needs the package {error.name}, which is not installed"

    def _no(self, name: str, why: str = "") -> GenrecError:
        names = self.names()
        near = get_close_matches(name, names, 1)
        return self._error(
            f"there is no {self.kind} {name!r}{': ' * bool(why)}{why}",
            f"{'did you mean ' + near[0] + '? ' if near else ''}there are: {', '.join(names)}; "
            "or give the dotted path of a module or class of your own",
        )


class Alternatives(_Folder, Generic[T]):
    """Alternatives that are classes: those with the methods and class variables of the interface."""

    def find(self, name: str) -> type[T]:
        """The class of that name, module or path. Raises `error` with all names where there is none."""
        target = self._target(name)
        required = [member for member in get_protocol_members(self._interface) if self._is_on_the_class(member)]
        if isinstance(target, type):
            if lacking := _lacking(target, required):
                raise self._no(name, f"the class has no {' and no '.join(lacking)}")
            return target
        public = (value for key, value in vars(target).items() if isinstance(value, type) and not key.startswith("_"))
        classes = [value for value in public if not _lacking(value, required)]
        own = [one for one in classes if one.__module__ == target.__name__] or classes
        if not own:
            raise self._no(name, f"the module has no class with {', '.join(sorted(required))}")
        if len(own) > 1:
            listed = ", ".join(one.__name__ for one in own)
            raise self._no(name, f"the module has several: {listed}; name one as {name}.{own[0].__name__}")
        return cast("type[T]", own[0])

    def _is_on_the_class(self, member: str) -> bool:
        """Methods and class variables are; what an object gets when it is made is not."""
        annotations = (vars(base).get("__annotations__", {}) for base in self._interface.__mro__)
        is_variable = any("ClassVar" in str(known.get(member, "")) for known in annotations)
        return is_variable or callable(getattr(self._interface, member, None))


class ModuleAlternatives(_Folder, Generic[T]):
    """Alternatives that are modules: those with all functions and constants of the interface."""

    def find(self, name: str) -> T:
        """The module of that name or path, or class of that path. Raises `error` with all names if there is none."""
        target = self._target(name)
        if lacking := _lacking(target, get_protocol_members(self._interface)):
            raise self._no(name, f"it has no {' and no '.join(lacking)}")
        return cast(T, target)


def _lacking(target: object, wanted: Iterable[str]) -> list[str]:
    if getattr(target, "_is_protocol", False):
        return sorted(wanted)
    return sorted(member for member in wanted if not hasattr(target, member))


def _is_part(missing: str | None, path: str) -> bool:
    return missing is not None and (path == missing or path.startswith(f"{missing}."))

"""The errors a user can cause. Each carries a hint that says what to do next."""


class GenrecError(Exception):
    """Base of all expected errors: shown without a traceback, as message and hint.

    Neither text may contain user data (histories, requests, event payloads): errors end up in logs.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class DataError(GenrecError):
    """Input data that cannot be read as declared (names file, line, and what was expected)."""


class SettingsError(GenrecError):
    """Settings that do not validate; all problems are reported at once."""


class WorkspaceError(GenrecError):
    """A workspace that is missing, incomplete, or written by a newer version."""


class NotFoundError(GenrecError):
    """An id (user, item, template, model) that does not exist."""


class RequestError(GenrecError):
    """A request for recommendations that cannot be answered as it is (names the field, and what it may be)."""


class TemplateError(GenrecError):
    """A template that is wrong: names file and line."""


class BudgetError(TemplateError):
    """A prompt that does not fit the context even after dropping what may be dropped."""


class GuardError(GenrecError):
    """Rendered data would have changed the structure of the prompt; the request fails closed."""


class ModelError(GenrecError):
    """The language model or encoder is missing, does not load, or answered something unusable."""


class MissingExtraError(GenrecError):
    """An optional dependency is not installed."""

"""Bodies of the page's requests. Unknown fields are errors; sizes are limited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genrec.serving.playground.calls import CaseInputs
from genrec.settings import Policy

MAX_SOURCE = 64 * 1024
"""Characters of a template."""

Title = Annotated[str, Field(min_length=1, max_length=400)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TemplateBody(_Body):
    """A template by its id, with another text where `source` is given."""

    id: Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$", max_length=200)]
    source: Annotated[str, Field(max_length=MAX_SOURCE)] | None = None


class InputsBody(_Body):
    """What a template is rendered for: a user, a typed history (titles, oldest first), or a case of the template.

    `candidates` are titles; without them they are what retrieval proposes.
    """

    user_id: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    history: Annotated[list[Title], Field(max_length=500)] | None = None
    case: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    candidates: Annotated[list[Title], Field(min_length=1, max_length=200)] | None = None
    query: Annotated[str, Field(max_length=4000)] | None = None
    context: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=400)]] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> InputsBody:
        if sum(given is not None for given in (self.user_id, self.history, self.case)) != 1:
            raise ValueError("give one of user_id, history and case")
        if self.case is not None and self.candidates is not None:
            raise ValueError("a case has candidates of its own")
        return self

    def case_inputs(self) -> CaseInputs | None:
        """The case with what is given in place of its own; None where a user or a history is asked for."""
        if self.case is None:
            return None
        return CaseInputs(name=self.case, query=self.query or None, context=self.context or None)


class LintBody(_Body):
    """`POST lint` and `POST diff`."""

    template: TemplateBody


class PreviewBody(LintBody):
    """`POST preview`."""

    inputs: InputsBody


class RunBody(PreviewBody):
    """`POST run`."""

    policy: Policy = "annotate"
    explain: Literal["words", "model"] = "words"
    """Where the reasons come from; `model` takes one more call of it."""

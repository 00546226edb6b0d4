"""One typed tree of settings: file, then environment, then flags. Unknown keys are errors, all reported at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from genrec.errors import SettingsError

Policy = Literal["annotate", "fuse", "veto"]

MOVED = {
    "checks.policy": "policy.name",
    "checks.threshold": "policy.threshold",
    "checks.llm_slates": "llm.slates",
    "checks.read": "llm.read",
    "checks.deadline_s": "llm.deadline_s",
    "checks.exploration": "exploration.temperature",
    "clicks.liked": "scoring.liked",
}
"""Keys of former sections, and where they are now."""
_GONE = {"checks": "[policy], [llm] and [exploration]", "clicks": "[scoring]"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """The language model."""

    name: str = "smollm2-135m"
    """A known name (see `genrec data fetch --list`), a local folder, or a hub name."""
    adapter: str | None = None
    """Folder of a LoRA adapter (PEFT, safetensors); merged into the model once, when it is loaded."""
    engine: str = "vllm"
    """vllm, transformers, openai, or the dotted path of a module with a function `load`.
    `openai` talks to a server at `base_url`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is float32 on a CPU and the model's own on a GPU."""
    context: int = Field(default=2048, ge=256)
    """Longest prompt in tokens, the generated ones included."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Only for the engine `openai`. The key is read from the variable OPENAI_API_KEY."""


class DataSettings(_Section):
    """Catalogue and event log."""

    url: str | None = None
    """Database of the workspace, as `sqlite:///FILE` (relative to the workspace); `genrec.db` in its folder if None."""
    event_types: dict[str, str] = Field(default_factory=dict)
    """Event types of your own with the known ones whose meaning they have: `{ thumbs = "like", ms = "listen" }`."""


class EncoderSettings(_Section):
    """The text encoder behind `semantic` retrieval and scoring."""

    name: str = "minilm-l6"
    """A known name, a local sentence-transformers folder, a hub name, or `hashing` (words only, needs no torch)."""


class RetrievalSettings(_Section):
    """Candidates."""

    retrievers: tuple[str, ...] = ("covisit", "ials", "semantic", "popular")
    """Modules of `genrec.retrieval.retrievers`, or dotted paths. `genrec fit` learns their weights on validation."""
    pool: int = Field(default=200, ge=1)
    """How many items retrieval yields before scoring cuts them to `candidates`."""
    candidates: int = Field(default=20, ge=1, le=1000)
    """How many items the language model reads."""
    history: int = Field(default=50, ge=1)
    """How many of the newest events the retrievers look at."""
    popular_days: float = Field(default=30.0, gt=0)
    """Length of the recent window of `popular`, counted back from the newest event."""


class RankingSettings(_Section):
    """How the language model is read."""

    ranker: str = "pointwise"
    """pointwise, single_pass, listwise, or a dotted path."""
    template: str | None = None
    """Template id; the ranker's own default if not given."""
    orders: int = Field(default=1, ge=1, le=16)
    """single_pass: over how many label orders the scores are averaged."""
    seed: int = 0
    """Seed of the label orders."""


class ScoringSettings(_Section):
    """P(click) and P(like)."""

    liked: float = 4.0
    """Ratings of at least this much count as liked. If not set it follows the rating scale of the log: three quarters
    of the way, which is 4 of 1 to 5 and 75 of 0 to 100."""


class FilteringSettings(_Section):
    """Which items may be recommended at all."""

    rules: tuple[str, ...] = ("blocked", "excluded", "seen", "hidden", "expired", "sponsored", "conditions")
    """Modules of `genrec.filtering`, or dotted paths. The first that refuses an item gives the reason."""


class PolicySettings(_Section):
    """How the language model's ranking and P(click) make the order."""

    name: Policy = "fuse"
    """fuse: the order of P(click), for which what the model says is evidence. annotate: the model's order. veto: the
    model's order without items whose P(click) is below `threshold`."""
    threshold: float = Field(default=0.02, ge=0, le=1)
    """veto: the smallest P(click) that passes, as a share of the best in the pool, or as it is: see `relative`."""
    relative: bool = True
    """veto: whether `threshold` is a share of the pool's best P(click)."""


class LlmSettings(_Section):
    """When the language model is read."""

    read: Literal["useful", "always"] = "useful"
    """useful: under `fuse` the language model reads only slates where it is expected to change the answer."""
    slates: int = Field(default=40, ge=0)
    """How many validation slates, and as many with a request in words, the language model reads when its weights are
    learned; 0: it is not read under `fuse`."""
    deadline_s: float = Field(default=30.0, gt=0)
    """After this time without a ranking the order by P(click) without the language model is the answer."""


class RerankingSettings(_Section):
    """What happens to a scored list before it is shown."""

    stages: tuple[str, ...] = ("validity", "objective", "policy", "exploration")
    """Modules of `genrec.reranking`, or dotted paths, in the order in which they run. What stands behind `exploration`
    may only drop items."""


class ObjectiveSettings(_Section):
    """What an answer is ordered by: value = click * P(click) + like * P(like) + the weighted fields."""

    click: float = Field(default=1.0, allow_inf_nan=False)
    """Weight of P(click)."""
    like: float = Field(default=0.0, allow_inf_nan=False)
    """Weight of P(like), the probability that the item is liked once it is taken; 0 where nothing is rated."""
    fields: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    """Weights of numeric fields of the catalogue, such as margin or freshness. Items without the field count 0."""

    @model_validator(mode="after")
    def _has_weight(self) -> Self:
        if not (self.click or self.like or any(self.fields.values())):
            raise ValueError("give click, like or a field a weight other than 0")
        return self


class ExplorationSettings(_Section):
    """Lists drawn at random around the best one: only their log can later judge another order."""

    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Temperature at which lists that are logged are drawn around the order of `fuse`, in the unit of log P(click); 0
    is off. See `genrec eval policy`. On MovieLens one in fourteen of the ten best gives way to another item at 0.1, one
    in six at 0.3."""


class TraceSettings(_Section):
    """What is kept of how each logged answer came about, for `genrec why`."""

    keep_days: float = Field(default=90.0, ge=0, allow_inf_nan=False)
    """Traces older than this are removed when new ones are written and when `genrec fit` runs; 0 keeps none. The list
    itself stays: clicks on it are learned from."""


class ServingSettings(_Section):
    """`genrec serve`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: str | None = Field(default=None, repr=False)
    """Guards every route but /health. Better set by GENREC_SERVING__API_KEY than in a file."""
    open_engine_routes: bool = False
    """Opens the routes that vLLM adds by itself, such as /tokenize."""
    allow_template_preview: bool = False
    """Lets the page at /playground send templates of its own, on this machine only. Never where others can connect."""
    max_queued: int = Field(default=64, ge=1)
    """Slates that may wait in the engine; beyond, recommendations are answered without the language model."""


class PromptSettings(_Section):
    """Templates."""

    folder: Path | None = None
    """A local folder of templates that go before the shipped ones of the same id."""


class ExperimentSettings(_Section):
    """Users are split between arms; see `genrec.experiments.assignment`."""

    arms: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(min_length=1)
    """Weight of each arm. An arm is named by what it serves: `rank/pointwise.terse` (a template), `@mine` (an adapter
    of the workspace), or `rank/pointwise.terse@mine`. The first is the control."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Share of users that take part; the others get what the settings say."""
    salt: str = ""
    """Another salt splits users anew; the name of the experiment if empty."""
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: Any) -> Any:
        return from_json(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _has_weight(self) -> Self:
        if not any(self.arms.values()):
            raise ValueError("give at least one arm a weight above 0")
        return self


class ExperimentsSettings(_Section):
    """One table for each experiment, `[experiments.NAME]`; `genrec prompt experiment` changes them while serving."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, ExperimentSettings] = Field(init=False)

    def named(self) -> dict[str, ExperimentSettings]:
        """The experiments by name."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.__pydantic_extra__:
            if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]|_(?!_)){0,63}", name):
                raise ValueError(f"{name!r}: name it with up to 64 small letters, digits, '-' and single '_'")
        return self


class Settings(BaseSettings):
    """The whole tree. Environment variables: GENREC_<SECTION>__<KEY>, for example GENREC_MODEL__NAME."""

    model_config = SettingsConfigDict(
        env_prefix="GENREC_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    encoder: EncoderSettings = EncoderSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ranking: RankingSettings = RankingSettings()
    scoring: ScoringSettings = ScoringSettings()
    filtering: FilteringSettings = FilteringSettings()
    policy: PolicySettings = PolicySettings()
    llm: LlmSettings = LlmSettings()
    reranking: RerankingSettings = RerankingSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    exploration: ExplorationSettings = ExplorationSettings()
    traces: TraceSettings = TraceSettings()
    serving: ServingSettings = ServingSettings()
    prompts: PromptSettings = PromptSettings()
    experiments: ExperimentsSettings = ExperimentsSettings()

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, given: Any) -> Any:
        said = []
        for section, now in _GONE.items():
            prefix = f"GENREC_{section.upper()}__"
            old = [name[len(prefix) :].lower() for name in os.environ if name.upper().startswith(prefix)]
            if isinstance(given, dict) and section in given:
                old += given[section] or ()
                said += [] if old else [f"there is no [{section}] any more: see {now}"]
            for key in dict.fromkeys(old):
                place = MOVED.get(f"{section}.{key}")
                said.append(f"{section}.{key} is {place} now" if place else f"{section}.{key} is gone: see {now}")
        if said:
            raise ValueError("; ".join(said))
        return given

    @classmethod
    def load(cls, file: Path | None = None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
        """Reads `file` (skipped if missing), the environment, and `flags` ({section: {key: value}}).

        Flags whose value is None count as not given. SettingsError lists every problem with its place.
        """

        class FromFile(cls):  # type: ignore[valid-type, misc]
            model_config = SettingsConfigDict(toml_file=file)

            @classmethod
            def settings_customise_sources(
                cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return named["init_settings"], named["env_settings"], TomlConfigSettingsSource(settings_cls)

        given = {
            section: {key: value for key, value in values.items() if value is not None}
            for section, values in (flags or {}).items()
        }
        try:
            return FromFile(**{section: values for section, values in given.items() if values})
        except ValidationError as error:
            problems = "\n".join(
                f"  {': '.join(filter(None, ('.'.join(map(str, problem['loc'])), problem['msg'])))}"
                for problem in error.errors()
            )
            raise SettingsError(
                f"settings do not validate:\n{problems}",
                f"look at {file or 'the environment (GENREC_...)'} and the flags",
            ) from None
        except ValueError as error:  # broken TOML
            raise SettingsError(f"{file} is not valid TOML: {error}", "fix the file or remove it") from None

"""The interface of catalogue and event log, and how a workspace's store is opened, whatever database is under it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from genrec.artifacts.workspace import Workspace
from genrec.data.event_types import EventCount
from genrec.data.traces import Trace
from genrec.domain import Assignment, Event, History, Item
from genrec.errors import SettingsError
from genrec.settings import ScoringSettings, Settings

if TYPE_CHECKING:
    from genrec.data.interactions import Interactions
    from genrec.data.ratings import RatingScale


@dataclass(frozen=True, slots=True)
class Exposure:
    """A list that was shown: who saw it, in which order, made by which template. Clicks join on `request_id`.

    Where the list was drawn at random, and the policy knows the odds: `propensities` has the probability of each item
    at its place, `prefix_propensities` that of the whole list down to each place (the last one is the list's own).
    `assignment` is the arm of an experiment that made it. `trace` says how each item came to its place.
    """

    request_id: str
    user_id: str | None
    item_ids: tuple[str, ...]
    timestamp: float
    template_id: str | None = None
    template_version: int | None = None
    template_hash: str | None = None
    propensities: tuple[float, ...] | None = None
    prefix_propensities: tuple[float, ...] | None = None
    assignment: Assignment | None = None
    trace: Trace | None = None


class Store(Protocol):
    """Catalogue, event log and exposures of one workspace. Safe to use from several threads and processes."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def item(self, item_id: str) -> Item:
        """The item; NotFoundError if the catalogue has none of that id."""

    def items(self, item_ids: Sequence[str]) -> list[Item]:
        """The items in the order asked for; NotFoundError names the first unknown id."""

    def all_items(self) -> Iterator[Item]:
        """The whole catalogue in its stable order (the order of `Interactions.item_ids`)."""

    def n_items(self) -> int:
        """Number of items in the catalogue."""

    def metadata_fields(self) -> frozenset[str]:
        """Names of the metadata fields that some item has."""

    def put_items(self, items: Iterable[Item]) -> int:
        """Inserts or replaces items; returns how many. All or none."""

    def append(self, events: Sequence[Event]) -> int:
        """Stores events durably (they survive `kill -9` once this returns); all or none.

        Returns how many were new: an event id that is known already is not stored twice, nor is it an error.
        Unknown item ids raise NotFoundError. Unknown users are made.
        """

    def history(self, user_id: str, limit: int | None = None, before: float | None = None) -> History:
        """Events of the user sorted by (timestamp, arrival), oldest first; the newest `limit` of them.

        Without what was only shown (impressions), which the user did not do.

        `before` keeps only events with a smaller timestamp. An unknown user has an empty history.
        """

    def median_user(self) -> str | None:
        """The user in the middle by number of events, among a few hundred spread over all; None if there are none."""

    def popular_items(self, newest: int = 20_000) -> list[str]:
        """Ids of the items that are not sponsored, most frequent among the `newest` events first."""

    def user_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """Up to `limit` ids of users that start with `prefix`, in the order of their characters."""

    def interactions(self) -> Interactions:
        """All events as columns, as they are meant: see `Interactions.as_meant`."""

    def event_counts(self) -> list[EventCount]:
        """Events counted by type, most frequent first. A type of one's own stands under the name that it means."""

    def scale(self) -> RatingScale:
        """The rating scale of the log: as it is stored with the workspace, else as it is seen in the events."""

    def log_exposure(self, exposure: Exposure) -> None:
        """Stores what was shown, durably. DataError for propensities that are not one in (0, 1] for each item."""

    def exposures(self) -> Iterator[Exposure]:
        """All exposures without their traces, oldest first."""

    def exposure(self, request_id: str) -> Exposure:
        """What was shown for this request, with its trace if it is still kept; NotFoundError if nothing was logged."""

    def prune_traces(self, before: float) -> int:
        """Removes the traces that were written before this moment (seconds since the epoch); returns how many."""

    def clicked(self, liked: float = ScoringSettings().liked) -> Mapping[str, frozenset[str]]:
        """Ids of the items that were clicked, for each request id that a click names.

        What a click is `genrec.data.event_types.is_click` says; `liked` is the least rating that counts as one.
        """

    def shown(self, liked: float) -> list[tuple[Exposure, frozenset[str]]]:
        """Lists that were shown, oldest first, each with the ids that were clicked in it: what P(click) is learned on.

        Logged exposures, and what the log's own impressions tell (see `genrec.data.impressions`).
        """

    def block(self, user_id: str, item_ids: Sequence[str]) -> None:
        """Items that this user must not be shown again."""

    def blocked(self, user_id: str) -> frozenset[str]:
        """Items that `block` was called with for this user."""

    def stats(self) -> Mapping[str, int]:
        """Counts: users, items, events, exposures."""

    def fingerprint(self) -> str:
        """A hash that changes when items or events change, types of events too; stands in every record of a run."""

    def close(self) -> None:
        """Closes the connections."""


def open_store(place: Workspace | str, settings: Settings | None = None, *, create: bool = False) -> Store:
    """The store of a workspace, or of a URL such as `sqlite:///genrec.db`; `create` makes it if it is missing.

    The settings (a workspace's own if None) say which database it is, what its own event types mean, and from which
    rating on an item counts as liked. A database is a module `genrec.data.SCHEME.store`, or one with a dotted path as
    the scheme, with a function `open_url(url, root, **options)`. SettingsError for one that is not there.
    """
    root = place.root if isinstance(place, Workspace) else None
    if settings is None:
        settings = Settings.load(place.settings_file if isinstance(place, Workspace) else None)
    url = place if isinstance(place, str) else settings.data.url or f"sqlite:///{place.database.absolute()}"
    scheme = url.partition("://")[0]
    module = scheme if "." in scheme else f"genrec.data.{scheme}.store"
    try:
        opener = importlib.import_module(module).open_url
    except (ModuleNotFoundError, AttributeError):
        raise SettingsError(
            f"[data] url: there is no database {scheme!r}", "write sqlite:///FILE, or the dotted path of a store"
        ) from None
    liked = settings.scoring.liked if "liked" in settings.scoring.model_fields_set else None
    store: Store = opener(url, root, create=create, event_types=settings.data.event_types, liked=liked)
    return store

"""What metrics beyond accuracy must know: how popular items are, what they are like, and what users had before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from genrec.data.interactions import BoolArray, IntArray, Interactions
from genrec.data.splits import Split
from genrec.domain import Item
from genrec.errors import DataError
from genrec.evaluation import groups
from genrec.text.encoders import Vectors, unit_length

GENRE_FIELDS = ("genres", "genre", "categories", "category")
"""Metadata fields that are taken for genres, the first that any item has."""


@dataclass(frozen=True, eq=False)
class CatalogueFacts:
    """Facts about I items and m test users, from the training part alone.

    `item_users` [I] is the number of training users who touched each item, of `n_users` with any event. `histories` has
    the distinct item positions of each test user's training events, `user_group` [m] their group in `user_groups` (-1:
    none), `item_group` [I] each item's in `item_groups`. `vectors` [I, d] have unit length; `genres` [I, G] is
    membership.
    """

    item_users: IntArray
    n_users: int
    histories: tuple[IntArray, ...]
    item_group: IntArray
    user_group: IntArray
    user_groups: tuple[str, ...] = groups.HISTORY_GROUPS
    item_groups: tuple[str, ...] = groups.POPULARITY_GROUPS
    vectors: Vectors | None = None
    genres: BoolArray | None = None

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.item_users)

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """Share of training users who touched each item [I]."""
        shares: npt.NDArray[np.float64] = self.item_users / max(self.n_users, 1)
        return shares

    @cached_property
    def history_matrix(self) -> Any:
        """Sparse membership [m, I]: 1 where the test user had the item."""
        lengths = [len(history) for history in self.histories]
        pointers = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        items = np.concatenate([*self.histories, np.zeros(0, np.int32)])
        return csr_matrix((np.ones(len(items)), items, pointers), shape=(len(lengths), self.n_items))

    def known_vectors(self) -> Vectors:
        """The item vectors; DataError if none were given."""
        if self.vectors is None:
            raise DataError("this metric compares items by their vectors, and none are known", "name an encoder")
        return self.vectors

    def known_genres(self) -> BoolArray:
        """The genres; DataError if the items have none."""
        if self.genres is None:
            raise DataError(
                f"this metric compares genres, and no item has one of the fields {', '.join(GENRE_FIELDS)}",
                "leave the metric out, or import items with genres",
            )
        return self.genres

    def restrict(self, rows: npt.NDArray[Any]) -> CatalogueFacts:
        """The same for some of the test users: positions or a mask [m]."""
        chosen = np.arange(len(self.histories))[rows]
        histories = tuple(self.histories[row] for row in chosen)
        return replace(self, histories=histories, user_group=self.user_group[chosen])


def catalogue_facts(
    split: Split,
    items: Sequence[Item],
    vectors: Vectors | None = None,
    *,
    fit_on: Interactions | None = None,
    genre_field: str | None = None,
    user_groups: Sequence[str | None] | None = None,
) -> CatalogueFacts:
    """Facts for the test users of a split; `items` and `vectors` [I, d] stand in the order of `item_ids`.

    Items are counted in `fit_on`, what everything is fitted on, where that is not all that is known at the request.
    `genre_field` is the metadata field that has genres (else the first of GENRE_FIELDS that any item has).
    `user_groups` names the group of each test user (None: in none); without it they go by the length of their history.
    """
    train, fit_on = split.train, fit_on or split.train
    pairs = np.unique(fit_on.user.astype(np.int64) * fit_on.n_items + fit_on.item)
    item_users = np.bincount(pairs % fit_on.n_items, minlength=fit_on.n_items).astype(np.int32)
    rows = [train.rows_of(int(user)) for user in split.users]
    lengths = np.array([row.stop - row.start for row in rows], dtype=np.int32)
    names: tuple[str, ...] = groups.HISTORY_GROUPS
    group = groups.by_history(lengths)
    if user_groups is not None:
        names = tuple(sorted({name for name in user_groups if name is not None}))
        group = np.array([-1 if name is None else names.index(name) for name in user_groups], dtype=np.int32)
    return CatalogueFacts(
        item_users=item_users,
        n_users=int((np.diff(fit_on.indptr) > 0).sum()),
        histories=tuple(np.unique(train.item[row]) for row in rows),
        item_group=groups.by_popularity(item_users),
        user_group=group,
        user_groups=names,
        vectors=None if vectors is None else unit_length(vectors),
        genres=_genres(items, genre_field),
    )


def _genres(items: Sequence[Item], field: str | None) -> BoolArray | None:
    fields = GENRE_FIELDS if field is None else (field,)
    chosen = next((name for name in fields if any(name in item.metadata for item in items)), None)
    if chosen is None:
        return None
    named = [_texts(item.metadata.get(chosen)) for item in items]
    place = {name: column for column, name in enumerate(sorted({name for names in named for name in names}))}
    membership = np.zeros((len(items), len(place)), dtype=np.bool_)
    for row, names in enumerate(named):
        membership[row, [place[name] for name in names]] = True
    return membership


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple) else (str(value),)

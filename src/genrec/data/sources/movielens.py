"""MovieLens: u.data and u.item (100K), ratings.dat and movies.dat (1M, 10M), ratings.csv and movies.csv."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from genrec.data import columns
from genrec.data.files import Chunk, read_delimited
from genrec.data.sources.base import BadRows, EventBatch
from genrec.domain import Item
from genrec.errors import DataError

_YEAR = re.compile(r"^(?P<title>.*\S)\s*\((?P<year>\d{4})\)\s*$")
_LOG = ("user_id", "item_id", "value", "timestamp")
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_ITEM_100K = ("item_id", "title", "release_date", "video_release_date", "imdb_url", *_GENRES_100K)
_RENAMED = {"userId": "user_id", "movieId": "item_id", "rating": "value"}
_NO_GENRES = {"(no genres listed)", "unknown", ""}


@dataclass(frozen=True)
class _Form:
    log: str
    catalogue: str
    log_delimiter: str
    catalogue_delimiter: str
    log_names: tuple[str, ...] | None
    catalogue_names: tuple[str, ...] | None
    encoding: str | None
    quoted: bool


_FORMS = (
    _Form("u.data", "u.item", "\t", "|", _LOG, _ITEM_100K, "latin-1", False),
    _Form("ratings.dat", "movies.dat", "::", "::", _LOG, ("item_id", "title", "genres"), None, False),
    _Form("ratings.csv", "movies.csv", ",", ",", None, None, "utf-8", True),
)


@dataclass(frozen=True)
class MovieLens:
    """A folder with one of the three forms. Year (taken off the title) and genres are metadata."""

    folder: Path

    @classmethod
    def of(cls, path: Path, items: Path | None = None) -> Self:
        """See `Source.of`."""
        return cls(path)

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self._form().log

    @property
    def has_items(self) -> bool:
        """See `Source.has_items`."""
        return True

    def items(self, bad: BadRows) -> Iterator[Item]:
        """See `Source.items`."""
        form = self._form()
        chunks = read_delimited(
            self.folder / form.catalogue,
            bad,
            delimiter=form.catalogue_delimiter,
            names=form.catalogue_names,
            encoding=form.encoding or _encoding(self.folder / form.catalogue),
            quoted=form.quoted,
        )
        return columns.items(form.catalogue, map(_catalogue, chunks), bad)

    def events(self, bad: BadRows) -> Iterator[EventBatch]:
        """See `Source.events`."""
        form = self._form()
        chunks = read_delimited(
            self.folder / form.log,
            bad,
            delimiter=form.log_delimiter,
            names=form.log_names,
            encoding=form.encoding or "ascii",
            quoted=form.quoted,
        )
        return columns.events(form.log, map(_renamed, chunks), bad, event_type="watch")

    def _form(self) -> _Form:
        for form in _FORMS:
            if (self.folder / form.log).is_file() and (self.folder / form.catalogue).is_file():
                return form
        raise DataError(
            f"{self.folder} has no MovieLens data",
            "give the folder with " + ", or ".join(f"{form.log} and {form.catalogue}" for form in _FORMS),
        )


def _encoding(path: Path) -> str:
    """10M is in UTF-8, 1M in Latin-1, and the names of their files are the same."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _renamed(chunk: Chunk) -> Chunk:
    return replace(chunk, columns={_RENAMED.get(name, name): column for name, column in chunk.columns.items()})


def _catalogue(chunk: Chunk) -> Chunk:
    """Title without its year, year, and genres as a list."""
    named = _renamed(chunk).columns
    if "title" not in named or "item_id" not in named:
        return replace(chunk, columns=named)  # whose columns are then found missing
    matches = [(title, _YEAR.match(title)) for title in named["title"].to_pylist()]
    if "genres" in named:
        genres = [text.split("|") for text in named["genres"].to_pylist()]
    else:
        flags = np.array([[text == "1" for text in named[name].to_pylist()] for name in _GENRES_100K])
        genres = [[_GENRES_100K[at] for at in np.flatnonzero(column)] for column in flags.T]
    kept = {
        "item_id": named["item_id"],
        "title": pa.array([match["title"] if match else title for title, match in matches], pa.string()),
        "year": pa.array([match["year"] if match else None for _, match in matches], pa.string()),
        "genres": pa.array([[g for g in names if g not in _NO_GENRES] for names in genres], pa.list_(pa.string())),
    }
    return replace(chunk, columns=kept)

"""From ranked lists of all systems to tables over all users and over subsets, and to the figures of single users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from genrec.data.cold_splits import hours, request_times
from genrec.data.interactions import BoolArray, IntArray
from genrec.errors import DataError
from genrec.evaluation import metrics, significance
from genrec.evaluation.breakdown import Buckets, buckets_of, by_name
from genrec.evaluation.catalogue import CatalogueFacts, catalogue_facts
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.schema import Subset
from genrec.evaluation.tables import Column, Comparison, Table, column_name, ranking_table, user_values
from genrec.evaluation.values import UserValues
from genrec.text.encoders import CachedEncoder, item_text, load_encoder

DAY_PARTS = ("night, 0 to 6", "morning, 6 to 12", "afternoon, 12 to 18", "evening, 18 to 24")
"""Quarters of the day."""


@dataclass(frozen=True, eq=False)
class Metrics:
    """Judges ranked lists [s, m, K] of s seeds for the users of a context."""

    context: EvaluationContext
    columns: Sequence[Column]
    comparisons: Sequence[Comparison]
    groups: Sequence[str | None] | None = None
    """The group of each test user [m], None: in none; by the length of their history if not given."""
    genre_field: str | None = None

    @cached_property
    def facts(self) -> CatalogueFacts | None:
        """What metrics beyond accuracy must know; None if there is none among the columns."""
        if all(metrics.reads(name) == "targets" for name, _ in self.columns):
            return None
        context = self.context
        encoder = CachedEncoder(context.encoder or load_encoder(context.settings.encoder), context.cache)
        vectors = encoder.encode([item_text(item) for item in context.items], context.progress)
        return catalogue_facts(
            context.split,
            context.items,
            vectors,
            fit_on=context.held.fit_on,
            genre_field=self.genre_field,
            user_groups=self.groups,
        )

    def table(self, lists: Mapping[str, IntArray], rows: BoolArray | None = None) -> Table:
        """All metrics of all systems, over all users or those in `rows` [m]."""
        targets = self.context.split.targets
        if rows is None:
            return ranking_table(lists, targets, self.columns, facts=self.facts, comparisons=self.comparisons)
        facts = None if self.facts is None else self.facts.restrict(rows)
        chosen = [target for target, keep in zip(targets, rows, strict=True) if keep]
        part = {name: ranked[:, rows] for name, ranked in lists.items()}
        return ranking_table(part, chosen, self.columns, facts=facts, comparisons=self.comparisons)

    def difference(
        self, lists: Mapping[str, IntArray], pair: Comparison, column: str, rows: BoolArray | None = None
    ) -> dict[str, float] | None:
        """The paired difference of two systems in one metric (see `tables.as_json`); None where it is not defined."""
        name, k = metrics.parse(column)
        if k is None:
            raise ValueError(f"{column} does not judge ranked lists")
        judge = replace(self, columns=[(name, k)], comparisons=[pair])
        table = judge.table({one: lists[one] for one in pair}, rows)
        found: dict[str, float] | None = table[pair[0]].get(f"{column}_vs_{pair[1]}")
        return found

    def user_values(self, lists: Mapping[str, IntArray]) -> UserValues:
        """What single users' lists were worth, averaged over seeds; metrics of all lists together are left out."""
        split = self.context.split
        columns = [column for column in self.columns if metrics.kind_of(column[0]) != "set"]
        of_system = {
            name: significance.over_seeds(user_values(ranked, split.targets, columns, self.facts))[0]
            for name, ranked in lists.items()
        }
        user_ids = tuple(str(user) for user in split.train.user_ids[split.users])
        return UserValues(user_ids, tuple(column_name(column) for column in columns), of_system)


def subset_masks(subsets: Mapping[str, Subset], context: EvaluationContext) -> dict[str, BoolArray]:
    """Users of each subset [m]. DataError if one asks for hours and the log has no clock."""
    return {name: _mask(name, subset, context) for name, subset in subsets.items()}


def _mask(name: str, subset: Subset, context: EvaluationContext) -> BoolArray:
    split = context.split
    mask = np.ones(len(split.users), dtype=np.bool_)
    if subset.history_at_most is not None:
        mask &= np.diff(split.train.indptr)[split.users] <= subset.history_at_most
    if subset.target_events_at_most is not None:
        events = np.bincount(context.held.fit_on.item, minlength=len(context.items))
        most = np.array([events[target].max() for target in split.targets], dtype=np.int64)
        mask &= most <= subset.target_events_at_most
    if subset.hours is not None:
        times = request_times(context.interactions, split)
        if times is None:
            raise DataError(
                f"the subset {name} asks for hours, and the timestamps of this log are positions",
                "leave the subset out, or bring timestamps in seconds",
            )
        first, end = subset.hours
        since, until = hours(times) >= first, hours(times) < end
        mask &= (since & until) if first < end else (since | until)
    return mask


def dimensions(context: EvaluationContext) -> dict[str, Buckets]:
    """By what the breakdown goes: see `buckets_of`, and the time of day where the log has a clock."""
    found = buckets_of(context.split, context.held.fit_on)
    times = request_times(context.interactions, context.split)
    if times is not None:
        found["time_of_day"] = by_name("Time of day in UTC of what is to be found", hours(times) // 6, DAY_PARTS)
    return found


def flat(table: Table) -> list[dict[str, Any]]:
    """The differences of a table as a list: system, baseline, metric, and what `tables.as_json` gives."""
    return [
        {"system": name, "baseline": baseline, "metric": column, **value}
        for name, row in table.items()
        for key, value in row.items()
        for column, vs, baseline in [key.partition("_vs_")]
        if vs
    ]

"""Figures of each user, kept beside the record of a run, so that runs can be paired user by user later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.errors import DataError
from genrec.evaluation.metrics import Values

FILE = "values.parquet"


@dataclass(frozen=True, eq=False)
class UserValues:
    """`of_system` has, for each system, values [m, c] of the m users of `user_ids` in the c metrics of `columns`.

    Means over the seeds; NaN where a metric is not defined for a user.
    """

    user_ids: tuple[str, ...]
    columns: tuple[str, ...]
    of_system: Mapping[str, Values]

    def save(self, folder: Path) -> None:
        """Writes values.parquet: a row for each system and user, a column for each metric."""
        stacked = np.concatenate([np.zeros((0, len(self.columns))), *self.of_system.values()])
        systems = np.repeat(np.arange(len(self.of_system), dtype=np.int32), len(self.user_ids))
        table = {
            "system": pa.DictionaryArray.from_arrays(pa.array(systems), pa.array(list(self.of_system), pa.string())),
            "user_id": pa.array(list(self.user_ids) * len(self.of_system), pa.string()),
            **{column: pa.array(stacked[:, place]) for place, column in enumerate(self.columns)},
        }
        pq.write_table(pa.table(table), folder / FILE, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> UserValues:
        """Reads what `save` wrote. DataError if it cannot be read."""
        try:
            table = pq.read_table(folder / FILE)
            system = np.array(table["system"].cast(pa.string()).to_pylist(), dtype=object)
            users = np.array(table["user_id"].to_pylist(), dtype=object)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise DataError(
                f"the run {folder.name} has no figures of single users", "compare runs of suites: genrec eval SUITE"
            ) from error
        columns = tuple(name for name in table.column_names if name not in ("system", "user_id"))
        values = np.column_stack([np.zeros((len(users), 0)), *(table[name].to_numpy() for name in columns)])
        names = list(dict.fromkeys(system))
        first = users[system == names[0]] if names else ()
        return cls(tuple(first), columns, {name: values[system == name] for name in names})

    def of_users(self, user_ids: Sequence[str]) -> UserValues:
        """Only these users, in this order; all of them must be there."""
        place = {user: row for row, user in enumerate(self.user_ids)}
        rows = [place[user] for user in user_ids]
        return UserValues(tuple(user_ids), self.columns, {name: one[rows] for name, one in self.of_system.items()})

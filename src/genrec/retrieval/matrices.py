"""Sparse matrices that several retrievers share: the log, histories of queries, and what was touched together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.scoring import top_k

ROWS = 1_000


def touched(interactions: Interactions) -> sparse.csr_matrix:
    """X [U, I], float32: 1 where a user touched an item, however often, and did not only say no to it."""
    interactions = interactions.positive()
    shape = (interactions.n_users, interactions.n_items)
    ones = np.ones(len(interactions), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, interactions.item.astype(np.int32), interactions.indptr), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def histories(
    queries: Sequence[HistoryArrays], n_items: int, decay: float, newest: int | None = None
) -> sparse.csr_matrix:
    """H [q, I], float32: sum of decay^j * pull over the events of a query on an item, j = 0 the newest.

    Events that say no have a negative pull (see `HistoryArrays.pull`). Only the `newest` events of each query if that
    is given.
    """
    items = [query.item[::-1][:newest] for query in queries]
    lengths = np.array([len(of_query) for of_query in items], dtype=np.int64)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    ages = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    columns = np.concatenate(items) if items else np.zeros(0, dtype=np.int32)
    pull = [query.pull[::-1][:newest] for query in queries]
    weights = np.power(decay, ages).astype(np.float32) * (np.concatenate(pull) if pull else 1)
    return sparse.csr_matrix((weights, columns, indptr), shape=(len(queries), n_items))


def together(matrix: sparse.csr_matrix) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Rows of X'X [I, I] in pieces, so that memory stays bounded where it is dense: (which rows, the rows)."""
    transposed = matrix.T.tocsr()
    for start in range(0, transposed.shape[0], ROWS):
        rows = slice(start, min(start + ROWS, transposed.shape[0]))
        yield rows, transposed[rows] @ matrix


def largest(table: sparse.csr_matrix, keep: int) -> sparse.csr_matrix:
    """The `keep` largest entries of each row; of equal ones the smaller column."""
    table.sort_indices()
    lengths = np.diff(table.indptr)
    chosen: npt.NDArray[np.bool_] = np.ones(table.nnz, dtype=np.bool_)
    for row in np.flatnonzero(lengths > keep):
        start, end = table.indptr[row], table.indptr[row + 1]
        chosen[start:end] = False
        chosen[start + top_k(table.data[start:end], keep)] = True
    indptr = np.concatenate(([0], np.cumsum(np.minimum(lengths, keep))))
    return sparse.csr_matrix((table.data[chosen], table.indices[chosen], indptr), shape=table.shape)

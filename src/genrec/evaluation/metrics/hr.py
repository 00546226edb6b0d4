"""Hit rate: the share of users with at least one relevant item among the first k.

Also called Success@k. Source: Deshpande and Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004.
"""

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "1 if a relevant item is among the first k, else 0"
BETTER: Better = "higher"
READS: Reads = "targets"


def per_user(lists: Lists) -> Values:
    """1.0 or 0.0 for each user [m]."""
    return lists.hits.any(axis=1).astype("float64")

"""Requests in the words of people: for each test user a tag that somebody gave to the film to be found.

    python eval/requests_from_tags.py --workspace W --tags ml-latest-small/tags.csv --out W/said.tsv

The result is for `queries:` of a suite. Only tags that share no word with the film's title and genres are taken: what
is then found is found by meaning, not by the catalogue's own words. Users whose film has no such tag say nothing.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from genrec.artifacts.workspace import Workspace
from genrec.cli.console import console
from genrec.cli.files import write_text
from genrec.data.splits import by_name
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Item
from genrec.errors import DataError, GenrecError
from genrec.retrieval.words import words
from genrec.text.encoders import item_text

NO_WISH = frozenset({"in netflix queue"})
"""Says where a film is kept, not what it is like; the most frequent tag of ml-latest-small."""


def tags_of(file: Path) -> dict[str, list[str]]:
    """The tags of each film in the form of MovieLens (userId,movieId,tag,timestamp), each once whatever its case.

    DataError for a file that is none.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                tag = " ".join(row["tag"].split())
                if tag and tag.casefold() not in NO_WISH:
                    found[row["movieId"]].setdefault(tag.casefold(), tag)
    except (OSError, UnicodeDecodeError, KeyError, AttributeError) as error:
        raise DataError(f"{file} has no tags", "give MovieLens' tags.csv: userId,movieId,tag,timestamp") from error
    return {film: [named[key] for key in sorted(named)] for film, named in found.items()}


def request(user_id: str, item: Item, tags: list[str]) -> str | None:
    """One of the tags that share no word with the text of the item, by a hash of the user; None without any."""
    own = words(item_text(item))
    told = [tag for tag in tags if own.isdisjoint(words(tag))]
    drawn = int.from_bytes(hashlib.sha256(f"tag {user_id}".encode()).digest()[:8], "big")
    return told[drawn % len(told)] if told else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--tags", type=Path, required=True)
    parser.add_argument("--split", choices=["temporal", "leave-one-out"], default="leave-one-out")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        write_requests(options.workspace, options.tags, options.split, options.out)
    except GenrecError as error:
        parser.error(str(error))


def write_requests(workspace: Path, tags_file: Path, split_name: str, out: Path) -> None:
    """Writes what each test user of the split says, and tells how many do."""
    with closing(SqliteStore(Workspace.open(workspace).database)) as store:
        log, items = store.interactions(), list(store.all_items())
    split, tags = by_name(split_name, log), tags_of(tags_file)
    said = ["user\tquery"]
    for user, target in zip(split.users, split.targets, strict=True):
        user_id, item = str(split.train.user_ids[user]), items[int(target[0])]
        text = request(user_id, item, tags.get(item.id, []))
        if text is not None:
            said.append(f"{user_id}\t{text}")
    write_text("\n".join(said) + "\n", out)
    console.print(f"{out}: {len(said) - 1:,} of {len(split.users):,} test users say something")


if __name__ == "__main__":
    main()

"""A small rated log in a workspace, and a folder that passes for a model as far as its tokenizer goes."""

import json
import shutil

import numpy as np
import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item

N_ITEMS, N_USERS, LENGTH = 30, 60, 10


def rated_chain():
    """User u does items u, u + 1, ... in this order, and likes the even ones: what comes next is certain.

    The others have 3 of 5: not liked, but no noes. Noes are no targets, and with them what is to be found would not
    be what comes next.
    """
    generator = np.random.default_rng(0)
    for user in range(N_USERS):
        for step in range(LENGTH):
            item = (user + step) % N_ITEMS
            value = 5.0 if (item % 2 == 0) != (generator.random() < 0.1) else 3.0
            yield Event(f"u{user}", f"i{item}", 1000.0 * step + user, "rating", value)


@pytest.fixture(scope="session")
def shared_fits(tmp_path_factory):
    """Where evaluations of the same log find what another test fitted."""
    return tmp_path_factory.mktemp("fits")


@pytest.fixture
def workspace(tmp_path, tiny_tokenizer_folder, shared_fits):
    """Imported, not fitted; its settings need no download."""
    model = tmp_path / "model"
    shutil.copytree(tiny_tokenizer_folder, model)
    (model / "config.json").write_text("{}")
    made = Workspace.create(tmp_path / "workspace")
    with SqliteStore(made.database, create=True) as store:
        store.put_items(
            Item(f"i{number}", f"Title {number}", {"genres": (f"g{number % 3}",)}) for number in range(N_ITEMS)
        )
        store.append(list(rated_chain()))
    made.settings_file.write_text(
        f"""
        [model]
        name = {json.dumps(str(model))}
        [encoder]
        name = "hashing"
        [retrieval]
        retrievers = ["covisit", "popular"]
        pool = 16
        candidates = 6
        """
    )
    (made.root / "cache").mkdir()
    (made.root / "cache" / "fits").symlink_to(shared_fits)
    return made

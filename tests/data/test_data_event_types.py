"""Sources that know what people did say so, for the prompt speaks of it."""

from pathlib import Path

from genrec.artifacts.workspace import Workspace
from genrec.data.importer import import_source
from genrec.data.sources.movielens import MovieLens
from genrec.data.sources.recbole import RecBole
from genrec.data.sqlite.store import SqliteStore


def kinds(workspace: Workspace) -> set[str]:
    with SqliteStore(workspace.database) as store:
        return {entry.event_type for entry in store.history("1").entries}


def test_films_are_watched(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,4,5\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n10,Heat (1995),Crime\n")
    workspace = Workspace.create(tmp_path / "w")
    import_source(MovieLens(tmp_path), workspace)
    assert kinds(workspace) == {"watch"}


def test_recbole_names_films_in_the_header_only(tmp_path: Path) -> None:
    for name, title, kind in (("film", "movie_title", "watch"), ("thing", "title", "interaction")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t10\t5\n")
        (folder / "x.item").write_text(f"item_id:token\t{title}:token_seq\n10\tHeat\n")
        workspace = Workspace.create(tmp_path / f"w-{name}")
        import_source(RecBole(folder), workspace)
        assert kinds(workspace) == {kind}

"""Real users for previews: their history, and the slate that they would get."""

from __future__ import annotations

from contextlib import closing

from genrec.artifacts.workspace import PARTS, Workspace
from genrec.data.sqlite import schema
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Candidate, Candidates
from genrec.errors import NotFoundError
from genrec.prompting.cases import RenderInputs
from genrec.settings import Settings

_SAMPLE = 201
_RECENT = 20_000


def inputs_for(
    workspace: Workspace, settings: Settings, user: str, query: str | None = None
) -> tuple[RenderInputs, str]:
    """What the model would read for a user, and in words where the candidates come from.

    A fitted workspace retrieves and prunes as serving does, which needs no torch; any other one takes what is popular.
    NotFoundError if the workspace does not know the user.
    """
    with closing(schema.connect(workspace.database)) as connection:
        if connection.execute("SELECT 1 FROM users WHERE external = ?", (user,)).fetchone() is None:
            raise NotFoundError("the workspace has no such user", "genrec data describe shows what there is")
    if set(PARTS) <= set(workspace.versions()):
        return _served(workspace, settings, user, query)
    inputs = popular_inputs(workspace, settings, user, query)
    return inputs, "candidates: popular titles of the newest events, as the workspace is not fitted"


def median_user(workspace: Workspace) -> str | None:
    """The user in the middle by number of events, among a few hundred spread over all; None if there are none."""
    with closing(schema.connect(workspace.database)) as connection:
        last = connection.execute("SELECT max(id) FROM users").fetchone()[0] or 0
        counts: dict[str, int] = {}
        for step in range(min(_SAMPLE, last)):
            key, external = connection.execute(
                "SELECT id, external FROM users WHERE id >= ? LIMIT 1", (1 + step * last // min(_SAMPLE, last),)
            ).fetchone()
            counts[external] = connection.execute("SELECT count(*) FROM events WHERE user = ?", (key,)).fetchone()[0]
    active = sorted((count, user) for user, count in counts.items() if count)
    return active[len(active) // 2][1] if active else None


def popular_inputs(workspace: Workspace, settings: Settings, user: str, query: str | None = None) -> RenderInputs:
    """The stored history, and as many candidates as the settings say: unseen titles, most events first."""
    with closing(SqliteStore(workspace.database)) as store:
        history = store.history(user)
        seen, ids = set(history.item_ids()), _popular(workspace)
        chosen = [item_id for item_id in ids if item_id not in seen][: settings.retrieval.candidates]
        slate = tuple(Candidate(item, 0.0) for item in store.items(chosen))
    return RenderInputs(history, Candidates(slate), query)


def _popular(workspace: Workspace) -> list[str]:
    """Ids by their number among the newest events: a count over all of them takes long in a large log."""
    with closing(schema.connect(workspace.database)) as connection:
        rows = connection.execute(
            "SELECT i.external FROM (SELECT item FROM events ORDER BY id DESC LIMIT ?) e JOIN items i ON i.id = e.item"
            " WHERE NOT i.sponsored GROUP BY i.id ORDER BY count(*) DESC, i.id",
            (_RECENT,),
        )
        return [external for (external,) in rows]


def _served(workspace: Workspace, settings: Settings, user: str, query: str | None) -> tuple[RenderInputs, str]:
    from genrec.pipeline.recommender import RecommendationRequest, Recommender

    recommender = Recommender.open(workspace.root, settings, llm=False)
    try:
        # A request in words would load the text encoder, and with it torch: it is read, but does not retrieve.
        slate = recommender.slate(RecommendationRequest(user_id=user))
    finally:
        recommender.close()
    source = f"candidates: retrieved and pruned as in serving ({slate.retriever}, {recommender.version})"
    if query is not None:
        source += "; the request itself retrieved none, as that needs the text encoder"
    return RenderInputs(slate.history, slate.candidates, query), source

"""Real users for previews: their history, and the slate that they would get."""

from __future__ import annotations

from genrec.artifacts.workspace import PARTS, Workspace
from genrec.data.store import open_store
from genrec.domain import Candidate, Candidates
from genrec.errors import NotFoundError
from genrec.prompting.cases import RenderInputs
from genrec.settings import Settings


def inputs_for(
    workspace: Workspace, settings: Settings, user: str, query: str | None = None
) -> tuple[RenderInputs, str]:
    """What the model would read for a user, and in words where the candidates come from.

    A fitted workspace retrieves and prunes as serving does, which needs no torch; any other one takes what is popular.
    NotFoundError if the workspace does not know the user.
    """
    with open_store(workspace, settings) as store:
        if store.user_ids(user, limit=1) != [user]:
            raise NotFoundError("the workspace has no such user", "genrec data describe shows what there is")
    if set(PARTS) <= set(workspace.versions()):
        return _served(workspace, settings, user, query)
    inputs = popular_inputs(workspace, settings, user, query)
    return inputs, "candidates: popular titles of the newest events, as the workspace is not fitted"


def median_user(workspace: Workspace) -> str | None:
    """See `Store.median_user`."""
    with open_store(workspace) as store:
        return store.median_user()


def popular_inputs(workspace: Workspace, settings: Settings, user: str, query: str | None = None) -> RenderInputs:
    """The stored history, and as many candidates as the settings say: unseen titles, most events first."""
    with open_store(workspace, settings) as store:
        history = store.history(user)
        seen, ids = set(history.item_ids()), store.popular_items()
        chosen = [item_id for item_id in ids if item_id not in seen][: settings.retrieval.candidates]
        slate = tuple(Candidate(item, 0.0) for item in store.items(chosen))
    return RenderInputs(history, Candidates(slate), query)


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

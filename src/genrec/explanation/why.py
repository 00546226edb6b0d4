"""Why an item was, or was not, recommended: an answer from the trace of a logged list, in plain words."""

from __future__ import annotations

import time
from dataclasses import dataclass

from genrec.data.store import Exposure, Store
from genrec.data.traces import LeftOut, Trace, TracedItem
from genrec.domain import Item
from genrec.errors import NotFoundError, RequestError


@dataclass(frozen=True, slots=True)
class Why:
    """What is told of a logged list. `lines` are plain sentences: of the list and of every item that is asked for."""

    exposure: Exposure
    lines: tuple[str, ...]


def why(store: Store, request_id: str, item_id: str | None = None) -> Why:
    """How the list of a request came about, or why one item was in it or not.

    NotFoundError for a request that was not logged or an item that there is not, RequestError where the trace is no
    longer kept.
    """
    exposure = store.exposure(request_id)
    trace = exposure.trace
    if trace is None:
        raise RequestError(
            "how this list came about is not kept any more", "traces.keep_days in the settings says for how long it is"
        )
    if item_id is not None:
        return Why(exposure, (_of_list(exposure, trace), *_of_item(store, exposure, trace, store.item(item_id))))
    shown = [_shown(place, one, _title(store, one.item_id)) for place, one in enumerate(trace.shown, start=1)]
    left = [_left(one, _title(store, one.item_id), trace) for one in trace.left_out]
    return Why(exposure, (_of_list(exposure, trace), *shown, *left))


def _of_list(exposure: Exposure, trace: Trace) -> str:
    made, counts = trace.versions, trace.counts
    said = (
        f"Shown: {len(trace.shown)} of {counts.get('pool', 0)} that {made.get('retriever')} proposed "
        f"for {counts.get('history', 0)} events of history. Policy {made.get('policy')}, "
    )
    if made.get("fallback"):
        said += f"without the language model ({made['fallback']})"
    else:
        adapter = f" with the adapter {made['adapter']}" if made.get("adapter") else ""
        template = f", template {exposure.template_id} version {exposure.template_version}" * bool(exposure.template_id)
        said += (
            f"{counts.get('candidates', 0)} items read by {made.get('model')}{adapter} ({made.get('ranker')}{template})"
        )
    arm = exposure.assignment
    tested = f"; arm {arm.arm} of the experiment {arm.experiment}" if arm else ""
    drawn = "; drawn at random around the best list" if exposure.propensities else ""
    return f"{said}{tested}{drawn}. Fit {made.get('workspace')}, genrec {made.get('genrec')}."


def _of_item(store: Store, exposure: Exposure, trace: Trace, item: Item) -> tuple[str, ...]:
    for place, one in enumerate(trace.shown, start=1):
        if one.item_id == item.id:
            return (_shown(place, one, item.title),)
    for left in trace.left_out:
        if left.item_id == item.id:
            return (_left(left, item.title, trace),)
    reasons = tuple(_now_known(store, exposure, item))
    known = [one.p_click for one in trace.left_out if one.p_click is not None]
    lowest = f" (P(click) {min(known):.2g} or less)" if known else ""
    behind = (
        f"{item.title}: not shown. Retrieval did not propose it, or it stood behind the {len(known)} best that were "
        f"left out{lowest}."
    )
    return reasons or (behind,)


def _now_known(store: Store, exposure: Exposure, item: Item) -> list[str]:
    """Reasons that the store knows, for an item that the trace does not have."""
    user = exposure.user_id or ""
    found = []
    if item.id in store.history(user, before=exposure.timestamp).item_ids():
        found.append(f"{item.title}: not shown, because the user had seen it.")
    if item.id in store.blocked(user):
        found.append(f"{item.title}: not shown, because the user has blocked it.")
    if item.hidden:
        found.append(f"{item.title}: the catalogue hides it now.")
    if item.expires is not None and item.expires <= time.time():
        found.append(f"{item.title}: its time is over.")
    return found


def _shown(place: int, one: TracedItem, title: str) -> str:
    sources = ", ".join(f"{name} ({score:.3g})" for name, score in one.sources.items()) or "no retriever by itself"
    said = f"{place}. {title}: proposed by {sources}; P(click) {one.p_click:.3g}"
    if one.before is not None and one.llm_score is not None:
        said += f" (the language model gave it {one.llm_score:+.3g}; without that {one.before:.3g})"
    if one.p_like is not None:
        said += f", P(like) {one.p_like:.2g}"
    if one.value != one.p_click:
        said += f", value {one.value:.3g}"
    return f"{said}. {'Moved: ' + '; '.join(one.moved) + '.' if one.moved else ''}".strip()


def _left(one: LeftOut, title: str, trace: Trace) -> str:
    said = f"{title}: not shown. Stage {one.stage}: {one.reason}"
    if one.p_click is not None:
        last = f"; the last that was shown has {trace.shown[-1].p_click:.3g}" if trace.shown else ""
        said += f" (P(click) {one.p_click:.3g}{last})"
    return f"{said}."


def _title(store: Store, item_id: str) -> str:
    try:
        return f"{store.item(item_id).title} ({item_id})"
    except NotFoundError:
        return item_id

"""Which items a prompt keeps. Whole lots go, so that the start of a growing history stays the same for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from genrec.errors import BudgetError
from genrec.prompting.rendered import PromptDropped
from genrec.prompting.template import Input, Template


@dataclass(frozen=True, slots=True)
class Cut:
    """How many of the `total` items of an input are dropped; from the end that its `keep` gives up."""

    total: int
    dropped: int = 0
    reason: str = ""

    def window(self, keep: str) -> slice:
        """The items that stay."""
        return slice(self.dropped, self.total) if keep == "newest" else slice(0, self.total - self.dropped)


def lot(spec: Input, template: Template) -> int:
    """Items that are dropped together: as many as fill `step` tokens."""
    return max(1, template.budget.step // (spec.item_tokens or template.budget.step))


def first_cuts(template: Template, totals: Mapping[str, int]) -> dict[str, Cut]:
    """Cuts that `max_items` asks for.

    Lots are counted from the oldest item: as a history grows by one, its first kept item moves only once in a lot.
    This needs the whole history, not a window that slides.
    """
    return {name: _within_max_items(template, name, total) for name, total in totals.items()}


def _within_max_items(template: Template, name: str, total: int) -> Cut:
    spec = template.inputs[name]
    over = total - (spec.max_items or total)
    if over <= 0:
        return Cut(total)
    if spec.cut == "never":
        raise BudgetError(
            f"template {template.id} takes at most {spec.max_items} {name}, got {total}",
            "ask for fewer, or raise max_items in the template",
        )
    dropped = _whole_lots(over, spec, template, total) if spec.keep == "newest" else over
    return Cut(total, dropped, f"more than {spec.max_items} items")


def further_cuts(
    template: Template, cuts: Mapping[str, Cut], over: int, costs: Mapping[str, list[int]], table: Mapping[str, int]
) -> dict[str, Cut]:
    """Cuts that save about `over` tokens more; `costs` has the tokens of every kept item.

    BudgetError with a table of who takes how much, where nothing is left that may be dropped.
    """
    cuttable = sorted(
        (name for name, cut in cuts.items() if template.inputs[name].cut != "never" and cut.dropped < cut.total),
        key=lambda name: (template.inputs[name].cut, name),
    )
    if not cuttable:
        rows = "\n".join(f"  {name:<12}{tokens:>7}" for name, tokens in table.items())
        raise BudgetError(
            f"the prompt of template {template.id} is {over} tokens too long:\n{rows}",
            "shorten the template, lower item_tokens or the number of candidates, or use a model with a longer context",
        )
    name = cuttable[0]
    spec, cut = template.inputs[name], cuts[name]
    kept = costs[name] if spec.keep == "newest" else costs[name][::-1]
    saved, more = 0, 0
    while saved < over and more < len(kept):
        saved += kept[more]
        more += 1
    dropped = cut.dropped + more
    if spec.keep == "newest":
        dropped = _whole_lots(dropped, spec, template, cut.total)
    return {**cuts, name: replace(cut, dropped=dropped, reason="the prompt was too long")}


def dropped(cuts: Mapping[str, Cut]) -> list[PromptDropped]:
    """The account of the cuts."""
    return [PromptDropped(name, cut.dropped, cut.reason) for name, cut in cuts.items() if cut.dropped]


def _whole_lots(count: int, spec: Input, template: Template, total: int) -> int:
    size = lot(spec, template)
    return min(-(-count // size) * size, total)

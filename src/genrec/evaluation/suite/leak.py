"""An adapter must not have been trained on what it is asked to find."""

from __future__ import annotations

from pathlib import Path

from genrec.artifacts.adapters import Card, tuned_by
from genrec.data.cold_splits import HeldOut
from genrec.errors import SettingsError
from genrec.settings import Settings


def check_adapter(settings: Settings, held: HeldOut, data: str, allow_leak: bool = False) -> list[str]:
    """Warnings about the adapter of the settings, which must lead to its folder, or was merged into their model.

    SettingsError if its card does not say that it was trained on the part of the log `data` (its fingerprint) that the
    evaluation fits on, unless `allow_leak`: then that is a warning. Weights behind a server of the engine `openai` have
    no card to look at.
    """
    named = settings.model.adapter
    cards = [Card.load(folder) for folder in tuned_by(settings)] or ([] if named is None else [None])
    found = [(card, problem) for card in cards if (problem := _problem(card, held, data)) is not None]
    if not found:
        return []
    card, problem = found[0]
    said = f"the adapter {Path(named or '').parent.name if card is None else card.name!r} {problem}"
    if allow_leak:
        return [f"leak allowed: {said}; figures that it takes part in are worth nothing"]
    wanted = held.trained_on
    hint = f"train one on the training part of this split (held_out: {wanted}), " if wanted else ""
    raise SettingsError(f"{said}, so it may have seen what is to be found", f"{hint}or set allow_leak: true")


def _problem(card: Card | None, held: HeldOut, data: str) -> str | None:
    if card is None:
        return "has no card that says what it was trained on"
    wanted = held.trained_on
    if card.held_out != wanted:
        how = "with nothing held out" if card.held_out == "none" else f"on the training part of {card.held_out}"
        return f"was trained {how}, not on the part that is fitted on here ({wanted or held.split.name})"
    if card.data.get("fingerprint") != data:
        return "was trained on other data"
    if card.data.get("start_data", data) != data:
        return f"was begun from {card.data['start']}, which was trained on other data"
    return None

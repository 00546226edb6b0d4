"""What the golden test recommends, to whom, and the tokenizer of its prompts: all of it by fixed seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from genrec.domain import Event, Item

ITEMS, USERS = 60, 80
FIRST = 946_684_800.0
ADJECTIVES = ("Silent", "Crimson", "Last", "Hidden", "Broken", "Golden", "Northern", "Paper", "Endless", "Little")
NOUNS = ("Harbour", "Winter", "Garden", "Signal", "Empire", "Letters")
CHINESE = {4: "千与千寻", 17: "霸王别姬", 30: "花样年华", 44: "卧虎藏龙"}
GENRES = ("Drama", "Comedy", "Crime", "Sci-Fi", "Romance")
DIRECTORS = tuple(
    f"{first} {last}" for last in ("Reed", "Sato", "Marsh", "Lund", "Vane") for first in ("Ada", "Bo", "Cleo")
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def catalogue() -> list[Item]:
    """60 titles, every fifteenth of them sponsored; four share a director."""
    generator = np.random.default_rng(1)
    made = []
    for n in range(ITEMS):
        title = CHINESE.get(n, f"{ADJECTIVES[n % len(ADJECTIVES)]} {NOUNS[n // len(ADJECTIVES)]}")
        genres = tuple(dict.fromkeys((GENRES[n % len(GENRES)], GENRES[generator.integers(len(GENRES))])))
        metadata: dict[str, Any] = {"genres": genres, "year": float(1950 + generator.integers(70))}
        metadata["director"] = DIRECTORS[n % len(DIRECTORS)]
        if n % 3:
            metadata["domain"] = "video"
        made.append(Item(f"i{n}", title, metadata, sponsored=n % 15 == 14))
    return made


def events() -> list[Event]:
    """80 users with 1 to 24 events each, mostly in two genres and with what is popular; three in five are rated."""
    generator = np.random.default_rng(2)
    made = []
    for user in range(USERS):
        tastes = generator.choice(len(GENRES), 2, replace=False)
        wish = np.where(np.isin(np.arange(ITEMS) % len(GENRES), tastes), 6.0, 1.0) / (2.0 + np.arange(ITEMS) % 23)
        chosen = generator.choice(ITEMS, int(generator.integers(1, 25)), replace=False, p=wish / wish.sum())
        times = FIRST + np.sort(generator.choice(40_000_000, len(chosen), replace=False))
        for item, time in zip(chosen.tolist(), times.tolist(), strict=True):
            rated = generator.random() < 0.6
            value = float(min(5, generator.integers(1, 5) + (item % len(GENRES) in tastes))) if rated else None
            kind = "watch" if rated else "click"
            made.append(Event(f"u{user}", f"i{item}", float(time), kind, value, event_id=f"{user}-{item}"))
    return made


def save_tokenizer(folder: Path) -> None:
    """A model folder with a tokenizer of bytes and the two answers: its vocabulary is written down, not learned."""
    control = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    words = (*control, *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ye", "Yes", "No")
    merges = [("Y", "e"), ("Ye", "s"), ("N", "o")]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.add_special_tokens(list(control))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text("{}")

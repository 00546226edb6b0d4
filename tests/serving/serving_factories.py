"""A small fitted workspace, a tiny random model that fits its tokenizer, and adapters that change what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from genrec.artifacts import adapters
from genrec.artifacts.adapters import Card, TunedTemplate
from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.prompting.library import TemplateLibrary
from support import genrec

N_ITEMS, N_USERS = 30, 40
USERS = [f"u{number}" for number in range(6)]


def tiny_model(folder: Path, tokenizer: Path) -> Path:
    """A random Llama; equal calls give equal weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=640, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return folder


def make_workspace(folder: Path, model: Path) -> Workspace:
    """Fitted on a log in which user u does the items u, u + 1, ...; the model's order is the answer."""
    made = Workspace.create(folder)
    with SqliteStore(made.database, create=True) as store:
        store.put_items(Item(f"i{n}", f"Title {n * 7919 % 1000}", {"genres": (f"g{n % 3}",)}) for n in range(N_ITEMS))
        store.append(
            [
                Event(f"u{user}", f"i{(user + step) % N_ITEMS}", 1000.0 * step + user, "watch", float(1 + step % 5))
                for user in range(N_USERS)
                for step in range(8)
            ]
        )
    made.settings_file.write_text(
        f"""
        [model]
        name = {json.dumps(str(model))}
        [encoder]
        name = "hashing"
        [retrieval]
        retrievers = ["covisit", "popular"]
        pool = 16
        candidates = 8
        [policy]
        name = "annotate"
        [llm]
        read = "always"
        """
    )
    genrec(["fit", "--workspace", str(folder), "--no-tune", "--llm-slates", "0"])
    return made


def publish_adapter(
    root: Path, name: str, model: Path, seed: int, *, rank: int = 4, template: str | None = None
) -> str:
    """A random adapter, as its label `name@version`; its card says `rank/pointwise` if no template is given."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj", "down_proj"])
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    with torch.no_grad():
        for parameter_name, parameter in tuned.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_(std=0.3)  # zero after a fresh start, and an adapter of zeros would show nothing
    ref = TemplateLibrary().get("rank/pointwise").ref
    with adapters.publish(root, name) as staging:
        tuned.save_pretrained(staging)
        Card(
            base_model=str(model),
            recipe="random",
            ranker="pointwise",
            template=TunedTemplate(id=template or ref.id, version=ref.version, hash=ref.hash),
            data={},
            held_out="none",
        ).save(staging)
    return adapters.label(adapters.resolve(root, name))

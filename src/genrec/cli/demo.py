"""`genrec demo`: the whole path on MovieLens-100k, from the download to a served answer that learns from a click."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from genrec.artifacts.workspace import PARTS, Workspace
from genrec.cli.console import console, out, progress, reporter
from genrec.errors import GenrecError, ModelError

if TYPE_CHECKING:
    from openai import OpenAI

app = typer.Typer()
REQUEST = "something light and funny for tonight"
COMEDIES = {"genres": ["Comedy"]}


@app.command()
def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Where the demo keeps its data.")] = Path(
        "workspace/demo"
    ),
    user: Annotated[str, typer.Option(help="A user of MovieLens-100k: 1 to 943.")] = "127",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8321,
    once: Annotated[bool, typer.Option(envvar="ONCE", help="End after the tour instead of serving on.")] = False,
) -> None:
    """Fetches MovieLens-100k, fits, serves SmolLM2-135M, and shows a recommendation before and after a click."""
    started = time.monotonic()
    place = prepare(workspace)
    base = f"http://127.0.0.1:{port}"
    with Server(place, port) as server:
        server.wait()
        console.print(f"[green]serving[/] {base} after {time.monotonic() - started:.0f} s\n")
        tour(base, place, user)
        if not once:
            out.print(Rule("Your turn"))
            out.print(f"The server goes on at {base} until Ctrl-C. Try:\n", highlight=False)
            body = json.dumps({"user_id": user, "k": 5, "where": COMEDIES})
            out.print(f"  curl -s {base}/v1/recommendations -d '{body}'\n", markup=False, soft_wrap=True)
            server.process.wait()


def prepare(folder: Path) -> Workspace:
    """Fetch, import, fit: each only if it is not done yet."""
    from genrec.artifacts.models import resolve
    from genrec.fitting.workspace import fit_workspace
    from genrec.settings import Settings

    for name in ("ml-100k", "smollm2-135m", "minilm-l6"):
        step(f"fetching {name}", partial(resolve, name))
    workspace = Workspace.create(folder)
    if not workspace.database.is_file():
        step("importing 100,000 ratings", lambda: _import(workspace))
    if set(workspace.versions()) != set(PARTS):
        settings = Settings.load(workspace.settings_file)
        with progress() as bars:
            told = reporter(bars)
            # Nobody weighs the language model: two minutes of reading would tell that so small a one adds nothing.
            step(
                "fitting retrievers and scoring",
                lambda: fit_workspace(workspace, settings, progress=told),
                spinner=False,
            )
    return workspace


def step(name: str, work: Callable[[], Any], spinner: bool = True) -> Any:
    """Does one step, under a spinner where it has no bars of its own, and says how long it took."""
    start = time.monotonic()
    with console.status(name) if spinner else nullcontext():
        result = work()
    console.print(f"[green]done[/] {name} [dim]{time.monotonic() - start:.0f} s[/]")
    return result


def tour(base: str, workspace: Workspace, user: str) -> None:
    """The history, the prompt, the ranking, a click, and the ranking after it."""
    import httpx
    from openai import OpenAI

    with httpx.Client(base_url=base, timeout=120) as http:
        history = _get(http.get(f"/v1/users/{user}/history", params={"limit": 1000}))["events"]
        if not history:
            raise GenrecError(f"user {user} has no history", "MovieLens-100k has the users 1 to 943")
        out.print(Rule(f"What user {user} watched last"))
        for event in history[-8:]:
            out.print(f"  {event['title']}, rated {event['value']:.0f}", highlight=False)

        out.print(Rule("What the language model reads"))
        out.print(Panel(prompt_text(workspace, user), title="rank/pointwise", title_align="left"))

        out.print(Rule("POST /v1/recommendations"))
        before = _get(http.post("/v1/recommendations", json={"user_id": user, "k": 10}))
        out.print(answer_table(before))

        out.print(Rule("What the language model would make of these ten"))
        shown = [item["item_id"] for item in before["items"]]
        asked = {"user_id": user, "k": 10, "candidate_ids": shown, "policy": "annotate"}
        out.print(answer_table(_get(http.post("/v1/recommendations", json=asked))))

        out.print(Rule("Through the OpenAI client, with a wish, comedies only"))
        out.print(f'  [dim]user:[/] "{REQUEST}"')
        out.print(Text(chat(OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0), user)))

        clicked = before["items"][0]
        event = {
            "user_id": user,
            "item_id": clicked["item_id"],
            "timestamp": history[-1]["timestamp"] + 60,
            "event_type": "watch",
            "value": 5,
            "request_id": before["request_id"],
            "event_id": f"{before['request_id']}-click",
        }
        out.print(Rule("A click, and what it changes"))
        out.print(f"  POST /v1/events: user {user} watched {clicked['title']} and rated it 5", highlight=False)
        _get(http.post("/v1/events", json=event))
        after = _get(http.post("/v1/recommendations", json={"user_id": user, "k": 10}))
        out.print(change_table(before, after))


def chat(client: OpenAI, user: str) -> str:
    """The answer's text, through the official client."""
    answer = client.chat.completions.create(
        model="genrec",
        user=user,
        messages=[{"role": "user", "content": REQUEST}],
        extra_body={"genrec": {"k": 5, "where": COMEDIES}},
    )
    return answer.choices[0].message.content or ""


def prompt_text(workspace: Workspace, user: str) -> Text:
    """The shared prefix and the first candidate's tail, rendered as the server renders them."""
    from genrec.artifacts.models import resolve
    from genrec.pipeline.recommender import RecommendationRequest, Recommender
    from genrec.prompting.library import TemplateLibrary
    from genrec.prompting.render import render
    from genrec.prompting.tokenizer import load_tokenizer
    from genrec.settings import Settings

    settings = Settings.load(workspace.settings_file)
    recommender = Recommender.open(workspace.root, settings, llm=False)
    slate = recommender.slate(RecommendationRequest(user_id=user))
    recommender.close()
    tokenizer = load_tokenizer(resolve(settings.model.name))
    template = TemplateLibrary(settings.prompts.folder).get("rank/pointwise")
    prompt = render(template, history=slate.history, candidates=slate.candidates, tokenizer=tokenizer)
    text = Text(tokenizer.decode(prompt.prefix).rstrip("\n") + "\n")
    text.append(tokenizer.decode(prompt.suffixes[0]), style="bold cyan")
    text.append(
        f"\n({len(prompt.suffixes)} such tails behind {len(prompt.prefix)} shared tokens; read: P(yes), P(no))",
        style="dim",
    )
    return text


def answer_table(answer: dict[str, Any]) -> Table:
    """The ranking with P(click) beside it."""
    made = answer["provenance"]
    stages = ", ".join(f"{stage} {value:.0f} ms" for stage, value in made["stage_ms"].items())
    table = Table(
        caption=f"{made['model']}, {made['template']['id']} v{made['template']['version']}, {stages}",
        caption_justify="left",
    )
    for name in ("rank", "P(click)", "P(like)", "model", "retrieval"):
        table.add_column(name, justify="right")
    table.add_column("title")
    for item in answer["items"]:
        table.add_row(
            str(item["rank"]),
            f"{item['p_click']:.3f}",
            "" if item["p_like"] is None else f"{item['p_like']:.2f}",
            "" if item["llm_score"] is None else f"{item['llm_score']:+.2f}",
            f"{item['retriever_score']:.2f}",
            Text(item["title"]),
        )
    return table


def change_table(before: dict[str, Any], after: dict[str, Any]) -> Table:
    """The new ranking, and where each item stood before."""
    ranks = {item["item_id"]: item["rank"] for item in before["items"]}
    table = Table()
    for name, justify in (("rank", "right"), ("was", "right"), ("P(click)", "right"), ("title", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for item in after["items"]:
        was = ranks.get(item["item_id"])
        style = "green" if was is None else ("" if was == item["rank"] else "cyan")
        table.add_row(str(item["rank"]), str(was or "new"), f"{item['p_click']:.3f}", Text(item["title"]), style=style)
    return table


class Server:
    """`genrec serve` in a process of its own; its log goes to serve.log in the workspace."""

    def __init__(self, workspace: Workspace, port: int) -> None:
        self._log_file = workspace.root / "serve.log"
        self._arguments = ["serve", "--workspace", str(workspace.root), "--port", str(port)]
        self._base = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Server:
        with self._log_file.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "genrec.cli.main", *self._arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self

    def wait(self) -> None:
        """Returns when the server is ready; ModelError with the place of its log if it ends instead."""
        import httpx

        with console.status("starting the server"):
            while self.process.poll() is None:
                try:
                    if httpx.get(f"{self._base}/health", timeout=5).status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.5)
        raise ModelError("the server ended before it was ready", f"its last words are in {self._log_file}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _get(response: Any) -> Any:
    if response.status_code != 200:
        raise ModelError(
            f"the server answered {response.status_code}: {response.text}", "look at serve.log in the workspace"
        )
    return response.json()


def _import(workspace: Workspace) -> None:
    from genrec.artifacts.models import resolve
    from genrec.data.importer import import_source
    from genrec.data.sources.recbole import RecBole

    import_source(RecBole(resolve("ml-100k")), workspace)

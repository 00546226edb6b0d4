"""`genrec prompt`: all about templates. Only `eval` and `diff --users` load an engine, and with it torch."""

from __future__ import annotations

import typer

from genrec.cli.prompt import diff, eval, experiment, lint, list, new, playground, render

app = typer.Typer(
    help="See, write, check, compare and try out the templates of what the model reads.",
    no_args_is_help=True,
    add_completion=False,
)

app.command("list")(list.list_templates)
app.command()(render.render)
app.command()(diff.diff)
app.command()(lint.lint)
app.command()(lint.lock)
app.command()(new.new)
app.command("eval")(eval.evaluate)
app.command()(eval.report)
app.add_typer(experiment.app, name="experiment")
app.command()(playground.playground)

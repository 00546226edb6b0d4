"""Starts vLLM's own server with genrec's routes, gate and constraint on it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from genrec.artifacts.adapters import BASE, with_adapter
from genrec.artifacts.workspace import Workspace
from genrec.errors import MissingExtraError
from genrec.pipeline.recommender import Recommender
from genrec.serving.hosts import check_host
from genrec.serving.models import ServedAdapters
from genrec.serving.state import ADAPTERS_VARIABLE, WORKSPACE_VARIABLE
from genrec.settings import Settings


def serve(
    workspace: Workspace, settings: Settings, adapters: Sequence[str] = (), *, live_adapters: bool = False
) -> None:
    """Serves until it is interrupted. The first of the adapters is the default; see `ServedAdapters`.

    Raises SettingsError, WorkspaceError, NotFoundError, ModelError, MissingExtraError before anything starts.
    """
    check_host(settings.serving)
    # What is fitted is opened once before the engine, which takes a minute to say the same.
    Recommender.open(workspace.root, with_adapter(settings, None), llm=False).close()
    try:
        import uvloop

        from genrec.llm import hardware
        from genrec.llm.engines.vllm import set_environment

        set_environment(hardware.device(), offline=False)
        from vllm.entrypoints.launchers.api_server.entry import run_server
        from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError as error:
        raise MissingExtraError(
            "vLLM is not installed", "install genrec[cpu] or genrec[gpu]; genrec doctor says more"
        ) from error
    # A live adapter more than halves the speed of a CPU, and costs next to nothing on a GPU.
    served = ServedAdapters.choose(adapters, live=live_adapters, merge=hardware.device() == "cpu")
    folders = served.folders(workspace.root)
    merged = str(folders[0]) if folders and not served.live else None
    arguments = server_arguments(with_adapter(settings, merged), folders if served.live else ())
    # Said, not left out: the settings file of the workspace may name another.
    export_environment(workspace, with_adapter(settings, merged or BASE), served)
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    validate_parsed_serve_args(args)
    uvloop.run(run_server(args))


def server_arguments(settings: Settings, live: Sequence[Path] = ()) -> list[str]:
    """The command line of vLLM's server."""
    from genrec.llm import hardware
    from genrec.llm.engines.vllm import engine_arguments

    engine = engine_arguments(settings.model, hardware.device(), live=live)
    arguments = [
        *("--served-model-name", settings.model.name),
        *("--host", settings.serving.host),
        *("--port", str(settings.serving.port)),
        *("--middleware", "genrec.serving.gate.Gate"),
        *("--max-num-queued-reqs", str(settings.serving.max_queued * settings.retrieval.candidates)),
        "--disable-fastapi-docs",
        "--disable-uvicorn-access-log",
    ]
    for name, value in engine.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif value is False:
            arguments.append(f"--no-{name.replace('_', '-')}")
        elif isinstance(value, list | tuple):
            arguments += [flag, *(str(entry) for entry in value)]
        elif value is not None:
            arguments += [flag, str(value)]
    return arguments


def export_environment(workspace: Workspace, settings: Settings, served: ServedAdapters) -> None:
    """Puts what the server's processes need into the environment, so that flags reach every one of them."""
    os.environ[WORKSPACE_VARIABLE] = str(workspace.root.resolve())
    os.environ[ADAPTERS_VARIABLE] = served.to_json()
    os.environ["VLLM_PLUGINS"] = "genrec"
    for section, values in settings.model_dump(mode="json").items():
        for key, value in values.items():
            variable = f"GENREC_{section}__{key}".upper()
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value if isinstance(value, str) else json.dumps(value)

"""Files that commands are told to write are looked at before any work is done."""

import json

import pytest
import typer

from genrec.cli import files
from genrec.cli.main import app, main
from genrec.errors import GenrecError

WRITTEN = {"--json", "--html", "--report"}


def commands(group, path=()):
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def options():
    for path, command in commands(typer.main.get_command(app)):
        for option in command.params:
            if WRITTEN & set(option.opts):
                yield pytest.param(option, id=" ".join([*path, option.opts[0]]))


@pytest.mark.parametrize("option", list(options()))
def test_each_option_that_names_a_file_refuses_one_that_cannot_be_written(option, tmp_path):
    with pytest.raises(GenrecError, match="there is no folder"):
        option.process_value(typer.Context(typer.main.get_command(app)), str(tmp_path / "none" / "x.json"))


def test_the_command_ends_before_its_work(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["eval", "policy", "--json", str(tmp_path / "none" / "x.json")])
    assert ended.value.code == 2
    assert "name a file in a folder that exists" in capsys.readouterr().err


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(GenrecError, match="is a folder"):
        files.writable(tmp_path)


@pytest.mark.parametrize("target", [None, "-", "x.json"])
def test_what_can_be_written_is_left_as_it_is(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.writable(target) == target


def test_a_file_that_fails_in_the_end_is_a_message(tmp_path):
    with pytest.raises(GenrecError, match="cannot be written") as caught:
        files.write_text("x", tmp_path / "none" / "x")
    assert "folder that exists" in caught.value.hint


def test_json_is_written_as_it_is_printed(tmp_path, capsys):
    files.write_json({"a": ["ü", 1.5]}, str(tmp_path / "x.json"))
    files.write_json({"a": ["ü", 1.5]}, "-")
    assert (tmp_path / "x.json").read_text("utf-8") == capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == {"a": ["ü", 1.5]}

"""The menu is true, and costs no more than it must."""

import subprocess
import sys

import pytest
import typer

from carcloud import __version__
from carcloud.cli import app
from carcloud.cli.menu import COMMANDS, command

HEAVY = {"numpy", "pyarrow", "duckdb", "deltalake", "fastapi", "uvicorn", "nats", "cryptography", "sqlalchemy", "httpx"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_menu_says(name):
    found = command(name)
    assert (found.name, found.help) == (name, COMMANDS[name][1])


def test_every_command_of_every_noun_is_on_the_menu():
    nouns = {noun for noun, _ in COMMANDS.values()}
    modules = [__import__(f"carcloud.cli.{noun}", fromlist=["app"]) for noun in nouns]
    assert {name for module in modules for name in typer.main.get_command(module.app).commands} == COMMANDS.keys()
    assert typer.main.get_command(app).commands.keys() == COMMANDS.keys()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_menu_loads_no_command(option):
    lines = (
        "import sys, atexit",
        "from carcloud.cli import main",
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))",
        f"sys.argv = ['carcloud', {option!r}]",
        "main()",
    )
    result = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ("Run a zone until Ctrl-C." if option == "--help" else f"carcloud {__version__}") in result.stdout
    loaded = set(result.stderr.split())
    assert "carcloud.cli.menu" in loaded
    assert not HEAVY & loaded
    assert not {name for name in loaded if name.startswith("carcloud.assembly")}

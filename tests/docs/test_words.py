"""Pages, code, API and command line hold to docs/words.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from carcloud.api.app import describe
from carcloud.cli import app
from carcloud.cli.menu import COMMANDS, command

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CODE = sorted([*(ROOT / "src/carcloud").rglob("*.py"), *(ROOT / "examples").glob("*.py")])

# Where a word may stand all the same: (file, word) → why.
ALLOWED: dict[tuple[str, str], str] = {
    ("docs/words.md", "*"): "names the words we do not use",
    ("src/carcloud/api/pages.py", "asset"): "the folder that the pages' bundler writes",
    ("docs/doors.md", "datapoint"): "a class of kuksa-client",
    ("src/carcloud/client.py", "manager"): "Python's own term: context manager",
}


def unused_words() -> dict[str, str]:
    """Return the words of the page's last table, each with what to write instead."""
    table = (ROOT / "docs/words.md").read_text().split("| not | but |")[1].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("|")]
    return {word.strip(): instead for words, instead in rows for word in words.split(",")}


UNUSED = unused_words()
PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, sorted(UNUSED, key=len, reverse=True)))})s?\b", re.IGNORECASE)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page outside links' targets."""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        yield number, re.sub(r"\]\([^)]*\)", "]", line)


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every name that a module gives, and its docstrings and texts, with underscores and humps as blanks."""
    for node in ast.walk(tree):
        given = getattr(node, "name", None) or (node.arg if isinstance(node, ast.arg) else None)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given = node.id
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(given, str):
            yield getattr(node, "lineno", 0), re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", given)


def found(file: Path, lines: Iterator[tuple[int, str]]) -> list[str]:
    name = file.relative_to(ROOT).as_posix()
    return [
        f"{name}:{number}: {match[0]!r}; write: {UNUSED[match[1].lower()]}"
        for number, text in lines
        for match in PATTERN.finditer(text)
        if not {(name, "*"), (name, match[1].lower())} & ALLOWED.keys()
    ]


def test_the_list_of_unused_words_is_read():
    assert {"device", "job", "dead letter", "util"} <= UNUSED.keys()
    assert PATTERN.search("many Devices here")
    assert not PATTERN.search("utilities")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_uses_our_words(page):
    assert not found(page, prose(page))


def test_code_uses_our_words():
    assert not [line for file in CODE for line in found(file, names(ast.parse(file.read_text())))]


def test_console_uses_our_words():
    words = ROOT / "web/src/words/en.ts"
    assert not found(words, prose(words))


def test_files_and_folders_use_our_words():
    parts = {part for file in CODE for part in file.relative_to(ROOT).with_suffix("").parts}
    assert not [part for part in parts if PATTERN.search(part.replace("_", " "))]


def test_every_allowed_exception_is_needed():
    for name, word in ALLOWED:
        text = (ROOT / name).read_text()
        assert word == "*" or re.search(word, text, re.IGNORECASE), f"{name} no longer has {word!r}"


def test_a_word_has_one_meaning():
    rows = re.findall(r"^\| ([a-z ]+) \| (.+) \|$", (ROOT / "docs/words.md").read_text().split("## ")[0], re.MULTILINE)
    words = [word for word, _ in rows[1:]]
    assert len(words) > 20
    assert len(words) == len(set(words))
    assert not set(words) & UNUSED.keys()


def test_help_of_the_command_line_uses_our_words():

    def texts(command):
        yield command.help or ""
        yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
        for inner in getattr(command, "commands", {}).values():
            yield from texts(inner)

    every = [typer.main.get_command(app), *map(command, COMMANDS)]
    assert not [text for each in every for text in texts(each) if PATTERN.search(text)]


def test_routes_of_the_api_use_our_words():
    assert not [path for path in describe().openapi()["paths"] if PATTERN.search(path.replace("/", " "))]

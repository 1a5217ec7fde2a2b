"""README, docs and help say what the program does: every command and slice is named, every example can be typed, every
file is there. What the examples give is held by test_docs_examples.py."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from redpajama_data.cli.main import SECTIONS, cli
from slices import NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "redpajama_data" / "docs"
DOCUMENTS = [README, *sorted(DOCS.glob("*.md"))]


def commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words one types."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


COMMANDS = dict(commands(cli))


@pytest.fixture(scope="module")
def readme() -> str:
    assert README.is_file(), "the project has no README.md"
    return README.read_text(encoding="utf-8")


def typed_lines(text: str) -> list[str]:
    """The lines of a text that start with ``rpj``, continuation lines joined, without prompt and comment."""
    joined = text.replace("\\\n", " ")
    lines = [re.sub(r"^\s*[$>]\s+", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line.startswith("rpj ")]


def simple_commands(line: str) -> list[list[str]]:
    """The ``rpj`` commands of a shell line, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", "||", ";", "|", "&"):
            found.append([])
        else:
            found[-1].append(word)
    cut = [words[: next((i for i, w in enumerate(words) if re.match(r"\d?[<>]", w)), len(words))] for words in found]
    return [words for words in cut if words[:1] == ["rpj"]]


def parses(words: list[str]) -> None:
    """Parse a command as click would, without running it. Raises :class:`click.UsageError`."""
    context = click.Context(cli, info_name="rpj")
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group):
        name = rest[0] if rest else ""
        if name in ("-h", "--help", "--version"):
            return
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no such command: {name!r}")
        command, rest = found, rest[1:]
    if "-h" in rest or "--help" in rest:
        return
    command.make_context(command.name, list(rest), parent=context)


def examples_of_help() -> list[tuple[str, str]]:
    texts = {"rpj": cli.help, **{name: command.help for name, command in COMMANDS.items()}}
    found = []
    for name, text in texts.items():
        plain = re.sub(r"^ *(Try it|One slice|Totals): *", "", text or "", flags=re.MULTILINE)
        found += [(name, line) for line in typed_lines(plain)]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name: str) -> None:
    help_text = COMMANDS[name].help or ""
    assert help_text.split("\n")[0].endswith((".", ":"))
    assert any(line.startswith(f"rpj {name}") for line in typed_lines(help_text)), f"rpj {name} --help has no example"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    silent = [p.name for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.help]
    assert silent == []


@pytest.mark.parametrize(("name", "line"), examples_of_help())
def test_every_example_of_the_help_parses(name: str, line: str) -> None:
    for words in simple_commands(line):
        parses(words)


@pytest.mark.parametrize("line", ["rpj nosuch", "rpj run --nosuch x", "rpj explain", "rpj run --workers two"])
def test_a_wrong_example_would_be_noticed(line: str) -> None:
    [words] = simple_commands(line)
    with pytest.raises(click.UsageError):
        parses(words)


def test_the_help_groups_the_commands_and_cuts_no_sentence() -> None:
    with click.Context(cli, terminal_width=100) as context:
        shown = cli.get_help(context)
    titles = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert titles == ["Options", *SECTIONS]
    listed = shown.partition(f"{titles[1]}:")[2]
    assert [name for name in cli.list_commands(context) if not re.search(rf"^  {name} ", listed, re.MULTILINE)] == []
    assert "..." not in listed


def test_the_help_names_every_slice() -> None:
    with click.Context(COMMANDS["run"]) as context:
        shown = " ".join(COMMANDS["run"].get_help(context).split())
    assert [name for name in NAMES if name not in shown] == []


# ------------------------------------------------------------------------------------------------ README and docs


def blocks(text: str, *languages: str) -> list[str]:
    """The contents of fenced blocks of those languages ("" for a fence that names none)."""
    fences = re.finditer(r"^ *(```+|~~~+)[ ]*([\w+-]*)[^\n]*\n(.*?)^ *\1", text, re.MULTILINE | re.DOTALL)
    return [fence[3] for fence in fences if fence[2] in languages]


def name_of(path: Path) -> str:
    return path.name


@pytest.fixture(params=DOCUMENTS, ids=name_of)
def document(request: pytest.FixtureRequest) -> str:
    text = request.param.read_text(encoding="utf-8")
    assert isinstance(text, str)
    return text


def test_readme_or_docs_name_every_command() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert [name for name in COMMANDS if not re.search(rf"\brpj {name}\b", text)] == []


def test_the_readme_names_every_slice(readme: str) -> None:
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", readme)] == []


def test_every_command_in_a_document_parses(document: str) -> None:
    wrong = []
    for line in (line for block in blocks(document, "sh", "console", "bash", "shell") for line in typed_lines(block)):
        try:
            for words in simple_commands(line):
                parses(words)
        except (click.UsageError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


def test_every_document_is_a_topic_that_help_shows() -> None:
    from click.testing import CliRunner

    listed = CliRunner().invoke(cli, ["help"])
    assert listed.exit_code == 0
    for path in DOCS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert re.search(rf"^{path.stem} +\S", listed.stdout, re.MULTILINE), f"{path.name} begins with no # title"
        assert CliRunner().invoke(cli, ["help", path.stem]).stdout.strip() == text.strip()
    assert "--retry-broken" in CliRunner().invoke(cli, ["help", "run"]).stdout
    unknown = CliRunner().invoke(cli, ["help", "nosuch"])
    assert unknown.exit_code == 2
    assert "The topics are" in unknown.stderr


PATH = re.compile(r"`((?:redpajama_data|slices|filters|configs|scripts|tests)/[\w./*-]+)`|`(\w+\.md)`")


def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = [path or f"redpajama_data/docs/{topic}" for path, topic in PATH.findall(document)]
    there = {path: any(REPOSITORY.glob(path.rstrip("/"))) for path in named if path != "redpajama_data/docs/README.md"}
    assert [path for path, found in there.items() if not found] == []


OF_OTHERS = {"--hash_in_mem", "--now"} | {"--examples", "--write"}  # CCNet, systemctl; our scripts


def test_every_option_that_a_document_names_exists(document: str) -> None:
    """Of some command; those of other programs stand in blocks, or in :data:`OF_OTHERS`."""
    options = [option for command in COMMANDS.values() for option in command.params]
    known = {word for option in options for word in (*option.opts, *option.secondary_opts)}
    prose = re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)
    spans = " ".join(re.findall(r"`([^`\n]+)`", prose))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", spans))
    assert named - known - {"--help", "--version"} - OF_OTHERS == set()


def test_every_target_of_make_that_a_document_names_exists(document: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", document, re.MULTILINE)) <= targets


def test_every_function_that_python_md_names_exists() -> None:
    import redpajama_data

    text = (DOCS / "python.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)) == set(redpajama_data.__all__)


def test_the_readme_is_read_in_five_minutes(readme: str) -> None:
    assert len(readme.splitlines()) < 150


def test_the_tree_in_layout_names_every_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    tree = importlib.import_module("tree")
    layout = (DOCS / "layout.md").read_text(encoding="utf-8")
    assert tree.with_tree(layout) == layout, "modules came, went or say another thing: python scripts/tree.py --write"
    for package in tree.PACKAGES:
        silent = [path for path in (REPOSITORY / package).rglob("*.py") if not tree.about(path)]
        assert silent == [], "modules without a docstring"


def named_files(tree: str) -> Iterator[str]:
    """The paths that a drawn tree names: each line's first word, below the folders that it is indented under."""
    above: list[tuple[int, str]] = []
    for line in tree.splitlines():
        match = re.match(r"^([\s│├└─|`+-]*)([\w.][\w./*-]*)", line)
        if not match:
            continue
        depth, name = len(match[1].expandtabs()), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        path = "/".join([*(folder for _, folder in above), name.rstrip("/")])
        if name.endswith("/"):
            above.append((depth, name.rstrip("/")))
        yield path


def is_tree(block: str) -> bool:
    """True for a drawing of this repository: two lines or more name one of its folders."""
    tops = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    words = [re.sub(r"^[\s│├└─|`+-]*", "", line).split("/")[0] for line in block.splitlines() if "/" in line]
    return sum(word in tops for word in words) >= 2


def test_every_file_of_the_readmes_tree_exists(readme: str) -> None:
    trees = [block for block in blocks(readme, "", "text", "txt", "tree") if is_tree(block)]
    own = re.compile(rf"^{re.escape(REPOSITORY.name)}/|^redpajama-data/|^\./")
    named = [own.sub("", path) for tree in trees for path in named_files(tree)]
    assert [path for path in named if path and not any(REPOSITORY.glob(path))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_linked_file_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)", text) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_trees_are_read_as_they_are_drawn() -> None:
    tree = "redpajama_data/   engine\n├── cli.py   one\n├── sample/\n│   └── c4.py\n└── run.py\nslices/\n  c4.py  the\n"
    folder = "redpajama_data"
    assert list(named_files(tree)) == [
        folder, f"{folder}/cli.py", f"{folder}/sample", f"{folder}/sample/c4.py", f"{folder}/run.py",
        "slices", "slices/c4.py",
    ]  # fmt: skip

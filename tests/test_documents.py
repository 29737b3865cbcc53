"""What documents tell people to type is accepted: every command is parsed by the real command line, nothing is run.

Commands of this project in fenced blocks and in backticks; scripts and make targets that they name exist; recipes that
they name can be read; Python blocks compile; links and pictures lead to a file and to a heading of it. The model card's
Python runs in `tests/models/test_embedded.py`.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.exceptions import TyperException

from unlearnable import cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "training/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted((ROOT / "integrations").rglob("*.md")),
    ROOT / "src/unlearnable/models/embedded/MODEL_CARD.md",
]  # fmt: skip
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
QUOTED = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
OURS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/(?:bin|Scripts)/)?(?:unlearnable|python3?|make)\b")
AROUND = re.compile(r"^docker run .*(?=\bunlearnable )")  # where a command is run, and how; not what it is
STANDS_FOR = {"OUT": "out/bench", "FILE": "file", "FOLDER": "folder", "NAME": "mist", "RECIPE": "recipe.toml", "N": "3"}


def commands(path):
    """Lines of blocks without a language (or of a shell), joined where they go on, and what stands in backticks."""
    text = path.read_text(encoding="utf-8")
    lines = []
    for language, block in FENCED.findall(text):
        if language in ("", "sh", "bash", "console", "shell"):
            lines += re.sub(r"\\\n\s*", " ", block).splitlines()
        elif language == "powershell":
            lines += block.replace("\\", "/").splitlines()
    lines += re.findall(r"^    (\S.*(?:(?<=\\)\n.*)*)$", text, re.M)
    lines += [re.sub(r"\s+", " ", found) for found in QUOTED.findall(FENCED.sub("", text))]
    cleaned = (re.sub(r"\\\n\s*|\\$", " ", line).strip().removeprefix("$ ") for line in lines)
    cleaned = (AROUND.sub("", line) for line in cleaned)
    return dict.fromkeys(line.split("  #")[0].split(" # ")[0].strip() for line in cleaned if OURS.match(line))


CASES = [(path, line) for path in DOCUMENTS for line in commands(path)]


def parsed(words):
    """Walk down the command line's tree; raises TyperException where an option or an argument is none of it."""
    command = typer.main.get_command(cli.app)
    context = command.context_class(command, info_name="unlearnable")
    while words and hasattr(command, "commands"):
        name, words = words[0], words[1:]
        if name.startswith("-"):
            command.make_parser(context).parse_args([name])
            return
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
        context = command.context_class(command, info_name=name, parent=context)
    if "..." not in words and words:  # a mere name, or one with parts left out, is checked so far only
        command.make_parser(context).parse_args(list(words))


@pytest.mark.parametrize("path, line", CASES, ids=[f"{path.relative_to(ROOT)}: {line[:60]}" for path, line in CASES])
def test_a_command_is_accepted(path, line):
    words = [STANDS_FOR.get(word, word) for word in shlex.split(line.replace("…", "..."))]
    while "=" in words[0]:
        words.pop(0)
    program = Path(words.pop(0)).name
    if program == "unlearnable":
        parsed(words)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert all(word in targets or "=" in word for word in words), words
    elif words and words[0].endswith(".py"):
        assert (ROOT / words[0]).is_file(), words[0]
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        source = (ROOT / words[0]).read_text() + (ROOT / "training" / "loop.py").read_text()
        assert all(f'"{option}"' in source for option in options), options
    for word in words:
        if word.endswith(".toml") and "/" in word:
            assert (ROOT / word).is_file(), word


def test_there_is_something_to_check():
    assert len(CASES) > 60
    with pytest.raises(TyperException):
        parsed(["protect", "x", "-o", "out", "--nonsense"])


BLOCKS = [
    (path, block) for path in DOCUMENTS for language, block in FENCED.findall(path.read_text(encoding="utf-8"))
    if language == "python"
]  # fmt: skip


@pytest.mark.parametrize("path, block", BLOCKS, ids=[path.name for path, _ in BLOCKS])
def test_python_blocks_compile(path, block):
    compile(block, path.name, "exec")


LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
MADE = {
    ROOT / "docs/reference" / f"{name}.md" for name in ("cli", "methods", "attackers", "countermeasures", "metrics")
}


def anchors(path):
    """What the headings of a document are called in links: lower case, words joined by hyphens."""
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


LINKS = [
    (path, link) for path in DOCUMENTS
    for link in dict.fromkeys(LINK.findall(QUOTED.sub("", FENCED.sub("", path.read_text(encoding="utf-8")))))
    if "://" not in link
]  # fmt: skip


@pytest.mark.parametrize("path, link", LINKS, ids=[f"{path.relative_to(ROOT)}: {link}" for path, link in LINKS])
def test_a_link_leads_somewhere(path, link):
    name, _, anchor = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    assert target.is_file() or target in MADE  # pages that the site makes from the code
    if anchor and target.suffix == ".md" and target not in MADE:
        assert anchor in anchors(target)


def test_the_readme_is_read_in_a_minute():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    tables = "\n".join("|" if line.startswith("|") else "" for line in lines).split("\n\n")
    assert all(table.count("|") <= 2 + 6 for table in tables)  # a header, its ruler, six rows
    pictures = [ROOT / link for link in LINK.findall("\n".join(lines)) if link.endswith((".jpg", ".png"))]
    assert pictures and all(picture.stat().st_size <= 300_000 for picture in pictures)

"""Do the pages hold together: do links lead somewhere, does everything that they say to type exist?"""

import inspect
import re
from pathlib import Path
from typing import Any

import typer.main

from loadtest.cli import app, demo

ROOT = Path(__file__).resolve().parents[2]
HISTORY = "CHANGELOG.md"
"""Names what was, too."""


def code(text: str) -> list[str]:
    """What is set as code: inline, fenced, or indented; line by line, a broken line joined to its next."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4}(.*(?:\\\n.*)*)$", rest, re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", rest)
    return [line.replace("\\\n", " ") for line in [*inline, *indented, *"".join(fenced).splitlines()]]


def anchors(text: str) -> set[str]:
    """What a link to a heading may say, as GitHub makes it of the heading."""
    headings = re.findall(
        r"^#{1,6} (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_inside_the_repository_resolve(pages: dict[str, str]) -> None:
    broken = []
    for page, text in pages.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith(("http://", "https://")):
                continue
            path, _, anchor = link.partition("#")
            meant = ROOT.joinpath(page).parent.joinpath(path).resolve() if path else ROOT / page
            there = meant.exists() and meant.is_relative_to(ROOT)
            if not there or (anchor and anchor not in anchors(meant.read_text(encoding="utf-8"))):
                broken.append(f"{page}: {link}")
    assert broken == []


def test_pictures_say_what_they_show(pages: dict[str, str]) -> None:
    said = [alt for text in pages.values() for alt in re.findall(r"!\[([^\]]*)\]\(", text)]
    assert said and all(len(alt) > 40 for alt in said)


def test_no_page_names_a_place_on_somebody_s_disk(pages: dict[str, str]) -> None:
    place = re.compile(r"(?<![\w.:/])(?:/(?:home|root|work|tmp|Users|usr|opt|var|mnt|etc|srv)/|[A-Z]:\\)")
    assert [(page, found) for page, text in pages.items() for found in place.findall(text)] == []


def test_every_page_is_reached_from_the_readme(pages: dict[str, str]) -> None:
    linked = set(re.findall(r"\]\(((?:docs/)?[\w-]+\.md)\)", pages["README.md"]))
    assert {page for page in pages if page.startswith("docs/")} - linked == set()


def test_the_table_of_flags_is_the_flags(table: Any, users: dict[str, Any]) -> None:
    def shown(name: str, default: object, switch: bool) -> str:
        if switch:
            return "off"
        if "rt_" + name.replace("-", "_") in users["secrets"]:
            return "a development secret"
        return f"`{default}`" if default else "none"

    flags = [[f"`--rt-{name}`", shown(name, default, switch)] for name, default, _, switch in users["flags"]]
    rows = table("README.md", "### Flags")
    assert [row[:2] for row in rows] == flags
    for (_, _, what), (name, _, choices, _) in zip(rows, users["flags"], strict=True):
        assert all(f"`{choice}`" in what for choice in choices or ()), (
            f"--rt-{name}: not every choice is named"
        )


def test_every_flag_and_variable_of_ours_exists(pages: dict[str, str], users: dict[str, Any]) -> None:
    names = {name for name, *_ in users["flags"]}
    for page in pages.keys() - {HISTORY}:
        named = set(re.findall(r"--rt-([a-z][a-z-]*[a-z])", pages[page]))
        variables = re.findall(r"LOCUST_RT_([A-Z_]*[A-Z])", pages[page])
        named |= {variable.lower().replace("_", "-") for variable in variables}
        assert named - names == set(), page


def test_every_command_and_its_flags_exist(pages: dict[str, str]) -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    unknown = []
    for page in pages.keys() - {HISTORY}:
        for line in code(pages[page]):
            if not (match := re.match(r"loadtest ([a-z]+)((?: [a-z]+)?)(.*)", line)):
                continue
            command = commands.get(match[1])
            if command is not None and hasattr(command, "commands"):
                command = command.commands.get(match[2].strip())
            known = {name for one in command.params for name in one.opts} if command else set()
            if not command or set(re.findall(r"--[a-z-]+", match[2] + match[3])) - known:
                unknown.append(f"{page}: {line}")
    assert unknown == []


def test_every_target_of_make_exists(pages: dict[str, str]) -> None:
    targets = set(re.findall(r"^([.\w]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [line for page in pages.keys() - {HISTORY} for line in code(pages[page])]
    typed = [re.sub(r"#.*|\w+=\S+", "", line).split()[1:] for line in lines if line.startswith("make ")]
    assert {"demo", "test"} <= {name for names in typed for name in names} <= targets


def test_the_demo_is_as_the_readme_says(pages: dict[str, str]) -> None:
    defaults = {name: one.default for name, one in inspect.signature(demo.demo).parameters.items()}
    assert (defaults["users"], defaults["seconds"]) == (100, 75)
    assert demo.ARMS == ("websocket", "interval-polling")
    text = pages["README.md"]
    assert (
        "lets 100 people chat, call each other and ask operators for\nhelp, for 75 seconds over WebSocket"
        in text
    )
    assert demo.SCENARIO == "mixed"
    assert (
        demo.FAULT.endswith("~0.3") and "in the middle of each, three in\nten lose their connection" in text
    )

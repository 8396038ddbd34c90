"""TOML texts in every spelling, with the line of each key noted while they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = tuple[str | int, ...]

NAMES = st.one_of(
    st.sampled_from(["a", "b", "bay", "id", "lot-1", "1", "true", "x_y"]),
    st.text(st.sampled_from("ab.\"'#=[]{},\\ \tä\u202eé€\n"), max_size=5),
)
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "1979-05-27 07:32:00Z",
        "0xdead_beef",
        "nan",
        '""',
        "''",
        '"a # b = [c]"',
        "'\"]}'",
        '"say \\"x\\" = 1"',
        '"""\n[table]\nkey = 1 # not a key\n\\"\\"\\" still ""\n"""',
        '"""a""""',
        "'''\n[[bay]]\nid = 'no'\n'''''",
        "''''one'''",
    ]
)


def trees(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Tables of scalars, and down to a depth of lists and tables."""
    nodes: st.SearchStrategy[Any] = SCALARS
    if depth:
        inner = trees(depth - 1)
        tables = st.lists(inner, min_size=1, max_size=3)
        nodes |= inner | tables | st.lists(SCALARS | inner, max_size=3)
    return st.dictionaries(NAMES, nodes, max_size=4)


@dataclass
class Written:
    """A text as it grows, and the truth about it."""

    draw: Any
    text: str = ""
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self) -> int:
        return self.text.count("\n") + 1

    def put(self, text: str) -> None:
        self.text += text

    def mark(self, path: Path) -> None:
        self.lines.setdefault(path, self.line())

    def choose(self, *choices: str) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def coin(self) -> bool:
        return bool(self.draw(st.booleans()))

    def blank(self) -> None:
        self.put(self.choose("", "", " ", "\t "))

    def noise(self) -> None:
        """Between statements: empty lines and comments that look like more."""
        self.put(self.choose("", "", "\n", "# [decoy]\n", "  # a = 1\n\n", '# """\n'))

    def end(self) -> None:
        self.put(self.choose("\n", "\n", " # b = [2]\n", "\t\n", "\r\n"))

    def space(self) -> None:
        """Inside a list: line breaks and comments are allowed too."""
        self.put(self.choose("", " ", "\n", "\n  # ] = 3\n", "\r\n\t"))

    def name(self, name: str) -> None:
        forms = [_escaped(name, every=self.coin())]
        if re.fullmatch(r"[A-Za-z0-9_-]+", name):
            forms += [name, name]
        if not re.search(r"['\n]", name):
            forms.append(f"'{name}'")
        self.put(self.choose(*forms))

    def names(self, names: list[str]) -> None:
        for number, name in enumerate(names):
            if number:
                self.blank()
                self.put(".")
                self.blank()
            self.name(name)


def _escaped(name: str, *, every: bool) -> str:
    def one(character: str) -> str:
        if every:
            return f"\\U{ord(character):08x}"
        if character in '"\\':
            return "\\" + character
        return f"\\u{ord(character):04X}" if character == "\n" else character

    return '"' + "".join(map(one, name)) + '"'


@st.composite
def toml_texts(draw: Any) -> tuple[str, dict[Path, int]]:
    """A TOML document and the line of every key and list place in it, by path."""
    out = Written(draw)
    tree = draw(trees(3))
    _table(out, (), [], tree)
    if out.coin():
        out.text = out.text.removesuffix("\n").removesuffix("\r")
    return out.text, out.lines


def _table(out: Written, path: Path, header: list[str], tree: dict[str, Any]) -> None:
    """The statements of a table, then what has headers of its own."""
    later: list[tuple[str, Any]] = []
    for name, node in tree.items():
        is_tables = isinstance(node, list) and node and all(isinstance(n, dict) for n in node)
        if (isinstance(node, dict) or is_tables) and out.coin():
            later.append((name, node))
        else:
            _statement(out, path, [name], node)
    for name, node in later:
        names = [*header, name]
        if isinstance(node, list):
            for place, one in enumerate(node):
                _header(out, (*path, name), names, place)
                _table(out, (*path, name, place), names, one)
        else:
            # A table that holds only tables with headers may go without its own.
            if not (node and all(isinstance(n, dict) and n for n in node.values()) and out.coin()):
                _header(out, (*path, name), names, None)
                _table(out, (*path, name), names, node)
                continue
            for inner, one in node.items():
                _header(out, (*path, name, inner), [*names, inner], None)
                _table(out, (*path, name, inner), [*names, inner], one)


def _header(out: Written, path: Path, names: list[str], place: int | None) -> None:
    out.noise()
    out.blank()
    for length in range(1, len(path) + 1):
        out.mark(path[:length])
    if place is not None:
        out.mark((*path, place))
    out.put("[" if place is None else "[[")
    out.blank()
    out.names(names)
    out.blank()
    out.put("]" if place is None else "]]")
    out.end()


def _statement(out: Written, path: Path, names: list[str], node: Any) -> None:
    """`a.b = value` lines; a table of one key may become a dotted key."""
    if isinstance(node, dict) and node and out.coin():
        for name, one in node.items():
            _statement(out, path, [*names, name], one)
        return
    out.noise()
    out.blank()
    _pair(out, path, names, node)
    out.end()


def _pair(out: Written, path: Path, names: list[str], node: Any) -> None:
    for length in range(1, len(names) + 1):
        out.mark((*path, *names[:length]))
    out.names(names)
    out.blank()
    out.put("=")
    out.blank()
    _value(out, (*path, *names), node)


def _value(out: Written, path: Path, node: Any) -> None:
    if isinstance(node, str):
        out.put(node)
    elif isinstance(node, list):
        out.put("[")
        out.space()
        for place, one in enumerate(node):
            out.mark((*path, place))
            _value(out, (*path, place), one)
            out.space()
            if place + 1 < len(node) or out.coin():
                out.put(",")
            out.space()
        out.put("]")
    else:
        out.put("{")
        out.blank()
        for number, (name, one) in enumerate(node.items()):
            out.put(", " if number else "")
            _pair(out, path, [name], one)
            out.blank()
        out.put("}")

"""`not`, as the language means it: it denies what is said of a value, not that there is one.

`not contains(input.text, "x")` fails where there is no text: OPA takes what is handed to a function
or comparison out of the negation, and looks at it first. regorus negates it all, so that a caller
could get past by leaving a field out. So a text is rewritten before regorus reads it, as OPA
rewrites it: `v := input.text; not contains(v, "x")`. (OPA: ast/compile.go, rewriteDynamics.)

The standard library only: the policy child uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_REFERENCES = {"RefDot", "RefBrack"}
_VALUES = {"Call", "ArithExpr", "BinExpr", "BoolExpr", "Membership", "UnaryExpr"}
_COLLECTIONS = {"Array", "Object", "Set"}


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands at these bytes becomes something else."""

    start: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text and the edits that make another of it. It isn't whole while negations are left that
    lie within what was moved.
    """

    source: bytes
    edits: tuple[Edit, ...]
    is_whole: bool

    @property
    def text(self) -> bytes:
        text = self.source
        for edit in reversed(self.edits):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the source of what stands there in the text. Lines stay."""
        lines = self.text.splitlines(keepends=True)[:line]
        before = b"".join(lines[:-1])
        offset = len(before) + len(b"".join(lines[-1:]).decode()[: column - 1].encode())
        for edit in self.edits:
            if offset < edit.start + len(edit.text):
                offset = min(offset, edit.start)
                break
            offset -= len(edit.text) - (edit.end - edit.start)
        start = self.source.rfind(b"\n", 0, offset) + 1
        return self.source.count(b"\n", 0, offset) + 1, len(self.source[start:offset].decode()) + 1


def rewrite(module: Json) -> Rewritten:
    """The module with its outermost negations as OPA reads them; `module` is regorus' own tree.

    What is inside of what was moved is left for another round.
    """
    source = module["source"]["contents"].encode()
    found = _Negations(source, module["ast"]).edits()
    outermost = tuple(_outermost(found))
    return Rewritten(source, outermost, is_whole=len(outermost) == len(found))


class _Negations:
    """The negations of one text."""

    def __init__(self, source: bytes, tree: Json) -> None:
        self._source, self._tree = source, tree
        self._names = {_base(_head(rule)) for rule in tree["rules"]} | {"input", "data"}
        self._names |= {name for imported in tree["imports"] for name in self._imported(imported)}
        self._prefix = b"__"
        while self._prefix in source:
            self._prefix += b"_"
        self._count = 0

    def edits(self) -> list[Edit]:
        """In the order of the text; some may lie within others."""
        found: list[Edit] = []
        for query in (node for node in _nodes(self._tree["rules"]) if "stmts" in node):
            for statement in query["stmts"]:
                if negated := statement["literal"].get("NotExpr"):
                    found += self._edits_of(query, statement, negated["expr"])
        return sorted(found, key=lambda edit: (edit.start, edit.end))

    def _edits_of(self, query: Json, statement: Json, negated: Json) -> Iterator[Edit]:
        """Name each operand before the negation, in braces if there are none."""
        operands = sorted({_span(operand) for operand in self._operands(negated)})
        if not operands:
            return
        start, end = _span(statement)
        given = [_span(each)[0] for each in statement.get("with_mods") or ()]
        replaced = b" " + self._source[min(given) : end] if given else b""
        is_bare = self._source[query["span"]["start"] :][:1] not in b"{|"
        named = b"{ " if is_bare else b""
        for at, to in operands:
            self._count += 1
            name = b"%s%d" % (self._prefix, self._count)
            named += b"%s := %s%s; " % (name, self._source[at:to], replaced)
            yield Edit(at, to, name)
        yield Edit(start, start, named)
        if is_bare:
            yield Edit(end, end, b" }")

    def _operands(self, negated: Json) -> Iterator[Json]:
        """What OPA looks at before it negates."""
        ((kind, node),) = negated.items()
        if kind == "Call":
            yield from self._moved(node["params"])
        elif kind in {"BoolExpr", "AssignExpr"} and node["op"] == "Eq":
            for side in (node["lhs"], node["rhs"]):
                is_reference = _kind(side) in _REFERENCES | {"Var"}
                yield from self._indexes(side) if is_reference else self._moved([side])
        elif kind in _REFERENCES:
            yield from self._indexes(negated)
        elif kind in _VALUES:
            terms = [v for v in node.values() if isinstance(v, dict) and "start" not in v]
            yield from self._moved(terms)

    def _moved(self, terms: list[Json]) -> Iterator[Json]:
        """Those that may have no value: references, calls, and collections with such in them."""
        for term in terms:
            kind = _kind(term)
            is_named = kind == "Var" and term["Var"]["value"] in self._names
            is_mixed = kind in _COLLECTIONS and any(self._may_lack(node) for node in _nodes(term))
            if is_named or is_mixed or kind in _REFERENCES | _VALUES:
                yield term

    def _may_lack(self, node: Json) -> bool:
        variable = node.get("Var")
        is_named = isinstance(variable, dict) and variable["value"] in self._names
        return is_named or any(kind in node for kind in _REFERENCES | _VALUES)

    def _indexes(self, reference: Json) -> Iterator[Json]:
        """What stands in its brackets, and isn't just a name or a variable."""
        while _kind(reference) in _REFERENCES:
            ((kind, node),) = reference.items()
            if kind == "RefBrack":
                yield from self._moved([node["index"]])
            reference = node["refr"]

    def _imported(self, imported: Json) -> Iterator[str]:
        if span := imported.get("as"):
            yield self._source[span["start"] : span["end"]].decode()
        elif reference := imported["refr"].get("RefDot"):
            yield reference["field"][1]


def _outermost(edits: list[Edit]) -> Iterator[Edit]:
    end = 0
    for edit in edits:
        if edit.start >= end:
            yield edit
            end = edit.end


def _kind(node: Json) -> str:
    return next(iter(node))


def _head(rule: Json) -> Json:
    ((kind, body),) = rule.items()
    head: Json = body if kind == "Default" else next(iter(body["head"].values()))
    return head


def _base(head: Json) -> str:
    node = head["refr"]
    while "Var" not in node:
        node = next(iter(node.values()))["refr"]
    name: str = node["Var"]["value"]
    return name


def _span(tree: Json) -> tuple[int, int]:
    """The bytes of a node and all within it; the tree leaves the quotes of a string out."""
    starts, ends = [], []
    for node in _nodes(tree):
        for quoted in (node.get("String"), node.get("RawString")):
            if isinstance(quoted, dict):
                starts.append(quoted["span"]["start"] - 1)
                ends.append(quoted["span"]["end"] + 1)
        if isinstance(span := node.get("span"), dict):
            starts.append(span["start"])
            ends.append(span["end"])
    return min(starts), max(ends)


def _nodes(tree: Any) -> Iterator[Json]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)

"""What a text consists of, as regorus' tree of it says: for whoever judges it.

The standard library only: the policy child uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_REFERENCES = {"Var", "RefDot", "RefBrack"}
_STRINGS = {"String", "RawString"}


def facts_of(module: Json) -> Json:
    """Package, imports, rules, calls and uses of `data`, each with line and column; package and
    imports as they are written, too.
    """
    tree = module["ast"]
    found = Findings(module["source"]["contents"].encode())
    return {
        "package": {
            "name": _dotted(tree["package"]["refr"]),
            "written": found.written(tree["package"]["span"]),
            "at": _start(tree["package"]["refr"]),
        },
        "imports": [found.imported(each) for each in tree["imports"]],
        "rules": [found.rule(rule) for rule in tree["rules"]],
        "calls": found.calls,
        "data": found.data,
    }


class Findings:
    """What is found in the rules of one text, one after another."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self.calls: list[Json] = []
        self.data: list[list[int]] = []

    def imported(self, imported: Json) -> Json:
        """What is imported, and the name that it has in the text."""
        name = _dotted(imported["refr"])
        renamed = imported.get("as")
        return {
            "name": name,
            "written": self.written(imported["span"]),
            "as": self.written(renamed) if renamed else name.rpartition(".")[2],
            "at": _start(imported["refr"]),
        }

    def rule(self, rule: Json) -> Json:
        """A rule's name, its kind, its parameters where it is a function, and whom it mentions."""
        ((kind, body),) = rule.items()
        head = body
        if kind == "Spec":
            ((kind, head),) = body["head"].items()
        parts = [*_indexes(head["refr"]), {n: v for n, v in head.items() if n != "refr"}]
        parameters = head.get("args") or []
        mentioned, local, found_before = set[str](), _variables(parameters), len(self.calls)
        for node in _nodes([*parts, body.get("bodies")]):
            self._note(node, mentioned)
            local |= self._declared(node)
        for call in self.calls[found_before:]:
            call["is_of_variable"] = call["name"].partition(".")[0] in local
        return {
            "name": _dotted(head["refr"]),
            "kind": kind,
            "arity": len(parameters) or None,
            "uses": sorted(mentioned - local),
            "at": _at(body),
        }

    def _note(self, node: Json, mentioned: set[str]) -> None:
        if isinstance(variable := node.get("Var"), dict):
            mentioned.add(variable["value"])
            if variable["value"] == "data":
                self.data.append(_at(variable))
        elif isinstance(call := node.get("Call"), dict):
            self._call(call["fcn"], len(call["params"]))
        for replaced in node.get("with_mods") or ():
            self._call(replaced["refr"], None)
            if not _REFERENCES.isdisjoint(replaced["as"]):
                self._call(replaced["as"], None)

    def _call(self, function: Json, arity: int | None) -> None:
        """A function that is called; or one side of a `with`, which may be one: `f as http.send`
        calls it wherever `f` is called. That has no arguments.
        """
        self.calls.append({"name": _dotted(function), "arity": arity, "at": _start(function)})

    def _declared(self, node: Json) -> set[str]:
        """The variables that a node makes its rule's own."""
        if isinstance(assignment := node.get("AssignExpr"), dict) and assignment["op"] == "ColEq":
            return _variables(assignment["lhs"])
        if isinstance(some := node.get("SomeIn"), dict):
            return _variables([some["key"], some["value"]])
        if isinstance(some := node.get("SomeVars"), dict):
            return {self.written(span) for span in some["vars"]}
        if isinstance(every := node.get("Every"), dict):
            return {self.written(span) for span in (every["key"], every["value"]) if span}
        return set()

    def written(self, span: Json) -> str:
        return self._source[span["start"] : span["end"]].decode()


def _variables(tree: Any) -> set[str]:
    return {node["Var"]["value"] for node in _nodes(tree) if "Var" in node}


def _nodes(tree: Any) -> Iterator[Json]:
    """Every object within, in order; without recursion, since a text may be nested deeply."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _dotted(node: Json) -> str:
    """`a.b.c` of a reference; what is in brackets and no name is left out. It begins with a dot
    where it refers into something that has no name.
    """
    parts: list[str] = []
    while True:
        ((kind, value),) = node.items()
        if kind == "RefDot":
            parts.append(value["field"][1])
        elif kind == "Var":
            return ".".join([value["value"], *reversed(parts)])
        elif kind != "RefBrack":
            return ".".join(["", *reversed(parts)])
        elif not _STRINGS.isdisjoint(value["index"]):
            parts.append(next(iter(value["index"].values()))["value"])
        node = value["refr"]


def _indexes(node: Json) -> Iterator[Json]:
    """What stands in the brackets of a reference."""
    while "Var" not in node:
        ((kind, value),) = node.items()
        if kind == "RefBrack":
            yield value["index"]
        node = value["refr"]


def _start(node: Json) -> list[int]:
    """Where a reference begins; its own place is its last dot."""
    while "span" not in node:
        node = next(iter(node.values()))
        node = node.get("refr", node)
    return _at(node)


def _at(node: Json) -> list[int]:
    """Line and column."""
    return [node["span"]["line"], node["span"]["col"]]

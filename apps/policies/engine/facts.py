"""What a text consists of, as regorus' tree of it says: for whoever judges it.

The standard library only: the policy child uses it.
"""

from __future__ import annotations

from collections import Counter
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
        self._seen: Counter[str] = Counter()
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
        mentioned, local = set[str](), _variables(parameters)
        self._seen = Counter(_bound(parameters))
        for node in self._nodes_in_scope([*parts, body.get("bodies")]):
            self._note(node, mentioned)
            local |= self._declared(node)
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
            self._call(call["fcn"], arity=len(call["params"]))
        for replaced in node.get("with_mods") or ():
            self._call(replaced["refr"])
            if not _REFERENCES.isdisjoint(replaced["as"]):
                self._call(replaced["as"], replaces=_dotted(replaced["refr"]))

    def _call(
        self, function: Json, *, arity: int | None = None, replaces: str | None = None
    ) -> None:
        """A function that is called; or one side of a `with`, which may be one: `f as http.send`
        calls it wherever `f` is called. That has no arguments.
        """
        name = _dotted(function)
        self.calls.append(
            {
                "name": name,
                "arity": arity,
                "at": _start(function),
                "is_of_variable": self._seen[name.partition(".")[0]] > 0,
                "replaces": replaces,
            }
        )

    def _nodes_in_scope(self, tree: Any) -> Iterator[Json]:
        """Every object within, in order; `_seen` then holds the variables that were declared
        before it where it stands. OPA takes such a name for another thing anywhere else.
        """
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, tuple):
                names, change = node
                self._seen.update(dict.fromkeys(names, change))
            elif isinstance(node, dict):
                yield node
                waiting.extend(reversed(self._parts(node)))
            elif isinstance(node, list):
                waiting.extend(reversed(node))

    def _parts(self, node: Json) -> list[Any]:
        """What an object holds, in order, and between: names that are seen from there on (1), and
        no longer (-1).
        """
        if "domain" in node:
            names = {self.written(span) for span in (node["key"], node["value"]) if span}
            return [node["domain"], (names, 1), node["query"], (names, -1)]
        if "stmts" not in node:
            return list(node.values())
        parts: list[Any] = []
        declared = [self._seen_after(statement["literal"]) for statement in node["stmts"]]
        for statement, names in zip(node["stmts"], declared, strict=True):
            parts += [statement, (names, 1)]
        return parts + [(names, -1) for names in declared]

    def _seen_after(self, literal: Json) -> set[str]:
        """The variables that a statement surely declares for those after it."""
        assignment = literal.get("Expr", {}).get("expr", {}).get("AssignExpr")
        if assignment and assignment["op"] == "ColEq":
            return _bound(assignment["lhs"])
        if some := literal.get("SomeIn"):
            return _bound([some["key"], some["value"]])
        if some := literal.get("SomeVars"):
            return {self.written(span) for span in some["vars"]}
        return set()

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


def _bound(pattern: Any) -> set[str]:
    """The variables that a pattern binds: the keys of an object in it are only looked up."""
    found, waiting = set[str](), [pattern]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            ((kind, value),) = node.items()
            if kind == "Var":
                found.add(value["value"])
            elif kind == "Array":
                waiting.extend(value["items"])
            elif kind == "Object":
                waiting.extend(given for *_, given in value["fields"])
    return found


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

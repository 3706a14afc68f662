"""Why a text can't be a policy, or can't be a policy's tests: judged by what it consists of.

The engine's child says what a text consists of (`child.facts_of`); nothing here runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from apps.common.json import Object
from apps.policies.engine.builtins import SUPPORTED, objection
from apps.policies.engine.types import Flaw

MAX_BYTES: Final = 64 * 2**10
_WHERE: Final = re.compile(
    r"--> [^\n]*?:(?P<line>\d+):(?P<column>\d+)\n.*?^error: (?P<message>[^\n]*)", re.M | re.S
)
_IMPORTS: Final = ("rego.v1", "future.keywords", "input")


def at(place: Sequence[int], message: str) -> Flaw:
    line, column = place
    return Flaw(line, column, message)


def in_rule(facts: Object, rule: str, message: str) -> Flaw:
    """Where the rule begins; at the top if the text has no such rule."""
    places = [r["at"] for r in facts["rules"] if r["name"] == rule]
    return at(places[0] if places else (1, 1), message)


def in_words(flaw: Flaw) -> str:
    return f"Line {flaw.line}, column {flaw.column}: {flaw.message}"


def of_size(rego: str) -> Sequence[Flaw]:
    if len(rego.encode(errors="replace")) > MAX_BYTES:
        return [Flaw(1, 1, f"The text is longer than {MAX_BYTES // 2**10} KiB.")]
    return []


def find_place(message: str) -> Flaw | None:
    """What the engine complains of, if it says where."""
    if found := _WHERE.search(message):
        return Flaw(int(found["line"]), int(found["column"]), sentence(found["message"]))
    return None


def of_policy(facts: Object) -> Sequence[Flaw]:
    """What a policy must not hold: another package, other data, calls that no policy may make."""
    found = [
        *_of_package(facts["package"], "mandate"),
        *_of_imports(facts["imports"], _IMPORTS),
        *(
            at(place, "A policy sees no `data`, only `input` and its own rules, by their names.")
            for place in facts["data"]
        ),
        *_of_calls(facts),
        *_of_recursion(facts["rules"]),
        *_of_answer(facts["rules"]),
    ]
    return sorted(set(found), key=lambda flaw: (flaw.line, flaw.column))


def of_tests(facts: Object) -> Sequence[Flaw]:
    """What a policy's tests must not hold; of `data` they see the policy, by its import.

    On an OPA server the texts of all orgs are `data`.
    """
    found = [
        *_of_package(facts["package"], "mandate_test"),
        *_of_imports(facts["imports"], (*_IMPORTS, "data.mandate")),
        *(
            at(place, "Tests see no `data`: write `import data.mandate`, then `mandate`.")
            for place in facts["data"]
        ),
        *_of_calls(facts, others=[i["as"] for i in facts["imports"] if _is_of_policy(i)]),
        *_of_recursion(facts["rules"]),
    ]
    if not test_names(facts):
        found.append(Flaw(1, 1, "There is no test: name a rule `test_…`."))
    return sorted(set(found), key=lambda flaw: (flaw.line, flaw.column))


def test_names(facts: Object) -> Sequence[str]:
    """The names of the tests, in the order in which they stand."""
    names = [r["name"] for r in facts["rules"] if r["kind"] == "Compr" and "." not in r["name"]]
    return list(dict.fromkeys(name for name in names if name.startswith("test_")))


def _of_package(package: Object, wanted: str) -> Iterator[Flaw]:
    """It is written as `opa.moved` finds it: OPA would have any other among the texts of all."""
    if package["name"] != wanted:
        yield at(package["at"], f"The package must be `{wanted}`.")
    elif package["written"].split() != ["package", wanted]:
        yield at(package["at"], f"Write `package {wanted}` on one line.")


def _of_imports(imports: Iterable[Object], allowed: Sequence[str]) -> Iterator[Flaw]:
    for found in imports:
        if not any(found["name"] == a or found["name"].startswith(f"{a}.") for a in allowed):
            yield at(found["at"], f"`{found['name']}` can't be imported here.")
        elif _is_of_policy(found) and found["name"] not in found["written"]:
            yield at(found["at"], f"Write it as `import {found['name']}`.")


def _is_of_policy(imported: Object) -> bool:
    return f"{imported['name']}.".startswith("data.mandate.")


def _of_calls(facts: Object, others: Sequence[str] = ()) -> Iterator[Flaw]:
    """Calls of what is refused or not there: the engine finds those only when it comes by.

    Only what is known passes, since an OPA server may have functions that nobody judged. What
    begins with one of `others` is of another text.
    """
    own = {r["name"]: r["arity"] for r in facts["rules"] if r["arity"] is not None}
    arities = {**SUPPORTED, **own}
    values, values_only = _values(facts), _values_only(facts)
    for call in facts["calls"]:
        name, arity = call["name"], call["arity"]
        if name in arities:
            message = _of_arity(name, arity, arities[name])
        elif arity is None:
            message = objection(name) or _of_side(call, values, values_only)
        else:
            is_there = _base(call) in others
            message = objection(name) or ("" if is_there else f"There is no function `{name}`.")
        if message:
            yield at(call["at"], message)


def _values(facts: Object) -> Set[str]:
    """What names begin with that mean a thing of the text itself, or of what it is given."""
    imported = (i["as"] for i in facts["imports"])
    return {"", "input", "data", *map(_base, facts["rules"]), *imported}


def _values_only(facts: Object) -> Set[str]:
    """Those of them that are no function: what takes their place is none either."""
    functions = {_base(r) for r in facts["rules"] if r["arity"] is not None}
    imported = {i["as"] for i in facts["imports"] if f"{i['name']}.".startswith("input.")}
    return {"input", *imported, *(set(map(_base, facts["rules"])) - functions)}


def _of_side(call: Object, values: Set[str], values_only: Set[str]) -> str:
    """One side of a `with` that is no function known. What is to be called instead of a function
    is surely another thing of the text itself: OPA takes any other name for one of its own.
    """
    name, replaced = call["name"], call["replaces"]
    if call["is_of_variable"] or _base(call) in values:
        return ""
    if replaced is None:
        return "" if "." not in name else f"There is no `{name}` here."
    if replaced.partition(".")[0] in values_only and replaced not in SUPPORTED:
        return ""
    return f"There is no `{name}` here. A variable must be declared before, by `:=` or `some`."


def _base(named: Object) -> str:
    name: str = named["name"]
    return name.partition(".")[0]


def _of_arity(name: str, arity: int | None, wanted: int) -> str:
    """One argument more than wanted receives the result. What is replaced by `with` has none."""
    if arity in {None, wanted, wanted + 1}:
        return ""
    return f"`{name}` takes {wanted} argument{'s' if wanted != 1 else ''}, not {arity}."


def _of_recursion(rules: Iterable[Object]) -> Iterator[Flaw]:
    """Rules that need themselves: the engine would never come to an end."""
    uses: dict[str, set[str]] = {}
    places: dict[str, Any] = {}
    for rule in rules:
        name = _base(rule)
        places.setdefault(name, rule["at"])
        is_default = rule["kind"] == "Default"
        uses.setdefault(name, set()).update([] if is_default else rule["uses"])
    for name, place in places.items():
        if name in _reached(uses, name):
            yield at(place, f"`{name}` needs itself: a rule can't be recursive.")


def _reached(uses: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for name in uses.get(waiting.pop(), set()) - reached:
            reached.add(name)
            waiting.append(name)
    return reached


def _of_answer(rules: Iterable[Object]) -> Iterator[Flaw]:
    """A policy that says nothing about `allow` allows nothing, which nobody means."""
    if not any(rule["name"] == "allow" for rule in rules):
        yield Flaw(
            1, 1, "No rule says `allow`. Write `default allow := true` if the policy only forbids."
        )


def sentence(message: str) -> str:
    text = message.strip() or "The engine can't read this text."
    return text[0].upper() + text[1:].rstrip(".") + "."

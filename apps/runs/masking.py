"""What policies oblige to hide of a run, wherever something of it is kept or answered.

The agent works with the whole input. Nobody reads it afterwards: the values at the paths are
replaced in input and output, and wherever else they turn up among what the run says of itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from apps.common.json import Object
from apps.policies.masking import MASKED, mask

WITHIN_TEXT: Final = 4
"""Characters from which on a hidden text is looked for within others; a shorter one is replaced
only where it is the whole value, for it stands by chance in everything.
"""


@dataclass(frozen=True, slots=True)
class Mask:
    """Paths whose values are hidden, and the hidden values themselves, longest first."""

    paths: tuple[str, ...] = ()
    hidden: tuple[Any, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[str], input: Object, *, above: Mask | None = None) -> Mask:
        """The mask of a run with this input; what is hidden above it is hidden in it too."""
        paths = tuple(paths)
        kept = mask(input, paths, root="input")
        found = {*_hidden(input, kept), *(above.hidden if above else ())}
        return cls(paths, _sorted(found))

    def within(self, paths: Iterable[str], input: Object) -> Mask:
        """The mask of one call that the run makes itself, with the call's input."""
        both = tuple(dict.fromkeys((*self.paths, *paths)))
        return Mask.of(both, input, above=self) if both else self

    def having(self, output: Object) -> Mask:
        """This mask, which hides what an output has at its paths wherever else it stands."""
        found = set(_hidden(output, mask(output, self.paths, root="output")))
        return self.hiding(Mask((), tuple(found))) if found else self

    def hiding(self, other: Mask) -> Mask:
        """This mask, which from now on hides the other's values too."""
        if set(other.hidden) <= set(self.hidden):
            return self
        return Mask(self.paths, _sorted({*self.hidden, *other.hidden}))

    def __bool__(self) -> bool:
        return bool(self.paths or self.hidden)

    def input(self, value: Object) -> Object:
        """An input as it is kept and shown."""
        return self._kept(value, root="input")

    def output(self, value: Object) -> Object:
        """An output as it is kept, shown and answered: what it has at the paths stands nowhere else
        in it either.
        """
        return self.having(value)._kept(value, root="output")

    def scrub(self, value: Any) -> Any:
        """A copy in which the hidden values stand nowhere."""
        if not self.hidden or value is None:
            return value
        if isinstance(value, dict):
            return {self.text(name): self.scrub(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.scrub(item) for item in value]
        if not isinstance(value, bool) and value in self.hidden:  # 1 and 1.0 are one number
            return MASKED
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        for one in self.hidden:
            for said in _said(one):
                if len(said) >= WITHIN_TEXT:
                    for form in _forms(said):
                        text = text.replace(form, MASKED)
        return text

    def _kept(self, value: Object, *, root: str) -> Object:
        scrubbed: Object = self.scrub(mask(value, self.paths, root=root)) if self else value
        return scrubbed


NOTHING_HIDDEN: Final = Mask()


def _said(one: Any) -> Iterable[str]:
    """A value as a text; a whole number may have been written as a float."""
    whole = (str(int(one)),) if isinstance(one, float) and one.is_integer() else ()
    return (str(one), *whole)


def _forms(said: str) -> Iterable[str]:
    """A text as other texts have it: as it is, and as it stands within JSON."""
    return dict.fromkeys((said, json.dumps(said, ensure_ascii=False)[1:-1], json.dumps(said)[1:-1]))


def _sorted(found: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(found, key=lambda one: (-len(str(one)), str(one))))


def _hidden(value: Any, kept: Any) -> Iterator[Any]:
    """The single values that stand in one and are masked in the other."""
    if isinstance(kept, dict) and isinstance(value, dict):
        for name, item in kept.items():
            yield from _hidden(value[name], item)
    elif isinstance(kept, list) and isinstance(value, list):
        for one, other in zip(value, kept, strict=True):
            yield from _hidden(one, other)
    elif kept == MASKED != value:
        yield from _leaves(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        yield value

"""What was exported, as tests look at it: spans in a tree, each by what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from apps.common import telemetry


class Exported:
    """All spans that are over, in the order in which they began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def below(self, parent: ReadableSpan | None) -> list[ReadableSpan]:
        """The spans directly below one; those of other traces are not."""
        return [span for span in self.spans if is_below(span, parent)]

    def tree(self, parent: ReadableSpan | None = None) -> list[Any]:
        """Names by parent: `[["invoke_agent a", ["execute_tool b"]]]`."""
        return [[span.name, *self.tree(span)] for span in self.below(parent)]

    def text(self) -> str:
        """Everything that leaves with them."""
        return "".join(span.to_json() for span in self.spans)


def is_below(span: ReadableSpan, parent: ReadableSpan | None) -> bool:
    if parent is None or span.parent is None:
        return span.parent is parent
    one, other = span.parent, parent.get_span_context()
    return (one.trace_id, one.span_id) == (other.trace_id, other.span_id)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    """A process that exports, to this test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("mandate"))
    yield Exported(exporter)
    provider.shutdown()

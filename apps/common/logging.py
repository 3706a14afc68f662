"""One line of JSON for each thing that happened, whoever logs it, and no secret in it.

structlog's loggers and the standard library's end in the same handler and pass the same
processors, so a library's warning carries the request, org and principal as ours do.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from apps.common.redaction import is_plain, redact

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.StackInfoRenderer(),
]
# After the secrets were taken out, for a time looks as if it might hold one.
_TIME: Processor = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")


def redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Take the secrets out; stands after the traceback was made text and before the rendering."""
    plain = is_plain
    return {key: value if plain(value, key) else redact(value, key) for key, value in event.items()}


class RouteInsteadOfPath(logging.Filter):
    """Writes the route into Django's own request errors, for a path may hold a secret.

    A link to reset a password or to accept an invitation is its token.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request: Any = getattr(record, "request", None)
        if request is not None and isinstance(record.args, tuple) and len(record.args) == 2:
            match = getattr(request, "resolver_match", None)
            record.args = (record.args[0], match.route if match else "(no route)")
        return True


def json_formatter() -> logging.Formatter:
    """For machines: one JSON object a line, the traceback as a string in it."""
    return _formatter(_write_json)


def console_formatter() -> logging.Formatter:
    """For people at a terminal; the same fields, as redacted."""
    return _formatter(structlog.dev.ConsoleRenderer(colors=False))


def configure_structlog() -> None:
    """Send structlog's loggers through the standard library's handlers; called by the settings.

    Nobody reads which line of code logged something or in which thread: it isn't looked for.
    """
    logging._srcfile = None  # as the library's manual says
    logging.logThreads = logging.logMultiprocessing = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def _write_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Redacting has made text of everything that isn't JSON's own."""
    return _encode(event)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """The library's, which copies each record twice for other formatters' sake; there are none."""

    def __init__(self, own: list[Processor]) -> None:
        self._own = own
        super().__init__(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *own],
        )

    def format(self, record: logging.LogRecord) -> str:
        if "_logger" not in record.__dict__:  # which structlog's loggers put there
            return super().format(record)
        line: Any = {**record.msg}  # type: ignore[dict-item]
        for process in self._own:
            line = process(None, record.levelname.lower(), line)
        return str(line)


def _formatter(renderer: Processor) -> logging.Formatter:
    return _Formatter([structlog.processors.format_exc_info, redact_event, _TIME, renderer])

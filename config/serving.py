"""The last look before a process serves: system checks that Django runs for commands only."""

from django.core import checks
from django.core.exceptions import ImproperlyConfigured


def refuse_contradictions() -> None:
    """Raise if a check finds an error: a server that shouldn't run must not start answering."""
    found = checks.run_checks(tags=["mandate"])
    errors = [message for message in found if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{e.id}: {e.msg} {e.hint or ''}" for e in errors))

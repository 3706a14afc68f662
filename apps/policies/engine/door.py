"""The engine of the present org, over what this process evaluates with."""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass

from django.conf import settings

from apps.policies.engine.asking import Evaluator, RegoEngine
from apps.policies.engine.children import Children
from apps.policies.engine.opa import OpaServer
from apps.policies.engine.opa_client import OpaClient
from apps.policies.engine.pool import Pool
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import Engine
from apps.tenants import keys


@dataclass(frozen=True, slots=True)
class Shared:
    """What all orgs of this process evaluate with."""

    pool: Pool
    reader: Children
    evaluator: Evaluator
    standing: Standing


def get_engine() -> Engine:
    """The engine as the present org may use it; without an org, the installation itself."""
    found = _shared()
    return RegoEngine(found.evaluator, found.reader, found.standing, keys.current().org_id)


def _shared() -> Shared:
    """Made when it is first asked for; no child is started and no server asked by that."""
    global _made
    if _made is None:
        with _making:
            _made = _made or _make()
    return _made


def _make() -> Shared:
    pool = Pool(settings.POLICY_CHILDREN)
    children = Children(pool, settings.POLICY_SECONDS)
    evaluator: Evaluator = children
    if settings.OPA_URL:
        client = OpaClient(settings.OPA_URL, settings.OPA_TOKEN)
        evaluator = OpaServer(client, children, settings.POLICY_SECONDS)
    return Shared(pool, children, evaluator, Standing())


def _close() -> None:
    if _made is not None:
        _made.pool.close()


def _start_anew() -> None:
    """A forked process has children of its own, and locks that nobody holds."""
    global _made, _making
    if _made is not None:
        _made.pool.forget()
    _made, _making = None, threading.Lock()


_made: Shared | None = None
_making = threading.Lock()
atexit.register(_close)
os.register_at_fork(after_in_child=_start_anew)

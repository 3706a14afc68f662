"""The engine of the present org, over what this process evaluates with."""

from __future__ import annotations

import atexit
import os
import threading

from django.conf import settings

from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.children import Children
from apps.policies.engine.pool import Pool
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import Engine
from apps.tenants import keys


def get_engine() -> Engine:
    """The engine as the present org may use it; without an org, the installation itself."""
    children = Children(_the_pool())
    return RegoEngine(children, children, _standing, keys.current().org_id)


def _the_pool() -> Pool:
    """This process's children; none is started before the first is asked."""
    global _pool
    if _pool is None:
        with _making:
            _pool = _pool or Pool(settings.POLICY_CHILDREN)
    return _pool


def _close() -> None:
    if _pool is not None:
        _pool.close()


def _start_anew() -> None:
    """A forked process has children of its own, and locks that nobody holds."""
    global _pool, _making, _standing
    if _pool is not None:
        _pool.forget()
    _pool, _making, _standing = None, threading.Lock(), Standing()


_pool: Pool | None = None
_making = threading.Lock()
_standing = Standing()
atexit.register(_close)
os.register_at_fork(after_in_child=_start_anew)

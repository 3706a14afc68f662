"""Evaluates Rego that an org wrote, and trusts none of it. `get_engine` is the door."""

from apps.policies.engine.door import get_engine

__all__ = ["get_engine"]

"""JSON as Python holds it."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
"""A JSON object: what goes into an agent and comes out of it."""

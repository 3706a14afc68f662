"""Headers of answers that are known to be well-formed: written without being looked at again."""

from __future__ import annotations

from collections.abc import Mapping

from django.http.response import HttpResponseBase


def put(answer: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Set headers whose names and values are our own printable ASCII.

    Django asks of each whether it could break the answer apart, which ours can't.
    """
    for name, value in headers.items():
        answer.headers._store[name.lower()] = name, value

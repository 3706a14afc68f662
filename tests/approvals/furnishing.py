"""What the addresses of approvals' pages need, for tests/orgs/test_views_matrix.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from apps.approvals.services.rules import create_rule
from apps.common.ids import public_id
from apps.tenants import keys
from tests.approvals.factories import ask


def furnish_approvals(org: Any, owner: Any, who: Any, pages: Iterable[str]) -> dict[str, str]:
    """A request that nobody is behind, one that `who` asked for, and a rule."""
    with keys.holding(org.schema, org.id):
        waits, own = (public_id("apr", ask(by=by).id) for by in (None, who))
        made = create_rule(
            project="apollo", quorum=2, timeout_minutes=30, by=owner, at=timezone.now()
        )
        rule = public_id("apl", made.id)
    named = {name: waits for name in pages if name.startswith("approvals:")}
    return {
        **named,
        "approvals:cancel": own,
        "approvals:rule": rule,
        "approvals:rule_remove": rule,
    }

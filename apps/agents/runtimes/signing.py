"""Where an agent's signing secret is kept, and how calls to its endpoint are signed."""

from __future__ import annotations

from uuid import UUID

from apps.common.webhooks import new_secret as new_secret
from apps.common.webhooks import signed_headers as signed_headers


def secret_ref(agent_id: UUID) -> str:
    """Where the secret store has an agent's secret."""
    return f"agents/{agent_id.hex}/signing"

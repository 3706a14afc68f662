"""Where the pages of policies are, for apps that know their subjects by id."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse

from apps.common.ids import public_id
from apps.policies.models import OrgPolicy
from apps.policies.selectors import POLICY


def url_of_version(version_id: UUID) -> str:
    """The page of the policy that a version is of."""
    found = OrgPolicy.objects.filter(id=version_id).values_list("policy_id", flat=True).first()
    return url_of_policy(found) if found else url_of_all()


def url_of_policy(policy_id: UUID) -> str:
    return reverse("policies:policy", args=[public_id(POLICY, policy_id)])


def url_of_settings(head_id: UUID) -> str:
    return reverse("policies:settings")


def url_of_all() -> str:
    return reverse("policies:policies")

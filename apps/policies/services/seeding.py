"""What every org begins with: its settings, and a starter policy that everybody can read."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.common.actors import SYSTEM
from apps.policies.models import Attachment, OrgPolicy, Policy, PolicyHead, Scope
from apps.policies.services.changing import facts_of, record, save_move
from apps.policies.services.library import STARTER, get_template
from apps.policies.services.policies import digest_of
from apps.tenants.selectors import OrgRef


def seed_policies(org: OrgRef, at: datetime) -> None:
    """Give an org that has none its settings, with the starter policy active and attached to all
    of it. What the org makes of it afterwards stays as it is.

    The text is the product's own, whose tests run before a release; so it is not evaluated here.
    """
    if org.owner_id is None or PolicyHead.objects.exists():
        return
    template = get_template(STARTER)
    with transaction.atomic():
        PolicyHead.objects.create()
        policy = Policy.objects.create(name=template.title, created_at=at)
        version = OrgPolicy.objects.create(
            policy=policy,
            version=1,
            name=template.title,
            purpose=template.purpose,
            rego_text=template.rego_text,
            tests=template.tests,
            digest=digest_of(template.rego_text),
            created_at=at,
        )
        version.pass_tests(at=at)
        version.activate(by_id=None, at=at)
        save_move(version, "tested_at", "activated_at", "activated_by")
        Attachment.objects.create(policy=policy, scope=Scope.ORG, created_at=at)
        new = {**facts_of(version), "attached": "the organization"}
        record(policy, "created", SYSTEM, at, new=new)

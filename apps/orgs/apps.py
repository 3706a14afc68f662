from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "apps.orgs"
    label = "orgs"
    verbose_name = "Organization"

    def ready(self) -> None:
        from apps.common.api.views import guard_posts
        from apps.orgs.api.idempotency import answer_once
        from apps.orgs.selectors import list_owner_addresses
        from apps.orgs.services import domains, idempotency, invitations, members, seeding
        from apps.tenants import provisioning, standing, sweeping
        from apps.tenants.services import profiles

        guard_posts(answer_once)
        provisioning.on_provision(seeding.seed_org)
        standing.owners_are_told_by(list_owner_addresses)
        profiles.followed_by(members.follow_person)
        sweeping.every_visit(invitations.sweep_invitations)
        sweeping.every_visit(domains.sweep_domains)
        sweeping.every_visit(idempotency.expire_idempotency)

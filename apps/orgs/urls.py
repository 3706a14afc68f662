"""This app's pages on an org's host."""

from django.urls import path

from apps.orgs.views import (
    audit,
    domains,
    keys,
    members,
    projects,
    role_forms,
    roles,
    settings,
    signing_keys,
)

app_name = "orgs"
urlpatterns = [
    path("projects/", projects.index, name="projects"),
    path("projects/<str:ref>/", projects.detail, name="project"),
    path("projects/<str:ref>/archive/", projects.archive, name="project_archive"),
    path("projects/<str:ref>/restore/", projects.restore, name="project_restore"),
    path("settings/", settings.general, name="settings_general"),
    path("settings/members/", members.index, name="members"),
    path("settings/members/<str:ref>/role/", members.set_role, name="member_role"),
    path("settings/members/<str:ref>/groups/", members.groups, name="member_groups"),
    path("settings/members/<str:ref>/remove/", members.remove, name="member_remove"),
    path("settings/invitations/", members.invite, name="invite"),
    path("settings/invitations/<str:ref>/resend/", members.resend, name="invitation_resend"),
    path("settings/invitations/<str:ref>/revoke/", members.revoke, name="invitation_revoke"),
    path("settings/roles/", roles.index, name="roles"),
    path("settings/roles/new/", role_forms.new, name="role_new"),
    path("settings/roles/<str:ref>/", role_forms.detail, name="role"),
    path("settings/roles/<str:ref>/delete/", role_forms.delete, name="role_delete"),
    path("settings/keys/", keys.index, name="keys"),
    path("settings/keys/<str:ref>/rotate/", keys.rotate, name="key_rotate"),
    path("settings/keys/<str:ref>/revoke/", keys.revoke, name="key_revoke"),
    path("settings/domains/", domains.index, name="domains"),
    path("settings/domains/<str:ref>/", domains.detail, name="domain"),
    path("settings/domains/<str:ref>/check/", domains.check_now, name="domain_check"),
    path("settings/domains/<str:ref>/primary/", domains.set_primary, name="domain_primary"),
    path("settings/domains/<str:ref>/remove/", domains.remove, name="domain_remove"),
    path("settings/signing-keys/", signing_keys.index, name="signing_keys"),
    path("settings/signing-keys/rotate/", signing_keys.rotate, name="signing_key_rotate"),
    path("settings/signing-keys/<str:kid>/revoke/", signing_keys.revoke, name="signing_key_revoke"),
    path("audit/", audit.index, name="audit"),
    path("audit/check/", audit.check, name="audit_check"),
    path("audit/file/", audit.file, name="audit_file"),
    path("audit/retention/", audit.keep, name="audit_keep"),
    path("audit/<str:ref>/", audit.entry, name="audit_entry"),
    path("settings/danger/", settings.danger, name="settings_danger"),
]

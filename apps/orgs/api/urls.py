"""The org's part of /v1."""

from __future__ import annotations

from django.urls import path

from apps.orgs.api import audit, domains, roles, signing_keys, views

urlpatterns = [
    path("me", views.MeView.as_view(), name="me"),
    path("projects", views.ProjectsView.as_view(), name="projects"),
    path("projects/<str:project>", views.ProjectView.as_view(), name="project"),
    path("members", views.MembersView.as_view(), name="members"),
    path("members/<str:member>", views.MemberView.as_view(), name="member"),
    path("roles", roles.RolesView.as_view(), name="roles"),
    path("roles/<str:role>", roles.RoleView.as_view(), name="role"),
    path("permissions", roles.PermissionsView.as_view(), name="permissions"),
    path("invitations", views.InvitationsView.as_view(), name="invitations"),
    path("invitations/<str:invitation>", views.InvitationView.as_view(), name="invitation"),
    path(
        "invitations/<str:invitation>/resend",
        views.InvitationResendView.as_view(),
        name="invitation_resend",
    ),
    path("domains", domains.DomainsView.as_view(), name="domains"),
    path("domains/<str:domain>", domains.DomainView.as_view(), name="domain"),
    path("domains/<str:domain>/check", domains.DomainCheckView.as_view(), name="domain_check"),
    path("keys", views.KeysView.as_view(), name="keys"),
    path("keys/<str:key>", views.KeyView.as_view(), name="key"),
    path("keys/<str:key>/rotate", views.KeyRotateView.as_view(), name="key_rotate"),
    path("audit", audit.AuditView.as_view(), name="audit"),
    path("audit/verify", audit.AuditVerifyView.as_view(), name="audit_verify"),
    path("audit/export", audit.AuditExportView.as_view(), name="audit_export"),
    path("audit/verifier", audit.VerifierView.as_view(), name="audit_verifier"),
    path("audit/retention", audit.RetentionView.as_view(), name="audit_retention"),
    path("audit/checkpoints", audit.CheckpointsView.as_view(), name="audit_checkpoints"),
    path(
        "audit/checkpoints/<str:checkpoint>/growth",
        audit.CheckpointGrowthView.as_view(),
        name="audit_growth",
    ),
    path(
        "audit/records/<str:record>/proof",
        audit.RecordProofView.as_view(),
        name="audit_record_proof",
    ),
    path("audit/<str:seq>/proof", audit.EntryProofView.as_view(), name="audit_proof"),
    path("signing-keys", signing_keys.SigningKeysView.as_view(), name="signing_keys"),
    path(
        "signing-keys/rotate",
        signing_keys.SigningKeyRotateView.as_view(),
        name="signing_key_rotate",
    ),
    path(
        "signing-keys/<str:kid>/revoke",
        signing_keys.SigningKeyRevokeView.as_view(),
        name="signing_key_revoke",
    ),
]

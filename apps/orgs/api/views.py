"""`/v1` of an org: me, projects, members, invitations, keys."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.permissions import SIGNED_IN
from apps.common.api.views import ApiView
from apps.common.ids import parse_id
from apps.common.openapi import page_of
from apps.common.pagination import NEWEST_FIRST, Keyset
from apps.orgs import ruled, selectors
from apps.orgs.api import examples
from apps.orgs.api import serializers as s
from apps.orgs.api.base import OrgView
from apps.orgs.api.keys import KeyRead, KeyRotate, KeyWrite, NewKeyRead, answer_new_key
from apps.orgs.models import Project
from apps.orgs.selectors import INVITATION, KEY, MEMBER
from apps.orgs.services import invitations, keys, members, projects
from apps.tenants.selectors import get_plan_of

BY_JOINING: Final = Keyset(("joined_at", "id"), descending=False)
_WHICH: Final[dict[str, bool | None]] = {"false": False, "true": True, "all": None}


class MeView(OrgView):
    """Who the key speaks for."""

    required = {"GET": SIGNED_IN}

    @extend_schema(operation_id="me", tags=["me"], responses=s.MeRead, examples=examples.ME)
    def get(self, request: Request) -> Response:
        org = request._request.org  # type: ignore[attr-defined]
        me = {"who": self.by, "org": org, "plan": get_plan_of(org.id)}
        return self.answer(s.MeRead, me)


class ProjectsView(OrgView):
    required = {"GET": "projects.view", "POST": "projects.create"}
    filters = s.ProjectFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="projects_list",
        tags=["projects"],
        parameters=[s.ProjectFilter],
        responses=page_of(s.ProjectRead),
    )
    def get(self, request: Request) -> Response:
        wanted = self.read_query(s.ProjectFilter)
        rows = selectors.list_projects(q=wanted.get("q", ""), archived=_WHICH[wanted["archived"]])
        return self.answer_page(s.ProjectRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="projects_create",
        tags=["projects"],
        request=s.ProjectWrite,
        responses={201: s.ProjectRead},
        examples=examples.PROJECT_CREATE,
    )
    def post(self, request: Request) -> Response:
        data = self.read(s.ProjectWrite)
        project = projects.create_project(**data, actor=self.by.actor, at=timezone.now())
        return _project(self, project, status=201)


class ProjectView(OrgView):
    """A project by its id or slug."""

    required = {"GET": "projects.view", "PATCH": "projects.edit", "DELETE": "projects.delete"}
    versioned = True

    @extend_schema(
        operation_id="projects_get",
        tags=["projects"],
        responses=s.ProjectRead,
        examples=examples.PROJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        return _project(self, selectors.get_project(project))

    @extend_schema(
        operation_id="projects_change",
        tags=["projects"],
        request=s.ProjectChange,
        responses=s.ProjectRead,
        examples=examples.PROJECT_CHANGE,
    )
    def patch(self, request: Request, project: str) -> Response:
        """Change what is given. Other tags take `policies.activate` too while a policy is in force:
        policies go by them.
        """
        found = selectors.get_project(project)
        changed = projects.update_project(
            project_id=found.id,
            **self.read(s.ProjectChange),
            may_retag=ruled.ask(self.by),
            expected=self.precondition(),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _project(self, changed)

    @extend_schema(operation_id="projects_delete", tags=["projects"], responses={204: None})
    def delete(self, request: Request, project: str) -> Response:
        found = selectors.get_project(project)
        projects.delete_project(
            project_id=found.id,
            expected=self.precondition(),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.nothing()


class MembersView(OrgView):
    required = {"GET": "members.view"}
    filters = s.MemberFilter
    list_keyset = BY_JOINING

    @extend_schema(
        operation_id="members_list",
        tags=["members"],
        parameters=[s.MemberFilter],
        responses=page_of(s.MemberRead),
    )
    def get(self, request: Request) -> Response:
        wanted = self.read_query(s.MemberFilter)
        rows = selectors.list_members(
            q=wanted.get("q", ""),
            role=wanted.get("role", ""),
            group=wanted.get("group", ""),
            left=_WHICH[wanted["left"]],
        )
        return self.answer_page(s.MemberRead, rows, keyset=BY_JOINING)


class MemberView(OrgView):
    required = {"GET": "members.view", "PATCH": "members.manage", "DELETE": "members.manage"}

    @extend_schema(
        operation_id="members_get",
        tags=["members"],
        responses=s.MemberRead,
        examples=examples.MEMBER,
    )
    def get(self, request: Request, member: str) -> Response:
        return self.answer(s.MemberRead, selectors.get_member(parse_id(MEMBER, member)))

    @extend_schema(
        operation_id="members_change",
        tags=["members"],
        request=s.MemberChange,
        responses=s.MemberRead,
        examples=examples.MEMBER_CHANGE,
    )
    def patch(self, request: Request, member: str) -> Response:
        """Change what is given. Other groups take `policies.activate` too while a policy is in
        force: policies go by them.
        """
        member_id = parse_id(MEMBER, member)
        selectors.get_member(member_id)
        changed = members.change_member(
            member_id=member_id, **self.read(s.MemberChange), by=self.by, at=timezone.now()
        )
        return self.answer(s.MemberRead, changed)

    @extend_schema(operation_id="members_remove", tags=["members"], responses={204: None})
    def delete(self, request: Request, member: str) -> Response:
        member_id = parse_id(MEMBER, member)
        members.remove_member(member_id=member_id, by=self.by, at=timezone.now())
        return self.nothing()


class InvitationsView(OrgView):
    required = {"GET": "invitations.view", "POST": "invitations.manage"}
    filters = s.InvitationFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="invitations_list",
        tags=["invitations"],
        parameters=[s.InvitationFilter],
        responses=page_of(s.InvitationRead),
    )
    def get(self, request: Request) -> Response:
        rows = selectors.list_invitations(**self.read_query(s.InvitationFilter))
        return self.answer_page(s.InvitationRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="invitations_create",
        tags=["invitations"],
        request=s.InvitationWrite,
        responses={201: s.InvitationRead},
        examples=examples.INVITATION_CREATE,
    )
    def post(self, request: Request) -> Response:
        data = self.read(s.InvitationWrite)
        invitation = invitations.invite(**data, by=self.by, at=timezone.now())
        return self.answer(s.InvitationRead, invitation, status=201)


class InvitationView(OrgView):
    required = {"GET": "invitations.view", "DELETE": "invitations.manage"}

    @extend_schema(operation_id="invitations_get", tags=["invitations"], responses=s.InvitationRead)
    def get(self, request: Request, invitation: str) -> Response:
        found = selectors.get_invitation(parse_id(INVITATION, invitation))
        return self.answer(s.InvitationRead, found)

    @extend_schema(operation_id="invitations_revoke", tags=["invitations"], responses={204: None})
    def delete(self, request: Request, invitation: str) -> Response:
        invitations.revoke_invitation(
            invitation_id=parse_id(INVITATION, invitation), by=self.by, at=timezone.now()
        )
        return self.nothing()


class InvitationResendView(OrgView):
    required = {"POST": "invitations.manage"}

    @extend_schema(
        operation_id="invitations_resend",
        tags=["invitations"],
        request=None,
        responses={200: s.InvitationRead},
    )
    def post(self, request: Request, invitation: str) -> Response:
        """Send it again with a new link; the old one stops working."""
        found = invitations.resend_invitation(
            invitation_id=parse_id(INVITATION, invitation), by=self.by, at=timezone.now()
        )
        return self.answer(s.InvitationRead, found)


class KeysView(OrgView):
    """One's own keys; who has `keys.manage` sees everybody's."""

    required = {"GET": "keys.own", "POST": "keys.own"}
    list_keyset = NEWEST_FIRST

    @extend_schema(operation_id="keys_list", tags=["keys"], responses=page_of(KeyRead))
    def get(self, request: Request) -> Response:
        rows = selectors.list_keys(by=self.by)
        return self.answer_page(KeyRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="keys_create",
        tags=["keys"],
        request=KeyWrite,
        responses={201: NewKeyRead},
        examples=examples.KEY_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Make a key. Its token is in this answer and nowhere else."""
        make = partial(keys.create_key, **self.read(KeyWrite), by=self.by, at=timezone.now())
        made = self.named("agent", make)
        return answer_new_key(self, made)


class KeyView(OrgView):
    required = {"GET": "keys.own", "DELETE": "keys.own"}

    @extend_schema(operation_id="keys_get", tags=["keys"], responses=KeyRead)
    def get(self, request: Request, key: str) -> Response:
        found = selectors.get_key(parse_id(KEY, key), by=self.by)
        return self.answer(KeyRead, found)

    @extend_schema(operation_id="keys_revoke", tags=["keys"], responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Stop a key at once, on every host."""
        keys.revoke_key(key_id=parse_id(KEY, key), by=self.by, at=timezone.now())
        return self.nothing()


class KeyRotateView(OrgView):
    required = {"POST": "keys.own"}

    @extend_schema(
        operation_id="keys_rotate",
        tags=["keys"],
        request=KeyRotate,
        responses={201: NewKeyRead},
        examples=examples.KEY_ROTATE,
    )
    def post(self, request: Request, key: str) -> Response:
        """Replace one's own key; the old one still works for the grace period."""
        made = keys.rotate_key(
            key_id=parse_id(KEY, key),
            grace=timedelta(seconds=self.read(KeyRotate)["grace_seconds"]),
            by=self.by,
            at=timezone.now(),
        )
        return answer_new_key(self, made)


def _project(view: ApiView, project: Project, *, status: int = 200) -> Response:
    version = projects.version_of(project)
    return view.answer(s.ProjectRead, project, status=status, version=version)

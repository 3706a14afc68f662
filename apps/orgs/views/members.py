"""Members and invitations."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.common.errors import DomainError, NotFound
from apps.common.htmx import hx_redirect, render_page_or_partial, see_other
from apps.common.ids import parse_id, public_id
from apps.common.links import link, said, turn
from apps.common.pagination import Keyset, paginate
from apps.orgs import ruled, selectors
from apps.orgs.forms import GroupsForm, InviteForm
from apps.orgs.models import Invitation, Member
from apps.orgs.pages import command, needs, post_command, principal_of, show_refusal
from apps.orgs.permissions import OWNER
from apps.orgs.principals import Principal
from apps.orgs.services import invitations, members
from apps.orgs.services.members import OWNERS
from apps.orgs.settings_pages import page
from apps.tenants import proofs

FILTERS: Final = ("q", "role", "group")
BY_JOINING: Final = Keyset(("joined_at", "id"), descending=False)
INVITATIONS_SHOWN: Final = 100
EXAMPLE: Final = '{"groups": ["finance"]}'


@require_safe
@needs("members.view")
def index(request: HttpRequest) -> HttpResponse:
    """Who is here, who is invited, and the form that invites; the address holds the filter."""
    return _render(request, InviteForm(roles=_givable(principal_of(request))))


@require_POST
@needs("invitations.manage")
def invite(request: HttpRequest) -> HttpResponse:
    """Send an invitation; a refusal is shown in the form, with what was typed.

    It gives a role, to oneself at another address too, so it takes a fresh proof.
    """
    by = principal_of(request)
    form = InviteForm(request.POST, roles=_givable(by))
    if form.is_valid():
        proofs.require(request, f"Invite {form.cleaned_data['email']}", at=timezone.now())
        try:
            invitations.invite(**form.cleaned_data, by=by, at=timezone.now())
        except DomainError as error:
            show_refusal(request, form, error)
        else:
            _say_invited(request, form.cleaned_data["email"])
            return see_other(reverse("orgs:members"))
    return _render(request, form)


def _say_invited(request: HttpRequest, email: str) -> None:
    """Who invites somebody from outside is told so, while it can be taken back."""
    if selectors.is_outside(email, selectors.get_mail_domains()):
        messages.warning(
            request, f"An invitation is on its way to {email}, outside your mail domains."
        )
    else:
        messages.success(request, f"An invitation is on its way to {email}.")


def _render(request: HttpRequest, form: InviteForm) -> HttpResponse:
    """The page, or of the list its part; a form that was refused is shown on the page."""
    by, now = principal_of(request), timezone.now()
    can_invite, can_see = by.may("invitations.manage"), by.may("invitations.view")
    pending = selectors.list_invitations(state=Invitation.State.PENDING)[:INVITATIONS_SHOWN]
    ours = selectors.get_mail_domains() if can_see else frozenset()
    context = page(
        request,
        "Members",
        **_people(request, by),
        invitations=[_invitation_row(i, now, ours) for i in pending] if can_see else None,
        roles=[{"slug": slug, "label": label} for slug, label in _givable(by)],
        form=form,
        can_invite=can_invite,
        command=command(request, "/v1/members"),
    )
    if form.is_bound:
        return render(request, "orgs/members.html", context, status=422)
    return render_page_or_partial(request, "orgs/members.html", "results", context)


def _people(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """A page of the members that the address asks for."""
    q, role, group = (said(request, name) for name in FILTERS)
    found = paginate(
        selectors.list_members(q=q, role=role, group=group),
        keyset=BY_JOINING,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    roles: list[Any] = list(selectors.list_roles())
    codes = {role.id: frozenset(role.codes) for role in roles}
    return {
        "members": [
            _member_row(member, by, codes.get(member.role_id, frozenset()))
            for member in found.items
        ],
        "all_roles": [(role.slug, role.name) for role in roles],
        "q": q,
        "role": role,
        "group": group,
        "filtered": bool(q or role or group),
        "clear_url": link(request, "orgs:members"),
        "newer_url": turn(request, "before", found.previous, keep=FILTERS),
        "older_url": turn(request, "after", found.next, keep=FILTERS),
        "is_sorted": True,
    }


def _givable(by: Principal) -> list[tuple[str, str]]:
    """Roles that `by` may give, the strongest last so that the first choice is a harmless one."""
    found: list[Any] = list(selectors.list_roles())
    rows = [
        (role.slug, role.name)
        for role in found
        if by.permissions.issuperset(role.codes) and (role.slug != OWNER or by.may(OWNERS))
    ]
    return rows[::-1]


def _member_row(member: Member, by: Principal, codes: frozenset[str]) -> dict[str, Any]:
    """A member, of whose role `codes` is what it may: that decides who may overrule them."""
    is_self = member.id == by.member_id
    outranked = codes <= by.role_permissions and (member.role.slug != OWNER or by.may(OWNERS))
    may_touch = by.may("members.manage") and outranked
    return {
        "id": public_id(selectors.MEMBER, member.id),
        "name": member.label,
        "email": member.email,
        "role": member.role.slug,
        "role_label": member.role.name,
        "groups": member.groups,
        "joined_at": member.joined_at,
        "is_self": is_self,
        "can_change": may_touch,
        "can_remove": is_self or may_touch,
    }


def _invitation_row(
    invitation: Invitation, now: Any, mail_domains: frozenset[str]
) -> dict[str, Any]:
    return {
        "id": public_id(selectors.INVITATION, invitation.id),
        "email": invitation.email,
        "role_label": invitation.role.name,
        "invited_by": invitation.invited_by.label,
        "expires_at": invitation.expires_at,
        "expired": invitation.expires_at <= now,
        "is_outside": selectors.is_outside(invitation.email, mail_domains),
    }


@require_POST
@needs("members.manage")
def set_role(request: HttpRequest, ref: str) -> HttpResponse:
    """Give a member another role."""
    member_id, now = parse_id(selectors.MEMBER, ref), timezone.now()
    proofs.require(request, f"Set the role of {selectors.get_member(member_id).label}", at=now)
    member = members.change_member_role(
        member_id=member_id,
        role=request.POST.get("role", ""),
        by=principal_of(request),
        at=now,
    )
    messages.success(request, f"{member.label} is {member.role.name.lower()} now.")
    return see_other(reverse("orgs:members"))


@require_http_methods(["GET", "HEAD", "POST"])
@needs("members.manage")
def groups(request: HttpRequest, ref: str) -> HttpResponse:
    """The groups of one member; a POST sets them."""
    by, member = principal_of(request), selectors.get_member(parse_id(selectors.MEMBER, ref))
    if member.left_at is not None:
        raise NotFound
    members.check_may_touch(member, by=by)
    form = GroupsForm(
        request.POST if request.method == "POST" else None,
        initial={"groups": ", ".join(member.groups)},
    )
    if request.method == "POST" and form.is_valid():
        if not form.has_changed():  # a name with a comma in it can't be written here
            messages.info(request, f"The groups of {member.label} are what they were.")
            return see_other(reverse("orgs:members"))
        proofs.require(request, f"Set the groups of {member.label}", at=timezone.now())
        if _set_groups(request, member, form):
            messages.success(request, f"The groups of {member.label} were saved.")
            return see_other(reverse("orgs:members"))
    return _render_groups(request, member, form)


def _set_groups(request: HttpRequest, member: Member, form: GroupsForm) -> bool:
    """Whether the groups are now what a valid form says; what refuses them, it says then."""
    new, by = form.cleaned_data["groups"], principal_of(request)
    try:
        members.set_member_groups(member_id=member.id, groups=new, by=by, at=timezone.now())
    except DomainError as error:
        show_refusal(request, form, error)
        return False
    return True


def _render_groups(request: HttpRequest, member: Member, form: GroupsForm) -> HttpResponse:
    """The page of the form; to who can't change what policies go by it only shows."""
    is_open = ruled.may(principal_of(request))
    if not is_open:
        form.fix()
    public = public_id(selectors.MEMBER, member.id)
    context = page(
        request,
        "Members",
        below=member.label,
        member={"id": public, "name": member.label, "role_label": member.role.name},
        form=form,
        is_open=is_open,
        command=post_command(request, f"-X PATCH /v1/members/{public}", EXAMPLE),
    )
    status = 422 if form.is_bound else 200
    return render(request, "orgs/member_groups.html", context, status=status)


@require_POST
def remove(request: HttpRequest, ref: str) -> HttpResponse:
    """Remove somebody, or leave oneself; who left has no page here any more."""
    by, member_id = principal_of(request), parse_id(selectors.MEMBER, ref)
    if member_id == by.member_id:
        members.leave_org(by=by, at=timezone.now())
        return hx_redirect(request, reverse("signed_out"))
    return _remove_other(request, by, member_id)


@needs("members.manage")
def _remove_other(request: HttpRequest, by: Principal, member_id: Any) -> HttpResponse:
    member = selectors.get_member(member_id)
    members.remove_member(member_id=member_id, by=by, at=timezone.now())
    messages.success(request, f"{member.label} was removed.")
    return see_other(reverse("orgs:members"))


@require_POST
@needs("invitations.manage")
def resend(request: HttpRequest, ref: str) -> HttpResponse:
    invitation = invitations.resend_invitation(
        invitation_id=parse_id(selectors.INVITATION, ref),
        by=principal_of(request),
        at=timezone.now(),
    )
    messages.success(request, f"A new link is on its way to {invitation.email}.")
    return see_other(reverse("orgs:members"))


@require_POST
@needs("invitations.manage")
def revoke(request: HttpRequest, ref: str) -> HttpResponse:
    invitations.revoke_invitation(
        invitation_id=parse_id(selectors.INVITATION, ref),
        by=principal_of(request),
        at=timezone.now(),
    )
    messages.success(request, "The invitation was revoked.")
    return see_other(reverse("orgs:members"))

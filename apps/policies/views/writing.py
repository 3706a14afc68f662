"""Writing a policy: from a template, and its next versions in the editor."""

from __future__ import annotations

import json
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.common.errors import DomainError, NotFound
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.links import link, said
from apps.orgs.pages import needs, post_command, principal_of
from apps.policies import decisions, selectors
from apps.policies.engine.samples import CALL, INVOKE, TOOL
from apps.policies.errors import PolicyStateConflict, RegoInvalid
from apps.policies.forms import EditForm, PolicyForm, add_flaws
from apps.policies.pages import RESULT_WORDS, crumbs, policy_page, ref_of
from apps.policies.selectors import POLICY
from apps.policies.services import library, policies, trying

EXAMPLES: Final = {
    "invoke": ("A member invokes an agent", INVOKE),
    "call": ("An agent calls another", CALL),
    "tool": ("An agent calls a tool outside", TOOL),
}
RECENT: Final = "recent"


@require_http_methods(["GET", "HEAD", "POST"])
@needs("policies.edit")
def new(request: HttpRequest) -> HttpResponse:
    """A policy's first version, from a template or from nothing."""
    template = _template(said(request, "template"))
    initial = {
        "name": template.title,
        "purpose": template.purpose,
        "rego_text": template.rego_text,
        "tests": template.tests,
    }
    form = PolicyForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid() and (made := _create(request, form)):
        messages.success(request, f"{form.cleaned_data['name']} was saved as a draft.")
        return see_other(link(request, "policies:edit", public_id(POLICY, made.policy_id)))
    context = {
        "crumbs": crumbs(request, ("New policy", None)),
        "form": form,
        "template": template,
        "templates": [
            {
                "title": one.title,
                "purpose": one.purpose,
                "url": link(request, "policies:new", template=one.slug),
                "current": one.slug == template.slug,
            }
            for one in library.list_templates()
        ],
        "command": post_command(
            request, "/v1/policies", '{"name": "Guard", "rego_text": "package mandate …"}'
        ),
    }
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "policies/new.html", "form", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs("policies.edit")
def edit(request: HttpRequest, ref: str) -> HttpResponse:
    """The editor: a POST saves the next version, or tries the text and runs its tests."""
    standing = selectors.get_policy(ref)
    if standing.is_retired:
        raise PolicyStateConflict("A retired policy stays as it was.")
    form = EditForm(
        request.POST if request.method == "POST" else None, initial=_initial(request, standing)
    )
    tried: trying.Tried | None = None
    if request.method == "POST" and form.is_valid():
        if request.POST.get("do") == "try":
            tried = _try(form)
        elif _save(request, standing, form):
            return see_other(link(request, "policies:edit", ref_of(standing)))
    context = policy_page(
        request,
        standing,
        "policies:edit",
        form=form,
        tried=_shown(tried) if tried else None,
        examples=[
            {"label": label, "url": link(request, "policies:edit", ref, call=name)}
            for name, (label, _) in EXAMPLES.items()
        ],
        recent_url=link(request, "policies:edit", ref, call=RECENT),
        can_recall=principal_of(request).may("data.read"),
        command=post_command(
            request, "/v1/policies/test", '{"rego_text": "package mandate …", "input": {}}'
        ),
    )
    failed = form.is_bound and not form.is_valid()
    return render_page_or_partial(
        request, "policies/edit.html", "editor", context, status=422 if failed else 200
    )


def _create(request: HttpRequest, form: PolicyForm) -> Any:
    by = principal_of(request)
    try:
        return policies.create_policy(
            **form.cleaned_data, by_member_id=by.member_id, actor=by.actor, at=timezone.now()
        )
    except RegoInvalid as error:
        add_flaws(form, error)
    except DomainError as error:
        add_refusal(form, error)
    return None


def _save(request: HttpRequest, standing: selectors.Standing, form: EditForm) -> bool:
    by, read = principal_of(request), form.cleaned_data["version"]
    try:
        made = policies.revise_policy(
            policy_id=standing.id,
            says=form.says(),
            read_version=read,
            by_member_id=by.member_id,
            actor=by.actor,
            at=timezone.now(),
        )
    except RegoInvalid as error:
        add_flaws(form, error)
        return False
    except DomainError as error:
        add_refusal(form, error)
        return False
    if made.version == read:
        messages.info(request, "Nothing had changed.")
    else:
        messages.success(request, f"Version {made.version} was saved as a draft.")
    return True


def _try(form: EditForm) -> trying.Tried | None:
    data = form.cleaned_data
    try:
        return trying.try_text(
            rego_text=data["rego_text"],
            document=INVOKE if data["document"] == "" else data["document"],
            tests=data["tests"],
        )
    except RegoInvalid as error:
        add_flaws(form, error)
    except DomainError as error:
        add_refusal(form, error)
    return None


def _shown(tried: trying.Tried) -> Object:
    tone, word, icon = RESULT_WORDS[tried.opinion.result]
    passed = sum(outcome.passed for outcome in tried.outcomes)
    return {
        **tried.as_json(),
        "tone": tone,
        "word": word,
        "icon": icon,
        "ms": tried.micros / 1000,
        "passed": passed,
        "all_pass": passed == len(tried.outcomes),
    }


def _initial(request: HttpRequest, standing: selectors.Standing) -> dict[str, Any]:
    newest = standing.newest
    return {
        "name": newest.name,
        "purpose": newest.purpose,
        "rego_text": newest.rego_text,
        "tests": newest.tests,
        "version": newest.version,
        "document": as_text(_call(request, standing)),
    }


def _call(request: HttpRequest, standing: selectors.Standing) -> Object:
    """The call to try on: an example, or the newest that the policy decided and is still kept."""
    wanted = said(request, "call")
    if wanted == RECENT and principal_of(request).may("data.read"):
        return decisions.find_recent_document(standing.id) or INVOKE
    return EXAMPLES.get(wanted, EXAMPLES["invoke"])[1]


def as_text(document: Object) -> str:
    """A call as people read it: a member a line."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def _template(slug: str) -> library.Template:
    try:
        return library.get_template(slug or library.STARTER)
    except NotFound:
        return library.get_template(library.STARTER)

"""The console: have an agent do something by hand, and see what comes of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.agents.models import Agent, AgentStatus, Capability
from apps.agents.pages import agent_page, ref_of_agent
from apps.agents.runtimes.conversation import turns_of
from apps.agents.selectors import get_agent, get_capability
from apps.common.errors import Invalid, NotFound
from apps.common.htmx import hx_redirect, render_page_or_partial, see_other, wants_partial
from apps.common.ids import parse_id, public_id
from apps.common.links import PROJECT, link
from apps.orgs.errors import IdempotencyInFlight
from apps.orgs.pages import check, needs, post_command, principal_of
from apps.runs import selectors
from apps.runs.errors import DECISION, RUN, RunDenied, RunRateLimited
from apps.runs.forms import ConsoleForm, new_nonce
from apps.runs.prefill import example_input
from apps.runs.presenting import decision_of, facts_of, run_url
from apps.runs.reading import shown_to
from apps.runs.selectors import RunView
from apps.runs.services.invoke import Ask, fingerprint_of, invoke
from apps.runs.views.detail import STOP_POLLING
from apps.runs.wording import why

TEMPLATE: Final = "runs/console.html"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("agents.invoke")
def console(request: HttpRequest, ref: str) -> HttpResponse:
    """A form for one tool; a POST runs it.

    With scripts the result comes under the form; without, the run's page is the answer.
    """
    agent = get_agent(ref)
    tool = _tool(agent, request.POST.get("tool") or request.GET.get("tool", ""))
    if request.method == "POST":
        return _run(request, agent, tool, ConsoleForm(request.POST))
    if wants_partial(request) and "run" in request.GET:
        return _result(request, agent, _seen(request, request.GET["run"]))
    return _render(request, agent, tool, ConsoleForm(initial=_first_input(request, tool)))


def _run(
    request: HttpRequest, agent: Agent, tool: Capability | None, form: ConsoleForm
) -> HttpResponse:
    if not form.is_valid():
        return _render(request, agent, tool, form, status=422)
    caller = principal_of(request)
    ask = _ask(agent, form)
    try:
        run = invoke(ask, caller=caller, at=timezone.now()).run
    except (RunDenied, RunRateLimited) as error:
        return _denied(request, agent, tool, form, error)
    except IdempotencyInFlight:
        return _already(request, principal=caller.actor.principal, key=ask.key or "")
    except Invalid as error:
        _refuse(form, error)
        return _render(request, agent, tool, form, status=422)
    if not wants_partial(request):
        return see_other(run_url(request, run.id))
    return _render(request, agent, tool, _next(form), result=_shown(request, agent, run))


def _ask(agent: Agent, form: ConsoleForm) -> Ask:
    """The same form with the same content is one run; changed content is another."""
    data = form.cleaned_data
    body = [data[name] for name in ("tool", "project", "mode", "input", "session_id")]
    try:
        digest = fingerprint_of(body).hex()[:32]
    except Invalid:
        digest = ""  # `invoke` will refuse it and say why
    return Ask(
        agent=f"agt_{agent.id.hex}",
        tool=data["tool"],
        input=data["input"],
        project=data["project"] or None,
        mode=data["mode"],
        session_id=data["session_id"] or None,
        key=f"console-{data['nonce']}-{digest}",
    )


def _refuse(form: ConsoleForm, error: Invalid) -> None:
    """What the tool's schema doesn't allow, at the one field that there is for it."""
    for item in error.extra["errors"]:
        inside = item["field"].removeprefix("input").lstrip(".")
        is_input = item["field"].partition(".")[0] == "input"
        text = f"{inside}: {item['message']}" if inside and is_input else item["message"]
        form.add_error("input" if is_input else None, text)


def _denied(
    request: HttpRequest,
    agent: Agent,
    tool: Capability | None,
    form: ConsoleForm,
    error: RunDenied | RunRateLimited,
) -> HttpResponse:
    """A refusal, explained where one is, with its run and what was decided on record."""
    decision, seconds = error.extra.get("decision_id"), error.extra.get("retry_after")
    denied = {
        "detail": error.detail,
        "url": run_url(request, parse_id(RUN, error.extra["run"])),
        "decision": decision_of(request, parse_id(DECISION, decision) if decision else None),
        "again_at": timezone.now() + timedelta(seconds=seconds) if seconds else None,
    }
    answer = _render(request, agent, tool, _next(form), status=error.status, denied=denied)
    if wants_partial(request):
        answer["HX-Retarget"] = "#console"
    return answer


def _already(request: HttpRequest, *, principal: str, key: str) -> HttpResponse:
    """The second press of one button: to the run that the first one began."""
    run_id = selectors.find_keyed_run(principal=principal, key=key)
    if run_id is None:
        raise NotFound
    return hx_redirect(request, run_url(request, run_id))


def _next(form: ConsoleForm) -> ConsoleForm:
    """The same form for another run."""
    data = {**form.data.dict(), "nonce": new_nonce()}  # type: ignore[attr-defined]
    return ConsoleForm(initial=data)


def _tool(agent: Agent, name: str) -> Capability | None:
    """The tool that is meant, else the first; None for an agent that has none any more."""
    if name:
        return get_capability(agent, name)
    return next(iter(agent.capabilities.all()), None)


def _first_input(request: HttpRequest, tool: Capability | None) -> dict[str, Any]:
    """What the form begins with: an earlier run's input and session (`like`), or the schema's
    example and the session that is to go on.
    """
    value = example_input(tool.input_schema) if tool else {}
    session = request.GET.get("session_id", "")
    if like := request.GET.get("like"):
        run = _seen(request, like)
        if run.input is not None:  # what may not be read is begun with the example
            value = run.input
        session = run.session_id or ""
    return {
        "tool": tool.name if tool else "",
        "project": request.GET.get(PROJECT, ""),
        "nonce": new_nonce(),
        "input": json.dumps(value, indent=2, ensure_ascii=False),
        "session_id": session,
    }


def _seen(request: HttpRequest, ref: str) -> RunView:
    """A run that this person may look at, as they see it: any by `runs.view`, else their own."""
    run, by = selectors.get_run(parse_id(RUN, ref)), principal_of(request)
    if run.caller.principal != by.actor.principal:
        check(request, "runs.view")
    return shown_to(by, run)


def _result(request: HttpRequest, agent: Agent, run: RunView) -> HttpResponse:
    """The result alone, for a form whose run wasn't over when it was answered."""
    if run.agent_id != agent.id:
        raise NotFound
    context = {"result": _shown(request, agent, run)}
    status = STOP_POLLING if run.is_closed else 200
    return render_page_or_partial(request, TEMPLATE, "result", context, status=status)


def _shown(request: HttpRequest, agent: Agent, run: RunView) -> dict[str, Any]:
    return {
        **facts_of(request, run),
        "why": why(run.reason),
        "children": len(run.children),
        "poll_url": link(request, "runs:try", ref_of_agent(agent), run=public_id(RUN, run.id)),
    }


def _example(tool: Capability | None, project: str) -> dict[str, Any]:
    """The body of a call that the API would take, for the selected project."""
    if tool is None:
        return {}
    where = {"project": project} if project else {}
    return {"tool": tool.name, "input": example_input(tool.input_schema), **where}


def _render(
    request: HttpRequest,
    agent: Agent,
    tool: Capability | None,
    form: ConsoleForm,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    form.tell_turns(turns_of(agent.config))
    example = json.dumps(_example(tool, request.GET.get(PROJECT, "")))
    context = agent_page(
        request,
        agent,
        "runs:try",
        tool=tool,
        tools=list(agent.capabilities.all()),
        form=form,
        is_console=True,
        can_run=agent.status == AgentStatus.ACTIVE and tool is not None,
        command=post_command(request, f"/v1/agents/{ref_of_agent(agent)}/invoke", example),
        **more,
    )
    return render_page_or_partial(request, TEMPLATE, "console", context, status=status)

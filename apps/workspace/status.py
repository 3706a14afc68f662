"""/status/: how the installation stands, for everybody, on any host.

It touches no database and no session, so that it answers when they are what is down.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.common import system_state
from apps.common.htmx import wants_partial


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The parts and what the absence of one means; htmx gets the pill of the top bar."""
    state = system_state.look()
    name = "workspace/status.html#pill" if wants_partial(request) else "workspace/status.html"
    # Without the request: what a context processor reads may be the very thing that is down.
    answer = HttpResponse(render_to_string(name, {"state": state}))
    answer["Vary"] = "HX-Request, HX-Boosted"
    return answer

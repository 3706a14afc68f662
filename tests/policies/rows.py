"""Who may what of policies: rows of tests/orgs/test_matrix.py and test_views_matrix.py."""

from __future__ import annotations

from typing import Any

from apps.policies.engine.samples import INVOKE
from apps.policies.models import Attachment, Backtest, OrgPolicy, Policy, PolicyHead

ALL = ("owner", "admin", "member", "viewer")
ADMINS = ALL[:2]
KINDS = (Policy, OrgPolicy, Attachment, PolicyHead, Backtest)
OPEN_TO_ALL = "package mandate\n\ndefault allow := true\n"
ROWS: dict[tuple[str, str], tuple[tuple[str, ...], Any, set[int]]] = {
    ("GET", "/v1/policies"): (ALL, None, {200}),
    ("POST", "/v1/policies"): (
        ADMINS,
        {"name": "New", "rego_text": OPEN_TO_ALL, "attach": {"scope": "org"}},
        {201},
    ),
    ("POST", "/v1/policies/test"): (ADMINS, {"rego_text": OPEN_TO_ALL, "input": INVOKE}, {200}),
    ("POST", "/v1/policies/backtest"): (ADMINS, {"rego_text": OPEN_TO_ALL, "days": 1}, {200}),
    ("GET", "/v1/policies/backtests/{backtest}"): (ALL, None, {200}),
    ("GET", "/v1/policies/settings"): (ALL, None, {200}),
    ("PATCH", "/v1/policies/settings"): (ADMINS, {"keep_inputs_days": 9}, {200}),
    ("GET", "/v1/policies/{policy}"): (ALL, None, {200}),
    ("PUT", "/v1/policies/{policy}"): (ADMINS, {"name": "Renamed"}, {200}),
    ("DELETE", "/v1/policies/{policy}"): (ADMINS, None, {204}),
    ("GET", "/v1/policies/{policy}/versions"): (ALL, None, {200}),
    ("POST", "/v1/policies/{policy}/tests"): (ADMINS, None, {200}),
    ("POST", "/v1/policies/{policy}/activate"): (ADMINS, None, {200}),
    ("POST", "/v1/policies/{policy}/shadow"): (ADMINS, None, {200}),
    ("DELETE", "/v1/policies/{policy}/shadow"): (ADMINS, None, {200}),
    ("POST", "/v1/policies/{policy}/attachments"): (ADMINS, {"scope": "org"}, {201}),
    ("DELETE", "/v1/policies/{policy}/attachments/{attachment}"): (ADMINS, None, {204}),
    ("GET", "/v1/decisions"): (ALL, None, {200}),
    ("GET", "/v1/decisions/{decision}"): (ALL, None, {200}),
}


def pages(row: Any) -> dict[str, Any]:
    """The pages, as `row` (tests/orgs/test_views_matrix.py) says who may."""
    says = {"name": "Renamed", "rego_text": OPEN_TO_ALL}
    settings = {"default_answer": "deny", "keep_inputs_days": "30"}
    return {
        "policies:policies": row(get=ALL),
        "policies:new": row(ADMINS, ADMINS, says),
        "policies:settings": row(ALL, ADMINS, settings),
        "policies:decisions": row(get=ALL),
        "policies:decision": row(get=ALL),
        "policies:policy": row(get=ALL),
        "policies:edit": row(ADMINS, ADMINS, {**says, "version": "2"}),
        "policies:diff": row(get=ALL),
        "policies:backtest": row(ALL, ADMINS, {"days": "7"}),
        "policies:check": row(post=ADMINS),
        "policies:activate": row(post=ADMINS),
        "policies:shadow": row(post=ADMINS),
        "policies:unshadow": row(post=ADMINS),
        "policies:retire": row(post=ADMINS),
        "policies:attach": row(post=ADMINS, data={"place": "project:default"}),
        "policies:detach": row(post=ADMINS),
    }


BARE = {"policies:policies", "policies:new", "policies:settings", "policies:decisions"}

"""The site of one org: every tenant model is on it, cheap, read-only and without its secrets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection, models
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from apps.common.models import TenantModel
from apps.runs.models import Run, Step
from apps.tenants import keys, rls
from apps.workspace.operators.actions import ACTIONS
from apps.workspace.operators.org_site import HIDDEN, LISTED, TenantAdmin, shown, site
from tests.workspace.filling import fill
from tests.workspace.operators import door, look_into

MODELS = list(rls.tenant_models())
SECRET = re.compile(
    "hash|secret|sealed|token|nonce|cipher|wrapped|passw|private|fingerprint|hint|signature"
)
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


def page_of(org: Any, model: type[TenantModel], rest: str = "") -> str:
    return door(org, f"{model._meta.app_label}/{model._meta.model_name}/{rest}")


def queries_of(browser: Any, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as seen:
        answer = browser.get(path)
    assert answer.status_code == 200, (path, answer)
    return [query["sql"] for query in seen.captured_queries]


def test_every_tenant_model_is_on_the_site_and_no_other() -> None:
    assert set(site._registry) == set(MODELS)
    labels = {model._meta.label for model in MODELS}
    assert set(HIDDEN) <= labels and set(LISTED) <= labels


def test_every_list_and_page_answers_with_a_fixed_number_of_queries(org: Any) -> None:
    fill()
    browser = look_into(org)

    def count(model: type[TenantModel]) -> dict[str, int]:
        row = model._default_manager.order_by("id").last()
        assert row is not None, model
        pages = {"list": page_of(org, model), "row": page_of(org, model, f"{row.pk}/change/")}
        return {name: len(queries_of(browser, path)) for name, path in pages.items()}

    for model in MODELS:
        count(model)  # content types are remembered from the first page on
    few = {model._meta.label: count(model) for model in MODELS}
    for _ in range(3):
        fill()
    many = {model._meta.label: count(model) for model in MODELS}
    assert few == many
    assert {n for pages in many.values() for n in pages.values()} <= {9, 10}


@each_model
def test_a_list_counts_nothing_and_its_order_has_an_index(
    org: Any, model: type[TenantModel]
) -> None:
    fill()
    browser = look_into(org)
    table = f'FROM "{model._meta.db_table}"'
    found = [sql for sql in queries_of(browser, page_of(org, model)) if table in sql]
    assert len(found) == 2
    assert not [sql for sql in found if "COUNT(" in sql.upper()]
    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off")
        cursor.execute("set local enable_sort = off")
        for sql in found:
            cursor.execute(f"explain {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            # What an index has sorted all but in ties comes row by row, too.
            assert not re.search(r"(?<!Incremental )Sort  \(", plan), plan


@each_model
def test_no_column_that_looks_like_a_secret_is_shown(model: type[TenantModel]) -> None:
    def looks_secret(field: Any) -> bool:
        is_told = isinstance(field, models.BooleanField)  # that there is a secret is none
        named = bool(SECRET.search(field.name)) and not is_told
        return isinstance(field, models.BinaryField) or named

    secret = {field.name for field in model._meta.concrete_fields if looks_secret(field)}
    admin = site._registry[model]
    request = RequestFactory().get("/")
    fields = {*admin.get_fields(request), *admin.get_readonly_fields(request)}
    seen = {*fields, *admin.list_display, *shown(model)}
    assert seen & secret == set()
    assert HIDDEN.get(model._meta.label, frozenset()) == secret


@each_model
def test_a_page_holds_no_value_of_a_hidden_column(org: Any, model: type[TenantModel]) -> None:
    fill()
    browser = look_into(org)
    row = model._default_manager.order_by("id").last()
    assert row is not None
    pages = [page_of(org, model), page_of(org, model, f"{row.pk}/change/")]
    html = b"".join(browser.get(path).content for path in pages)
    assert str(row.pk).encode() in html
    for name in HIDDEN.get(model._meta.label, ()):
        value = getattr(row, name)
        text = bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
        assert not text or (text.encode() not in html and repr(value).encode() not in html)


@each_model
def test_nothing_can_be_written(org: Any, model: type[TenantModel]) -> None:
    fill()
    browser = look_into(org)
    with keys.holding(org.schema, org.id):
        before = list(model._default_manager.order_by("id").values())
    pk = before[0]["id"]
    form = {"action": "delete_selected", "_selected_action": str(pk), "post": "yes"}
    listed = browser.post(page_of(org, model), form)
    assert listed.status_code == (302 if model._meta.label in ACTIONS else 403)
    for rest in ("add/", f"{pk}/change/", f"{pk}/delete/", f"{pk}/history/"):
        assert browser.post(page_of(org, model, rest), form).status_code == 403, rest
    for rest in ("add/", f"{pk}/delete/"):
        assert browser.get(page_of(org, model, rest)).status_code == 403
    assert browser.get(page_of(org, model, f"{pk}/change/")).status_code == 200
    with keys.holding(org.schema, org.id):
        assert list(model._default_manager.order_by("id").values()) == before


def test_another_orgs_row_is_404(org: Any, other_org: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        fill()
        theirs = {model: model._default_manager.order_by("id").last() for model in MODELS}
    browser, other = look_into(org), look_into(other_org)
    for model, row in theirs.items():
        assert row is not None
        for rest in (f"{row.pk}/change/", f"{row.pk}/history/"):
            assert browser.get(page_of(org, model, rest)).status_code == 404
        assert str(row.pk).encode() not in browser.get(page_of(org, model)).content
        assert other.get(page_of(other_org, model, f"{row.pk}/change/")).status_code == 200


@pytest.mark.parametrize("pk", ["nothing", "0", "_00", "a" * 300, "%00"])
def test_a_key_that_is_none_is_404(org: Any, pk: str) -> None:
    assert look_into(org).get(page_of(org, Run, f"{pk}/change/")).status_code == 404


def test_an_address_can_ask_for_no_order_and_no_column_but_the_offered(org: Any) -> None:
    fill()
    browser = look_into(org)
    path = page_of(org, Run)

    def rows_read(query: str) -> list[str]:
        return [sql for sql in queries_of(browser, path + query) if 'FROM "runs"' in sql]

    assert len(rows_read("")) == 2
    assert rows_read("?o=2.-1") == rows_read("?all=") == rows_read("")
    for asked in ("fingerprint__startswith=a", "input__text=hello", "agent__slug=x", "id__gt=0"):
        assert browser.get(f"{path}?{asked}").status_code == 400, asked
    run = Run.objects.order_by("id").last()
    assert run is not None
    offered = {"status": run.status, "agent": run.agent_id, "root_id": run.root_id}
    for asked in (f"{name}__exact={value}" for name, value in offered.items()):
        page = browser.get(f"{path}?{asked}")
        assert page.status_code == 200 and str(run.pk).encode() in page.content
    assert str(run.pk).encode() not in browser.get(f"{path}?status__exact=failed").content


def test_long_lists_are_turned_page_by_page(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TenantAdmin, "list_per_page", 2)
    for _ in range(5):
        fill()
    browser, path = look_into(org), page_of(org, Run)
    seen: list[str] = []
    for number in (1, 2, 3):
        page = browser.get(f"{path}?p={number}")
        seen += [str(run.pk) for run in page.context["cl"].result_list]
        assert (b"more than" in page.content) is (number < 3)
    assert f"{Run.objects.count()} in all".encode() in page.content
    newest = Run.objects.order_by("-created_at", "-id").values_list("pk", flat=True)
    assert seen == [str(pk) for pk in newest]
    for beyond in ("4", "1000000", "0", "-1"):
        assert browser.get(f"{path}?p={beyond}")["Location"].endswith("?e=1")
    for no_number in ("x", "1" * 5000):
        assert browser.get(f"{path}?p={no_number}").status_code in {200, 302}


def test_a_row_leads_to_what_points_at_it(org: Any) -> None:
    fill()
    browser = look_into(org)
    run = Run.objects.get(id=Step.objects.order_by("id").last().run_id)  # type: ignore[union-attr]
    page = browser.get(page_of(org, Run, f"{run.pk}/change/"))
    links = dict(page.context["row_links"])
    assert set(links) == {"Steps", "Run logs", "Run events", "Decisions"}
    steps = browser.get(links["Steps"])
    assert {step.run_id for step in steps.context["cl"].result_list} == {run.pk}
    assert f'href="{links["Steps"].replace("&", "&amp;")}"'.encode() in page.content

"""The operators' two sites and their look as a member: accessible, whole, quiet in the console."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin import AdminSite
from playwright.sync_api import expect

from apps.workspace.operators.org_site import site as org_site
from apps.workspace.operators.shared_site import site as shared_site
from tests.e2e.conftest import NewPerson
from tests.e2e.looking import each_look, finds, sweep
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e

REASON = "Ticket 4711: runs are stuck"
# Of these the row's own page is looked at too: one of each kind of content.
SHARED_ROWS = ("tenants/org", "tenants/plan", "tenants/user")
ORG_ROWS = ("agents/agent", "orgs/member", "runs/run", "trust/auditevent")


def names_of(site: AdminSite) -> list[str]:
    """The models that are registered on a site, as the names of its pages have them."""
    return sorted(model._meta.label_lower.replace(".", "_") for model in site._registry)


def lists(site: AdminSite, prefix: str) -> dict[str, str]:
    """The list of every model that is registered on a site."""
    return {f"{prefix}-{name}": f"/{name.replace('_', '/')}/" for name in names_of(site)}


def rows(person: Person, origin: str, prefix: str, names: tuple[str, ...]) -> dict[str, str]:
    """The page of the first row in each of these lists."""
    found = {}
    for name in names:
        page = person.go(f"{origin}/{name}/")
        link = page.locator("#result_list tbody tr").first.locator("th a").first
        found[f"{prefix}-{name.replace('/', '-')}-row"] = str(link.get_attribute("href"))
    return found


@finds(
    *("admin:index", "admin:app_list", "operators:system", "operators:plan"),
    *(f"admin:{name}_changelist" for name in names_of(shared_site)),
    *(f"admin:{name.replace('/', '_')}_change" for name in SHARED_ROWS),
    *(f"admin:{name.replace('/', '_')}_history" for name in SHARED_ROWS[:1]),
    "admin:tenants_plan_add",
)
def test_pages_of_the_shared_site(product: Product, operator: Person) -> None:
    origin = f"{product.apex}/admin"
    found = {"admin": "/", "admin-app": "/tenants/", "admin-system": "/system/"}
    found |= {"admin-plan-of-org": "/plan/acme/", "admin-plan-new": "/tenants/plan/add/"}
    sweep(operator, origin, found | lists(shared_site, "admin"))
    found = rows(operator, origin, "admin", SHARED_ROWS)
    found["admin-history"] = found["admin-tenants-org-row"].replace("/change/", "/history/")
    sweep(operator, product.apex, found)


@finds("operators:org", "operators:org_page")
def test_pages_of_the_site_of_an_org(product: Product, operator: Person) -> None:
    origin = f"{product.apex}/admin/orgs/acme"
    operator.go(f"{origin}/")
    assert each_look(operator.page, "door") == []
    operator.press("Look into")
    operator.fill(reason=REASON)
    operator.press("Look into")
    expect(operator.page.locator(".look")).to_contain_text("You look into Acme")
    sweep(operator, origin, {"org-admin": "/", **lists(org_site, "org-admin")})
    sweep(operator, product.apex, rows(operator, origin, "org-admin", ORG_ROWS))
    operator.go(f"{origin}/")
    operator.press("Close now")
    operator.is_at(f"{product.apex}/admin/tenants/org/")


@finds("operators:impersonate", "workspace:impersonation")
def test_pages_of_a_look(product: Product, operator: Person) -> None:
    operator.go(f"{product.apex}/admin/impersonate/acme/")
    operator.has_heading("Look as a member of Acme")
    faults = each_look(operator.page, "impersonate")
    operator.page.set_viewport_size({"width": 1440, "height": 900})
    operator.fill(email="owner@acme.example", reason=REASON)
    operator.press("Look as this member")
    operator.is_at(f"{product.org('acme')}/")
    looked = {"look-overview": "/", "look-agents": "/agents/", "look-not-found": "/nothing/"}
    sweep(operator, product.org("acme"), looked | {"look": "/impersonation/"})
    operator.press("End now", within=operator.page.get_by_role("region", name="You look"))
    operator.has_heading("The look is over")
    assert faults + each_look(operator.page, "look-over") == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_an_operator_looks_as_a_member_and_ends_it(
    product: Product, operator: Person, new_person: NewPerson, scripts: bool
) -> None:
    # Given an operator, with the cookies of their sign-in in a browser with or without scripts
    person = new_person(operator.email, java_script_enabled=scripts)
    person.context.add_cookies(operator.context.cookies())  # type: ignore[arg-type]
    banner = person.page.get_by_role("region", name="You look as a member")

    # When they ask for the owner's eyes
    person.go(f"{product.apex}/admin/impersonate/acme/")
    person.has_heading("Look as a member of Acme")
    person.fill(email="owner@acme.example", reason=REASON)
    person.press("Look as this member")

    # Then they see the workspace, with who looks as whom on each page of it
    person.is_at(f"{product.org('acme')}/")
    expect(banner).to_contain_text(f"{operator.email} looks as owner@acme.example")

    # And can't change anything: the form says why
    person.go(f"{product.org('acme')}/settings/")
    name = person.page.locator("#page [name=name]")
    name.fill("Renamed by an operator")
    person.press("Save changes")
    expect(person.page.locator("body")).to_contain_text("and can change nothing meanwhile")
    person.go(f"{product.org('acme')}/settings/")
    expect(name).to_have_value("Acme")
    expect(banner).to_be_visible()

    # When they end it, then the workspace is shut, and the apex is as it was
    person.press("End now")
    person.has_heading("The look is over")
    person.go(f"{product.org('acme')}/settings/")
    expect(person.page.get_by_role("heading", level=1)).to_have_text(re.compile("nothing here"))
    person.go(f"{product.apex}/admin/tenants/org/")
    expect(person.page.locator("#result_list")).to_contain_text("acme")

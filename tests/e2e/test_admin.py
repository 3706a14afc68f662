"""The operators' two sites and their look as a member: accessible, whole, quiet in the console."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid

import pytest
from playwright.sync_api import expect

from apps.workspace.operators.org_site import site as org_site
from apps.workspace.operators.shared_site import site as shared_site
from tests.e2e.conftest import NewPerson
from tests.e2e.person import PASSWORD, Person
from tests.e2e.product import PASSED_ON, ROOT, Product
from tests.e2e.test_pages import _each_look, sweep

pytestmark = pytest.mark.e2e

REASON = "Ticket 4711: runs are stuck"
# Of these the row's own page is looked at too: one of each kind of content.
SHARED_ROWS = ("tenants/org", "tenants/plan", "tenants/user")
ORG_ROWS = ("agents/agent", "orgs/member", "runs/run", "trust/auditevent")


@pytest.fixture
def operator(product: Product, new_person: NewPerson) -> Person:
    """Somebody who runs the product, signed in on the apex: made by the command, as docs say."""
    person = new_person(f"op-{uuid.uuid4().hex[:8]}@mandate.example")
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environ |= {"MANDATE_HOME": str(product.home), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    command = [sys.executable, str(ROOT / "manage.py"), "createsuperuser", "--noinput"]
    subprocess.run([*command, "--email", person.email], env=environ, check=True)  # noqa: S603
    person.go(f"{product.apex}/account/login/")
    person.give_password()
    person.has_heading("Confirm your address")
    person.open_mail("Confirm your address")
    person.follow_link()
    person.confirm()
    return person


def lists(site: object, prefix: str) -> dict[str, str]:
    """The list of every model that is registered on a site."""
    models = sorted(model._meta.label_lower for model in site._registry)  # type: ignore[attr-defined]
    names = [label.replace(".", "/") for label in models]
    return {f"{prefix}-{name.replace('/', '-')}": f"/{name}/" for name in names}


def rows(person: Person, origin: str, prefix: str, names: tuple[str, ...]) -> dict[str, str]:
    """The page of the first row in each of these lists."""
    found = {}
    for name in names:
        page = person.go(f"{origin}/{name}/")
        link = page.locator("#result_list tbody tr").first.locator("th a").first
        found[f"{prefix}-{name.replace('/', '-')}-row"] = str(link.get_attribute("href"))
    return found


def test_pages_of_the_shared_site(product: Product, operator: Person) -> None:
    origin = f"{product.apex}/admin"
    found = {"admin": "/", "admin-app": "/tenants/", "admin-system": "/system/"}
    found |= {"admin-plan-of-org": "/plan/acme/", "admin-plan-new": "/tenants/plan/add/"}
    sweep(operator, origin, found | lists(shared_site, "admin"))
    sweep(operator, product.apex, rows(operator, origin, "admin", SHARED_ROWS))


def test_pages_of_the_site_of_an_org(product: Product, operator: Person) -> None:
    origin = f"{product.apex}/admin/orgs/acme"
    operator.go(f"{origin}/")
    assert _each_look(operator.page, "door") == []
    operator.press("Look into")
    operator.fill(reason=REASON)
    operator.press("Look into")
    expect(operator.page.locator(".look")).to_contain_text("You look into Acme")
    sweep(operator, origin, {"org-admin": "/", **lists(org_site, "org-admin")})
    sweep(operator, product.apex, rows(operator, origin, "org-admin", ORG_ROWS))
    operator.go(f"{origin}/")
    operator.press("Close now")
    operator.is_at(f"{product.apex}/admin/tenants/org/")


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
    if scripts:
        assert _each_look(person.page, "impersonate") == []
    person.fill(email="owner@acme.example", reason=REASON)
    person.press("Look as this member")

    # Then they see the workspace, with who looks as whom on each page of it
    person.is_at(f"{product.org('acme')}/")
    expect(banner).to_contain_text(f"{operator.email} looks as owner@acme.example")
    if scripts:
        looked = {"look-overview": "/", "look-agents": "/agents/", "look-not-found": "/nothing/"}
        sweep(person, product.org("acme"), looked)
        person.page.set_viewport_size({"width": 1440, "height": 900})

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

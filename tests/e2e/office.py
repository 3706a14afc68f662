"""What tests of rules begin with in the demo org: agents, policies in force, and who asks by key.

What is made here is put away again, so that no rule of one test holds in the next.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.product import ROOT, Product

ORG = "acme"
ALLOW = "package mandate\n\ndefault allow := true\n\n"
LIBRARY = ROOT / "apps" / "policies" / "library"
END_SECONDS = 60.0
MAKE_KEYS = """
import json
from django.utils import timezone
from apps.orgs.selectors import find_member_principal
from apps.orgs.services.keys import create_key
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug, find_user_by_email

org, made = find_org_by_slug("acme"), {}
with keys.holding(org.schema, org.id):
    for role in ("owner", "admin", "member"):
        user = find_user_by_email(f"{role}@acme.example")
        by = find_member_principal(user_id=user.pk)
        key = create_key(name="Rules", scopes=None, agent=None, by=by, at=timezone.now())
        made[role] = key.token
print(json.dumps(made))
"""


def make_keys(product: Product) -> dict[str, str]:
    """A key of each who asks, by role."""
    found: dict[str, str] = json.loads(
        product.manage("shell", "-c", MAKE_KEYS).strip().split("\n")[-1]
    )
    return found


def template(name: str) -> str:
    """The text of a policy that the product brings."""
    return Path(LIBRARY / f"{name}.rego").read_text()


@dataclass
class Office:
    """The org, its people's keys by role, and what is to be put away."""

    product: Product
    keys: Mapping[str, str]
    ends_by: list[tuple[str, str, Any]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.product.org(ORG)}{path}"

    def api(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """What a member's key is answered."""
        return self.product.api(method, f"/v1{path}", body, key=self.keys[who])

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """The same for the owner, who may do everything."""
        status, answer = self.api("owner", method, path, body)
        assert status < 300, answer
        return answer

    # What there is

    def project(self, *tags: str) -> str:
        """A project with these tags."""
        name = f"Project {uuid.uuid4().hex[:6]}"
        slug: str = self.must("POST", "/projects", {"name": name, "tags": tags})["slug"]
        self.ends_by.append(("PATCH", f"/projects/{slug}", {"archived": True}))
        return slug

    def agent(self, **about: Any) -> str:
        """An agent that repeats what it is told, unless told otherwise."""
        slug = f"desk-{uuid.uuid4().hex[:8]}"
        echo = {"runtime": "builtin", "config": {"skill": "echo"}}
        self.must("POST", "/agents", {"name": slug, "slug": slug, **echo, **about})
        self.will_delete(f"/agents/{slug}")
        return slug

    def draft(self, text: str, agent: str) -> str:
        """A policy that is attached to an agent and decides nothing yet."""
        text = text if "package mandate" in text else ALLOW + text
        place = {"scope": "agent", "id": agent}
        body = {"name": f"Rule for {agent}", "rego_text": text, "attach": place}
        policy: str = self.must("POST", "/policies", body)["id"]
        self.will_delete(f"/policies/{policy}")
        return policy

    def policy(self, text: str, agent: str) -> str:
        """A policy in force for an agent."""
        policy = self.draft(text, agent)
        self.must("POST", f"/policies/{policy}/activate")
        return policy

    def will_delete(self, path: str) -> None:
        """Have something put away, what was made on a page too."""
        self.ends_by.append(("DELETE", path, None))

    def put_away(self) -> None:
        """Everything that would go on to count, what was made last first."""
        while self.ends_by:
            self.must(*self.ends_by.pop())

    # What happens

    def call(self, who: str, agent: str, text: str) -> Any:
        """Have an agent called; its run, or why there is none."""
        return self.api(who, "POST", f"/agents/{agent}/invoke", {"input": {"text": text}})[1]

    def ask(self, who: str, agent: str, text: str) -> tuple[str, str]:
        """Have an agent called that needs approval: the run that waits, and for what."""
        run = self.call(who, agent, text)
        assert run["status"] == "awaiting_approval", run
        return run["id"], run["approval_id"]

    def run(self, run: str) -> Any:
        return self.must("GET", f"/runs/{run}")

    def ends(self, run: str) -> Any:
        """The run once it is over."""
        until = time.monotonic() + END_SECONDS
        while time.monotonic() < until:
            found = self.run(run)
            if found["finished_at"]:
                return found
            time.sleep(0.25)
        raise AssertionError(f"{run} did not end: {found}")


def run_by_form(person: Person, text: str, *, at: str = "") -> None:
    """Press Run in the form of an agent, which is open or stands at this address."""
    if at:
        person.go(at)
    settling = person.page.locator(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")
    expect(settling).to_have_count(0)  # what is typed into a form that is being replaced is lost
    person.fill(input=json.dumps({"text": text}))
    person.press("Run")


def open_run(person: Person, link: str = "Open the run") -> str:
    """Follow the link to a run; its id."""
    person.page.get_by_role("link", name=link).click()
    expect(person.page.locator("#run-status")).to_be_visible()
    return last_part(person.page.url)


def last_part(url: str) -> str:
    """What the address of a page of one thing ends with: its id."""
    return url.partition("?")[0].rstrip("/").rpartition("/")[2]

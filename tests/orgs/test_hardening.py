"""Ways round the rules of an org that are shut now."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.common.ids import public_id
from apps.orgs import selectors
from tests.orgs.conftest import Api, problem, token_for


def test_a_key_cannot_remove_the_member_it_acts_for(
    org: Any, somebody: Callable[..., Any], events: Any
) -> None:
    # Given an admin's and a second owner's key that may manage members
    for role in ("admin", "owner"):
        who, other = somebody(role), somebody("viewer")
        api = Api(token_for(org, who, scopes=["members.manage"]))

        # When it names its own member
        answer = api.delete(f"/members/{public_id('mem', who.member_id)}")

        # Then nobody leaves; another member still can be removed
        assert problem(answer) == (403, "permission_denied")
        assert selectors.get_member(who.member_id).left_at is None
        path = f"/members/{public_id('mem', other.member_id)}"
        assert api.delete(path).status_code == 204


def test_a_role_that_leaves_no_scope_makes_no_key(org: Any, owner: Any) -> None:
    """No scopes would mean all of them, so the command must not hand on an empty list."""
    from apps.orgs.models import ApiKey

    def apikey(*options: str) -> str:
        out = StringIO()
        call_command("apikey", "--org", "acme", "--user", owner.email, *options, stdout=out)
        return out.getvalue().strip()

    before = ApiKey.objects.count()
    for options in (["--role", "viewer", "--scopes", "members.manage"], ["--role", "emperor"]):
        with pytest.raises(CommandError):
            apikey(*options)
    assert ApiKey.objects.count() == before

    token = apikey("--role", "viewer", "--scopes", "projects.view,members.manage")
    assert Api(token).get("/me").json()["permissions"] == ["projects.view"]

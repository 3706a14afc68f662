"""Groups of members: who sets them, where they are seen, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.errors import DomainError, Invalid, NotFound, PermissionDenied
from apps.common.ids import public_id, uuid7
from apps.orgs import selectors
from apps.orgs.errors import BeyondOwnPower
from apps.orgs.models import Member
from apps.orgs.services import members, roles
from apps.policies.models import Policy
from tests.orgs.conftest import AT, Api, owner_of, problem, token_for
from tests.orgs.test_api import errors
from tests.runs.governing import in_force
from tests.tenants.browsing import as_member, is_page

MANAGING = ["members.view", "members.manage", "keys.own"]


def groups_of(who: Any) -> list[str]:
    return list(Member.objects.get(id=who.member_id).groups)


def put(who: Any, groups: list[str], by: Any) -> Member:
    return members.set_member_groups(member_id=who.member_id, groups=groups, by=by, at=AT)


def path_of(who: Any) -> str:
    return f"/members/{public_id('mem', who.member_id)}"


@pytest.fixture
def hand(org: Any, owner: Any, somebody: Any) -> Any:
    """Who manages members and activates no policies."""
    roles.create_role(name="Hand", permissions=MANAGING, by=owner, at=AT)
    return somebody("hand")


def test_groups_are_set_sorted_each_once_and_recorded(
    owner: Any, somebody: Any, events: Any
) -> None:
    who = somebody("viewer")
    assert who.groups == ()
    put(who, [" finance ", "emea", "finance"], owner)
    assert groups_of(who) == ["emea", "finance"]
    user_id = Member.objects.get(id=who.member_id).user_id
    found = selectors.find_member_principal(user_id=user_id)
    assert found is not None and found.groups == ("emea", "finance")

    put(who, ["finance", "emea"], owner)  # the same ones
    put(who, [], owner)
    named = ("orgs.member.groups_changed", public_id("mem", who.member_id))
    assert events() == [
        (*named, {"old": {"groups": []}, "new": {"groups": ["emea", "finance"]}}),
        (*named, {"old": {"groups": ["emea", "finance"]}, "new": {"groups": []}}),
    ]


def test_what_is_no_group_and_who_is_not_to_be_touched(
    owner: Any, somebody: Any, hand: Any, events: Any
) -> None:
    member, viewer, admin = (somebody(role) for role in ("member", "viewer", "admin"))
    before = events()

    def refused(error: type[DomainError], who: Any, groups: list[str], by: Any) -> None:
        with pytest.raises(error):
            put(who, groups, by)

    for wrong in ([""], ["x" * 41], [str(number) for number in range(21)]):
        refused(Invalid, member, wrong, owner)
    refused(BeyondOwnPower, owner, ["a"], admin)
    refused(BeyondOwnPower, member, ["a"], hand)  # may more than the hand
    with pytest.raises(NotFound):
        members.set_member_groups(member_id=uuid7(), groups=[], by=owner, at=AT)
    assert [groups_of(who) for who in (owner, member, viewer)] == [[], [], []]
    assert events() == before

    for who, by in ((member, admin), (hand, hand), (owner, owner)):  # the controls
        put(who, ["x" * 40, *map(str, range(19))], by)
        assert len(groups_of(who)) == 20


def test_while_a_policy_is_in_force_only_who_may_activate_changes_groups(
    hand: Any, somebody: Any, events: Any
) -> None:
    """Nobody gets into a group that is let through, or out of one that isn't, by themselves."""
    admin = somebody("admin")
    put(hand, ["temps"], hand)
    in_force("")
    before = events()
    for groups in ([], ["finance", "temps"]):
        with pytest.raises(PermissionDenied) as refused:
            put(hand, groups, hand)
        assert refused.value.extra["permission"] == "policies.activate"
        assert "a member’s groups" in refused.value.detail
    put(hand, ["temps"], hand)  # what it is in already
    assert (groups_of(hand), events()) == (["temps"], before)

    put(hand, ["finance"], admin)
    assert groups_of(hand) == ["finance"]
    Policy.objects.update(retired_at=AT)
    put(hand, [], hand)
    assert groups_of(hand) == []


def test_who_leaves_takes_no_group_along(owner: Any, somebody: Any, events: Any) -> None:
    who = somebody("viewer")
    put(who, ["finance"], owner)
    members.remove_member(member_id=who.member_id, by=owner, at=AT)
    assert groups_of(who) == []
    action, _, detail = events()[-1]
    assert (action, detail["old"]["groups"]) == ("orgs.member.removed", ["finance"])


def test_role_and_groups_are_changed_by_the_api_both_or_neither(
    api: Api, api_as: Any, somebody: Any, events: Any
) -> None:
    who, other = somebody("viewer"), somebody("viewer")
    path = path_of(who)
    both = api.patch(path, {"role": "member", "groups": ["finance", "emea"]})
    assert (both.status_code, both.json()["role"]) == (200, "member")
    assert both.json()["groups"] == api.get(path).json()["groups"] == ["emea", "finance"]
    named = [action.removeprefix("orgs.member.") for action, *_ in events()]
    assert named == ["role_changed", "groups_changed"]
    assert api.patch(path, {}).json() == both.json()

    many = [str(number) for number in range(21)]
    for wrong in (many, ["x" * 41], "finance", None, [7], [""]):
        assert set(errors(api.patch(path, {"groups": wrong}))) <= {"groups", "groups.0"}
    assert set(errors(api.patch(path, {"group": []}))) == {"group"}
    assert set(errors(api.patch(path, {"groups": [], "role": "emperor"}))) == {"role"}
    assert problem(api_as("member").patch(path, {"groups": []})) == (403, "permission_denied")
    assert api.get(path).json() == both.json()

    def ids(query: str) -> list[str]:
        return [row["id"] for row in api.get(f"/members?{query}").json()["results"]]

    assert ids("group=finance") == ids("group=emea&role=member") == [path.rpartition("/")[2]]
    assert ids("group=fin") == ids("group=finance&role=viewer") == []
    assert path_of(other).rpartition("/")[2] in ids("role=viewer")


def test_by_the_api_groups_take_the_right_to_activate_besides(
    api: Api, org: Any, hand: Any, somebody: Any
) -> None:
    who = somebody("viewer")
    narrow = Api(token_for(org, owner_of(org), scopes=["members.manage"]))
    theirs = Api(token_for(org, hand))
    in_force("")
    for client, target, lacks in ((narrow, who, "scopes"), (theirs, hand, "role")):
        answer = client.patch(path_of(target), {"groups": ["finance"]})
        assert problem(answer) == (403, "permission_denied")
        told = answer.json()
        assert (told["permission"], told["missing_in"]) == ("policies.activate", lacks)
        assert groups_of(target) == []
    answer = api.patch(path_of(who), {"groups": ["finance"]})
    assert answer.json()["groups"] == groups_of(who) == ["finance"]


def test_groups_are_seen_filtered_and_saved_without_scripts(
    browser: Any, owner: Any, somebody: Any, events: Any
) -> None:
    who = somebody("viewer", name="Ada Osei")
    url = f"/settings{path_of(who)}/groups/"
    assert url in browser.get("/settings/members/").content.decode()

    answer = browser.post(url, {"groups": "finance, emea,"})
    assert (answer.status_code, answer["Location"]) == (303, "/settings/members/")
    assert groups_of(who) == ["emea", "finance"]
    page = browser.get("/settings/members/?group=finance")
    assert [row["name"] for row in page.context["members"]] == ["Ada Osei"]
    html = page.content.decode()
    assert ">finance</span>" in html and 'name="group" value="finance"' in html
    assert b"No member matches" in browser.part("/settings/members/?group=fin").content
    assert b'value="emea, finance"' in browser.get(url).content

    long = browser.post(url, {"groups": "x" * 41})
    assert long.status_code == 422 and is_page(long) and "x" * 41 in long.content.decode()
    assert list(long.context["form"].errors) == ["groups"]
    members.set_member_groups(member_id=who.member_id, groups=["a, b"], by=owner, at=AT)
    assert browser.post(url, {"groups": "a, b"}).status_code == 303
    assert groups_of(who) == ["a, b"]
    assert len(events()) == 2


def test_the_page_says_why_groups_are_fixed_and_to_others_shows_no_way(
    org: Any, hand: Any, owner: Any, somebody: Any
) -> None:
    theirs, url = as_member(org, hand), f"/settings{path_of(hand)}/groups/"
    assert b"Save groups" in theirs.get(url).content
    in_force("")
    html = theirs.get(url).content.decode()
    assert "readonly" in html and "only who may activate policies" in html
    assert "Save groups" not in html
    refused = theirs.post(url, {"groups": "finance"})
    assert refused.status_code == 422 and "policies.activate" in refused.content.decode()
    assert groups_of(hand) == []
    assert theirs.get(f"/settings{path_of(owner)}/groups/").status_code == 403
    viewer = as_member(org, somebody("viewer"))
    assert "/groups/" not in viewer.get("/settings/members/").content.decode()
    assert viewer.get(url).status_code == 403

"""API keys: what a token looks like, what a key may do, how it is replaced and how it ends."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.errors import BeyondOwnPower, KeyInactive
from apps.orgs.models import ApiKey
from apps.orgs.permissions import codes_of
from apps.orgs.services import keys
from apps.orgs.tokens import hash_of, is_token, new_token
from apps.tenants.models import KeyIndex
from tests.orgs.conftest import AT

HOUR = timedelta(hours=1)


def opens(token: str, at: Any = AT) -> bool:
    return selectors.find_key_principal(key_hash=hash_of(token), at=at) is not None


def principal(token: str, at: Any = AT) -> Any:
    found = selectors.find_key_principal(key_hash=hash_of(token), at=at)
    assert found is not None
    return found[0]


def indexed(key: ApiKey) -> Any:
    """When the apex stops finding the key; False if it finds none."""
    row = KeyIndex.objects.filter(key_hash=bytes(key.key_hash)).first()
    return row.expires_at if row else False


def test_a_token_can_be_told_from_a_look_alike() -> None:
    token = new_token()
    assert re.fullmatch(r"mnd_[0-9A-Za-z]{42}", token)
    assert is_token(token)
    other = "B" if token[10] == "A" else "A"
    for wrong in (token[:10] + other + token[11:], token[:-1], token + "A", "mnd_", "", "é" * 46):
        assert not is_token(wrong)
    assert len({new_token() for _ in range(1000)}) == 1000


def test_a_key_is_stored_as_a_hash_and_acts_for_its_maker(owner: Any, events: Any) -> None:
    made = keys.create_key(name=" Nightly ", by=owner, at=AT)

    row = ApiKey.objects.get(id=made.key.id)
    assert (row.name, row.prefix, row.scopes) == ("Nightly", made.token[:12], ["*"])
    assert bytes(row.key_hash) == hash_of(made.token)
    assert indexed(row) is None
    who = principal(made.token)
    assert (who.member_id, who.role, who.permissions) == (
        owner.member_id,
        "owner",
        codes_of("owner"),
    )
    assert who.actor.as_json()["id"] == public_id("key", row.id)
    ((action, subject, detail),) = events()
    assert (action, subject) == ("orgs.api_key.created", public_id("key", row.id))
    assert made.token not in str(detail)
    assert made.token not in repr(made)


def test_scopes_cut_the_role_down_and_never_widen_it(somebody: Any) -> None:
    made = keys.create_key(
        name="Reader", scopes=["projects.view", "projects.view"], by=somebody("viewer"), at=AT
    )
    assert made.key.scopes == ["projects.view"]
    assert principal(made.token).permissions == {"projects.view"}


def test_a_key_follows_its_owners_role(owner: Any, somebody: Any) -> None:
    from apps.orgs.services.members import change_member_role

    who = somebody("admin")
    made = keys.create_key(name="Any", scopes=["projects.edit", "keys.manage"], by=who, at=AT)
    change_member_role(member_id=who.member_id, role="viewer", by=owner, at=AT)
    assert principal(made.token).permissions == frozenset()


def test_nobody_makes_a_key_with_more_than_they_have(somebody: Any, events: Any) -> None:
    viewer = somebody("viewer")
    narrow = principal(
        keys.create_key(
            name="Narrow", scopes=["keys.own", "org.view"], expires_at=AT + HOUR, by=viewer, at=AT
        ).token
    )
    before = (ApiKey.objects.count(), len(events()))
    tries: list[tuple[Any, dict[str, Any]]] = [
        (viewer, {"scopes": ["projects.create"]}),
        (narrow, {"expires_at": AT + HOUR}),
        (narrow, {"scopes": ["*"], "expires_at": AT + HOUR}),
        (narrow, {"scopes": ["projects.view"], "expires_at": AT + HOUR}),
        (narrow, {"scopes": ["org.view"]}),
        (narrow, {"scopes": ["org.view"], "expires_at": AT + 2 * HOUR}),
    ]
    for by, fields in tries:
        with pytest.raises(BeyondOwnPower):
            keys.create_key(name="More", by=by, at=AT, **fields)
    assert (ApiKey.objects.count(), len(events())) == before

    same = keys.create_key(name="Same", scopes=["org.view"], expires_at=AT + HOUR, by=narrow, at=AT)
    assert opens(same.token)


@pytest.mark.parametrize(
    "fields",
    [{"name": " "}, {"name": "x" * 81}, {"scopes": ["world.rule"]}, {"expires_at": AT}],
)
def test_values_that_will_not_do_make_nothing(owner: Any, fields: Any) -> None:
    before = ApiKey.objects.count()
    with pytest.raises(Invalid):
        keys.create_key(**{"name": "Key", **fields}, by=owner, at=AT)
    assert ApiKey.objects.count() == before


def test_an_expired_key_opens_nothing(owner: Any) -> None:
    made = keys.create_key(name="Short", expires_at=AT + HOUR, by=owner, at=AT)
    assert opens(made.token, AT + HOUR - timedelta(seconds=1))
    assert not opens(made.token, AT + HOUR)
    assert made.key.status_at(AT + HOUR) == "expired"
    assert indexed(made.key) == AT + HOUR


def test_a_replaced_key_works_until_its_grace_is_over(owner: Any, events: Any) -> None:
    old = keys.create_key(
        name="Key", scopes=["org.view"], expires_at=AT + 48 * HOUR, by=owner, at=AT
    )
    new = keys.rotate_key(key_id=old.key.id, by=owner, at=AT + HOUR)

    assert (new.key.name, new.key.scopes, new.key.rotated_from_id) == (
        "Key",
        ["org.view"],
        old.key.id,
    )
    assert new.key.expires_at == AT + 49 * HOUR
    over = AT + HOUR + keys.GRACE
    assert opens(old.token, over - timedelta(seconds=1))
    assert not opens(old.token, over)
    assert opens(new.token, over)
    old.key.refresh_from_db()
    assert (old.key.status_at(AT + HOUR), indexed(old.key)) == ("replaced", over)
    assert events()[-1][0] == "orgs.api_key.rotated"
    with pytest.raises(KeyInactive):
        keys.rotate_key(key_id=old.key.id, by=owner, at=AT + HOUR)


def test_a_key_that_is_about_to_end_gets_no_longer_life_by_replacing_another(owner: Any) -> None:
    endless = keys.create_key(name="Endless", by=owner, at=AT)
    longer = keys.create_key(name="Longer", expires_at=AT + 9 * HOUR, by=owner, at=AT)
    shorter = keys.create_key(name="Shorter", expires_at=AT + HOUR / 2, by=owner, at=AT)
    ending = keys.create_key(name="Ending", expires_at=AT + HOUR, by=owner, at=AT)
    thief, before = principal(ending.token), ApiKey.objects.count()

    for other in (endless, longer):
        with pytest.raises(BeyondOwnPower):
            keys.rotate_key(key_id=other.key.id, grace=timedelta(0), by=thief, at=AT)
        assert opens(other.token) and ApiKey.objects.get(id=other.key.id).grace_until is None
    assert ApiKey.objects.count() == before

    assert opens(keys.rotate_key(key_id=shorter.key.id, by=thief, at=AT).token)
    own = keys.rotate_key(key_id=ending.key.id, by=thief, at=AT + HOUR / 2)
    assert own.key.expires_at == AT + 3 * HOUR / 2


def test_a_key_that_was_replaced_takes_nothing_from_its_successor(owner: Any) -> None:
    leaked = keys.create_key(name="Key", by=owner, at=AT)
    mended = keys.rotate_key(key_id=leaked.key.id, by=owner, at=AT)
    thief, before = principal(leaked.token), ApiKey.objects.count()

    with pytest.raises(BeyondOwnPower):
        keys.rotate_key(key_id=mended.key.id, grace=timedelta(0), by=thief, at=AT)
    with pytest.raises(BeyondOwnPower):  # which could renew itself for ever
        keys.create_key(name="More", expires_at=AT + HOUR, by=thief, at=AT)

    assert ApiKey.objects.count() == before
    assert opens(mended.token, AT + keys.GRACE) and not opens(leaked.token, AT + keys.GRACE)
    current = principal(mended.token)
    assert opens(keys.rotate_key(key_id=mended.key.id, by=current, at=AT + HOUR).token)


def test_without_grace_the_old_key_stops_at_once(owner: Any) -> None:
    old = keys.create_key(name="Key", by=owner, at=AT)
    new = keys.rotate_key(key_id=old.key.id, grace=timedelta(0), by=owner, at=AT)
    assert (opens(old.token), indexed(old.key), opens(new.token)) == (False, False, True)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_grace_out_of_bounds_replaces_nothing(owner: Any, grace: timedelta) -> None:
    old = keys.create_key(name="Key", by=owner, at=AT)
    before = ApiKey.objects.count()
    with pytest.raises(Invalid):
        keys.rotate_key(key_id=old.key.id, grace=grace, by=owner, at=AT)
    assert ApiKey.objects.count() == before


def test_a_revoked_key_stops_at_once_and_stays_on_record(owner: Any, events: Any) -> None:
    made = keys.create_key(name="Key", by=owner, at=AT)
    assert opens(made.token)

    keys.revoke_key(key_id=made.key.id, by=owner, at=AT)
    keys.revoke_key(key_id=made.key.id, by=owner, at=AT + HOUR)

    assert not opens(made.token)
    assert indexed(made.key) is False
    assert ApiKey.objects.get(id=made.key.id).revoked_at == AT
    assert [action for action, _, _ in events()] == ["orgs.api_key.created", "orgs.api_key.revoked"]
    with pytest.raises(KeyInactive):
        keys.rotate_key(key_id=made.key.id, by=owner, at=AT)


def test_an_admin_sees_and_revokes_others_keys_but_never_gets_their_token(
    owner: Any, somebody: Any
) -> None:
    admin = somebody("admin")
    theirs = keys.create_key(name="Owner's", by=owner, at=AT)

    with pytest.raises(PermissionDenied):
        keys.rotate_key(key_id=theirs.key.id, by=admin, at=AT)
    assert opens(theirs.token)

    assert theirs.key in selectors.list_keys(by=admin)
    keys.revoke_key(key_id=theirs.key.id, by=admin, at=AT)
    assert not opens(theirs.token)


def test_others_keys_do_not_exist_for_a_member(owner: Any, somebody: Any) -> None:
    member = somebody("member")
    theirs = keys.create_key(name="Owner's", by=owner, at=AT)
    own = keys.create_key(name="Own", by=member, at=AT)

    assert list(selectors.list_keys(by=member)) == [own.key]
    for act in (keys.revoke_key, keys.rotate_key):
        with pytest.raises(NotFound):
            act(key_id=theirs.key.id, by=member, at=AT)
    with pytest.raises(NotFound):
        selectors.get_key(theirs.key.id, by=member)
    assert opens(theirs.token)


def test_use_is_written_at_most_once_a_minute(owner: Any, django_assert_num_queries: Any) -> None:
    key = keys.create_key(name="Key", by=owner, at=AT).key
    for seconds, queries, seen in ((0, 1, 0), (59, 0, 0), (60, 1, 60)):
        with django_assert_num_queries(queries):
            keys.note_use(key=key, at=AT + timedelta(seconds=seconds))
        key.refresh_from_db()
        assert key.last_used_at == AT + timedelta(seconds=seen)

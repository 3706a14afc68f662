"""Mail: once, at once or gathered, and quietly when the mail server refuses."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from apps.notify.models import Digest, Notice
from apps.notify.services import telling
from apps.notify.services.mailing import send_digest, send_mails
from apps.notify.services.pauses import AFTER, MOST_TRIES, after_try
from apps.notify.services.preferences import save_preferences
from apps.notify.services.sweeping import sweep_notices
from apps.notify.services.telling import Audience
from apps.orgs.models import Member
from tests.notify.conftest import said
from tests.orgs.conftest import AT


@pytest.fixture(autouse=True)
def _no_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are run by hand here."""
    monkeypatch.setattr(telling, "enqueue", lambda *_, **__: None)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *_: Any, **__: Any) -> int:
        raise smtplib.SMTPServerDisconnected("no")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)


def tell_owner(owner: Any, **more: Any) -> Notice:
    said(Audience(members=(owner.member_id,)), **more)
    return Notice.objects.latest("id")


def state() -> list[tuple[str, int]]:
    return list(Notice.objects.order_by("id").values_list("mail", "mail_tries"))


# At once --------------------------------------------------------------------------------------


def test_a_mail_is_text_and_html_and_leads_to_the_orgs_own_host(org: Any, owner: Any) -> None:
    tell_owner(owner, title="A <thing> & more", body="One\n\nTwo <b>")

    assert send_mails(at=AT) == 1

    (sent,) = mail.outbox
    assert sent.to == [owner.email]
    assert sent.subject == "[Acme] A <thing> & more"
    assert "http://acme.localhost:8000/things/1/" in sent.body
    assert "http://acme.localhost:8000/notifications/settings/" in sent.body
    assert "Two <b>" in sent.body
    html, kind = sent.alternatives[0]
    assert kind == "text/html"
    assert 'href="http://acme.localhost:8000/things/1/"' in html
    assert "A &lt;thing&gt; &amp; more" in html and "Two &lt;b&gt;" in html
    assert sent.extra_headers == {"Auto-Submitted": "auto-generated"}


def test_a_mail_leaves_once(owner: Any) -> None:
    tell_owner(owner)
    assert [send_mails(at=AT), send_mails(at=AT + timedelta(hours=9))] == [1, 0]
    assert len(mail.outbox) == 1 and state() == [("sent", 1)]


def test_who_has_read_it_or_left_gets_no_mail(owner: Any, somebody: Any) -> None:
    gone = somebody()
    said(Audience(members=(owner.member_id, gone.member_id)))
    Notice.objects.filter(member_id=owner.member_id).update(read_at=AT)
    Member.objects.filter(id=gone.member_id).update(left_at=AT)

    assert send_mails(at=AT) == 0
    assert mail.outbox == [] and {way for way, _ in state()} == {"none"}


@pytest.mark.usefixtures("refusing")
def test_a_refused_mail_is_tried_again_ever_more_rarely_and_given_up(owner: Any) -> None:
    notice, at, pauses = tell_owner(owner), AT, []
    for _ in range(MOST_TRIES):
        assert send_mails(at=at) == 0
        assert send_mails(at=at) == 0  # nobody tries before its time
        notice.refresh_from_db()
        if notice.mail_next_at is not None:
            pauses.append(notice.mail_next_at - at)
            at = notice.mail_next_at
    assert pauses == list(AFTER)
    assert state() == [("failed", MOST_TRIES)]


def test_one_refused_address_keeps_no_other_waiting(
    owner: Any, somebody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, send = somebody(), EmailMultiAlternatives.send

    def pick(self: Any, *args: Any, **options: Any) -> int:
        if self.to == [bad.email]:
            raise smtplib.SMTPRecipientsRefused({})
        return send(self, *args, **options)

    monkeypatch.setattr(EmailMultiAlternatives, "send", pick)
    said(Audience(members=(bad.member_id, owner.member_id)))

    assert send_mails(at=AT) == 1
    assert [sent.to for sent in mail.outbox] == [[owner.email]]
    assert {way for way, _ in state()} == {"owed", "sent"}


def test_pauses_grow_and_stay() -> None:
    assert [after_try(n) for n in (0, 1, 5, 6, 99)] == [AFTER[0], AFTER[0], *[AFTER[-1]] * 3]


# Gathered -------------------------------------------------------------------------------------


def gathered(owner: Any, number: int) -> Digest:
    save_preferences(ways={}, every="hourly", by=owner, at=AT)
    for n in range(number):
        tell_owner(owner, title=f"Thing {n}", path=f"/things/{n}/")
    return Digest.objects.get()


def test_a_digest_is_one_mail_with_what_is_unread(owner: Any) -> None:
    digest = gathered(owner, 3)
    Notice.objects.filter(title="Thing 1").update(read_at=AT)
    assert digest.due_at is not None

    assert not send_digest(digest_id=digest.id, at=digest.due_at - timedelta(seconds=1))
    assert send_digest(digest_id=digest.id, at=digest.due_at)
    assert not send_digest(digest_id=digest.id, at=digest.due_at)

    (sent,) = mail.outbox
    assert sent.subject == "[Acme] 2 new notices"
    assert "Thing 0" in sent.body and "Thing 2" in sent.body and "Thing 1" not in sent.body
    assert "http://acme.localhost:8000/things/2/" in sent.body
    assert [way for way, _ in state()] == ["sent", "none", "sent"]
    digest.refresh_from_db()
    assert (digest.due_at, digest.tries) == (None, 0)


def test_a_long_digest_says_how_many_more_there_are(owner: Any) -> None:
    digest = gathered(owner, 33)
    assert send_digest(digest_id=digest.id, at=AT + timedelta(days=1))
    assert mail.outbox[0].subject == "[Acme] 33 new notices"
    assert mail.outbox[0].body.count("Thing ") == 30
    assert "And 3 more" in mail.outbox[0].body


def test_an_empty_digest_is_not_mailed(owner: Any) -> None:
    digest = gathered(owner, 1)
    Notice.objects.update(read_at=AT)
    assert not send_digest(digest_id=digest.id, at=AT + timedelta(days=1))
    assert mail.outbox == []


@pytest.mark.usefixtures("refusing")
def test_a_refused_digest_is_tried_again_and_given_up(owner: Any) -> None:
    digest, at = gathered(owner, 1), AT + timedelta(days=1)
    for tries in range(1, MOST_TRIES + 1):
        assert not send_digest(digest_id=digest.id, at=at)
        digest.refresh_from_db()
        assert digest.tries == tries and digest.due_at == at + after_try(tries)
        at = digest.due_at
    assert state() == [("digest", 0)]
    assert not send_digest(digest_id=digest.id, at=at)
    digest.refresh_from_db()
    assert state() == [("failed", 0)] and (digest.due_at, digest.tries) == (None, 0)


def test_without_a_digest_what_waited_leaves_at_once(owner: Any) -> None:
    gathered(owner, 2)
    save_preferences(ways={}, every="off", by=owner, at=AT)
    assert send_mails(at=AT) == 2
    assert Digest.objects.get().due_at is None


# What guarantees it ---------------------------------------------------------------------------


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from apps.notify.services import sweeping

    names: list[str] = []
    monkeypatch.setattr(sweeping, "enqueue", lambda name, **_: names.append(name))
    return names


def test_the_sweeper_wakes_what_a_lost_message_left(owner: Any, woken: list[str]) -> None:
    tell_owner(owner)
    sweep_notices(AT + timedelta(seconds=5))
    assert woken == []  # its own job has the time to begin
    sweep_notices(AT + timedelta(seconds=21))
    assert woken == ["notify.send_mails"]


def test_the_sweeper_sends_due_digests(owner: Any, woken: list[str]) -> None:
    gathered(owner, 1)
    sweep_notices(AT)
    assert woken == []
    sweep_notices(AT + timedelta(hours=1))
    assert woken == ["notify.send_digest"]


def test_what_was_told_while_a_digest_left_waits_for_the_next_one(
    owner: Any, woken: list[str]
) -> None:
    gathered(owner, 1)
    Digest.objects.update(due_at=None)  # as if it had settled before the notice was committed
    sweep_notices(AT)
    due_at = telling.next_digest("hourly", AT)
    assert due_at is not None and Digest.objects.get().due_at == due_at and woken == []
    sweep_notices(due_at)
    assert woken == ["notify.send_digest"]
    assert send_digest(digest_id=Digest.objects.get().id, at=due_at) and len(mail.outbox) == 1
    sweep_notices(due_at)
    assert Digest.objects.get().due_at is None


def test_what_was_told_while_digests_were_turned_off_leaves_at_once(
    owner: Any, woken: list[str]
) -> None:
    digest = gathered(owner, 1)
    Digest.objects.update(every="off", due_at=None)  # as if before the notice was committed
    sweep_notices(AT)
    sweep_notices(AT + timedelta(seconds=21))
    assert woken == ["notify.send_mails"] and send_mails(at=AT) == 1
    digest.refresh_from_db()
    assert (digest.due_at, state()) == (None, [("sent", 1)])


def test_a_quiet_org_is_visited_when_something_is_due(
    org: Any, owner: Any, woken: list[str]
) -> None:
    from apps.tenants.models import OrgActivity

    digest = gathered(owner, 1)
    OrgActivity.objects.update_or_create(
        org_id=org.id, defaults={"last_write_at": AT, "next_due_at": None}
    )
    sweep_notices(AT)
    found = OrgActivity.objects.get(org_id=org.id).next_due_at
    assert digest.due_at is not None and found is not None
    assert digest.due_at <= found <= digest.due_at + timedelta(minutes=1)


def test_what_is_old_is_erased_and_nothing_else(owner: Any, woken: list[str]) -> None:
    ages = {"read": 91, "read lately": 89, "unread": 300, "forgotten": 366}
    for title, days in ages.items():
        tell_owner(owner, title=title, at=AT - timedelta(days=days))
        if title.startswith("read"):
            Notice.objects.filter(title=title).update(read_at=AT - timedelta(days=days))
    sweep_notices(AT)
    assert set(Notice.objects.values_list("title", flat=True)) == {"read lately", "unread"}


def test_a_quiet_org_is_visited_again_until_all_that_is_old_is_erased(
    org: Any, owner: Any, woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.notify.services import sweeping
    from apps.tenants.models import OrgActivity

    monkeypatch.setattr(sweeping, "_ERASED", 2)
    for _ in range(3):
        tell_owner(owner, at=AT - timedelta(days=366))
    Notice.objects.update(mail="sent", mail_next_at=None)
    OrgActivity.objects.update_or_create(
        org_id=org.id, defaults={"last_write_at": AT, "next_due_at": None}
    )
    due = []
    for _ in range(2):
        sweep_notices(AT)
        due.append(OrgActivity.objects.get(org_id=org.id).next_due_at)
        OrgActivity.objects.update(next_due_at=None)
    assert due == [AT, None] and not Notice.objects.exists()

"""Notices by mail: at once, or gathered in a digest.

A mail is claimed in a transaction of its own and leaves with no lock held. A mail server that
refuses is asked again after a pause; in the end the mail is given up, which is logged and concerns
nobody else. A crash between sending and noting it costs a second mail, never a lost one.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string

from apps.notify import kinds
from apps.notify.models import Digest, Notice
from apps.notify.services.pauses import MOST_TRIES, after_try
from apps.notify.services.telling import next_digest
from apps.tenants import selectors as tenants

log = structlog.get_logger(__name__)

MAILS_A_JOB: Final = 50
LISTED: Final = 30
"""How many notices a digest spells out."""
REFUSALS: Final = (smtplib.SMTPException, OSError)


def send_mails(*, at: datetime) -> int:
    """Mail what is owed; how many left. Never raises for a mail server that refuses."""
    sent = 0
    for _ in range(MAILS_A_JOB):
        notice = _claim(at)
        if notice is None:
            break
        sent += _send(notice)
    return sent


def send_digest(*, digest_id: UUID, at: datetime) -> bool:
    """Mail a member what waits for their digest, if it is due; whether a mail left."""
    claimed = _claim_digest(digest_id, at)
    if claimed is None:
        return False
    digest, rows = claimed
    if rows:
        try:
            _mail_digest(digest, rows)
        except REFUSALS as error:
            log.warning("notify.digest_refused", error=type(error).__name__, tries=digest.tries)
            return False
    _settle_digest(digest, [row.id for row in rows], at)
    return bool(rows)


def _claim(at: datetime) -> Notice | None:
    """The mail that is due longest, put off so that nobody else sends it meanwhile."""
    with transaction.atomic():
        rows = Notice.objects.select_for_update(skip_locked=True, of=("self",))
        due = rows.select_related("member").filter(mail=Notice.Mail.OWED, mail_next_at__lte=at)
        notice = due.order_by("mail_next_at").first()
        if notice is None:
            return None
        notice.mail_tries += 1
        notice.mail_next_at = at + after_try(notice.mail_tries)
        notice.save(update_fields=["mail_tries", "mail_next_at"])
    return notice


def _send(notice: Notice) -> bool:
    """Mail a claimed notice and note what became of it; who has read it or left needs none."""
    if notice.read_at is not None or notice.member.left_at is not None:
        _settle(notice, Notice.Mail.NONE)
        return False
    try:
        _mail_notice(notice)
    except REFUSALS as error:
        log.warning("notify.mail_refused", error=type(error).__name__, tries=notice.mail_tries)
        if notice.mail_tries >= MOST_TRIES:
            _settle(notice, Notice.Mail.FAILED)
        return False
    _settle(notice, Notice.Mail.SENT)
    return True


def _settle(notice: Notice, mail: str) -> None:
    mine = Notice.objects.filter(id=notice.id, mail=Notice.Mail.OWED, mail_tries=notice.mail_tries)
    mine.update(mail=mail, mail_next_at=None)


def _mail_notice(notice: Notice) -> None:
    label = kinds.label_of(notice.kind)
    _mail("notice", notice.title, notice, notice=notice, label=label, path=notice.path)


def _claim_digest(digest_id: UUID, at: datetime) -> tuple[Digest, list[Notice]] | None:
    """A due digest and what it gathers; what was read meanwhile needs no mail."""
    with transaction.atomic():
        rows = Digest.objects.select_for_update(skip_locked=True, of=("self",))
        digest = rows.select_related("member").filter(id=digest_id, due_at__lte=at).first()
        if digest is None:
            return None
        waiting = Notice.objects.filter(member_id=digest.member_id, mail=Notice.Mail.DIGEST)
        if digest.member.left_at is not None or digest.tries >= MOST_TRIES:
            given_up = Notice.Mail.FAILED if digest.tries else Notice.Mail.NONE
            waiting.update(mail=given_up)
        waiting.filter(read_at__isnull=False).update(mail=Notice.Mail.NONE)
        digest.tries += 1
        digest.due_at = at + after_try(digest.tries)
        digest.save(update_fields=["tries", "due_at"])
        return digest, list(waiting.order_by("created_at", "id")[:200])


def _settle_digest(digest: Digest, sent: Sequence[UUID], at: datetime) -> None:
    """Note what was sent; what came meanwhile waits for the next digest."""
    with transaction.atomic():
        Notice.objects.filter(id__in=sent, mail=Notice.Mail.DIGEST).update(mail=Notice.Mail.SENT)
        waiting = Notice.objects.filter(member_id=digest.member_id, mail=Notice.Mail.DIGEST)
        due_at = next_digest(digest.every, at) if waiting.exists() else None
        Digest.objects.filter(id=digest.id, tries=digest.tries).update(due_at=due_at, tries=0)


def _mail_digest(digest: Digest, rows: list[Notice]) -> None:
    number = len(rows)
    subject = "1 new notice" if number == 1 else f"{number} new notices"
    more = max(0, number - LISTED)
    _mail("digest", subject, digest, notices=rows[:LISTED], more=more, number=number)


def _mail(template: str, subject: str, row: Notice | Digest, **context: Any) -> None:
    """One mail to the row's member, as text and as HTML; its links are built from PUBLIC_URL."""
    org = tenants.get_org(row.org_id)
    context = {**context, "org": org, "settings_path": "/notifications/settings/"}
    message = EmailMultiAlternatives(
        subject=f"[{' '.join(org.name.split())}] {subject}",  # a header is one line
        body=render_to_string(f"notify/email/{template}.txt", context),
        to=[row.member.email],
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(
        render_to_string(f"notify/email/{template}.html", context), "text/html"
    )
    message.send()

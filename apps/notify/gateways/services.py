"""Which places outside are offered, and what an address of each may say.

An address comes from a person, so it may lead anywhere. Offered are therefore only services whose
hosts are known here (`hosts`; one that begins with a dot stands for all names under it), and a
signed webhook, which goes through egress as it is. What is sent is held to these hosts a second
time, where it leaves (apprise.EgressAdapter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WEBHOOK: Final = "webhook"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that Apprise speaks to: its plugin, its hosts, and the options of an address.

    Every other option is refused: among Apprise's own are some that read files, turn
    certificates off or wait for minutes. `signed` are the plugin's attributes that name the sender.
    Where a service reads Markdown, we escape the text: Apprise would escape the link with it.
    """

    code: str
    label: str
    plugin: str
    hosts: tuple[str, ...]
    shape: str
    options: frozenset[str] = frozenset()
    tone: str = "info"
    signed: tuple[tuple[str, str], ...] = ()
    is_markdown: bool = False

    def leads_to(self, host: str) -> bool:
        """Whether a host is one of the service's own."""
        return any(
            host.endswith(name) if name.startswith(".") else host == name for name in self.hosts
        )


_SERVICES: Final = (
    Service(
        "slack",
        "Slack",
        "slack.NotifySlack",
        ("hooks.slack.com", "slack.com"),
        "https://hooks.slack.com/services/… or slack://token_a/token_b/token_c",
    ),
    Service(
        "teams",
        "Microsoft Teams",
        "workflows.NotifyWorkflows",
        (".logic.azure.com", ".api.powerplatform.com"),
        "https://….logic.azure.com/workflows/…, the address of a workflow",
        frozenset({"api-version", "sp", "sv", "sig", "pa", "ver"}),
        is_markdown=True,
    ),
    Service(
        "discord",
        "Discord",
        "discord.NotifyDiscord",
        ("discord.com",),
        "https://discord.com/api/webhooks/…",
        frozenset({"thread"}),
    ),
    Service(
        "google_chat",
        "Google Chat",
        "google_chat.NotifyGoogleChat",
        ("chat.googleapis.com",),
        "https://chat.googleapis.com/v1/spaces/…/messages?key=…&token=…",
        frozenset({"key", "token", "threadkey"}),
    ),
    Service(
        "webex",
        "Webex",
        "webexteams.NotifyWebexTeams",
        ("api.ciscospark.com", "webexapis.com"),
        "https://webexapis.com/v1/webhooks/incoming/…",
        is_markdown=True,
    ),
    Service(
        "telegram",
        "Telegram",
        "telegram.NotifyTelegram",
        ("api.telegram.org",),
        "tgram://bot_token/chat_id",
        frozenset({"topic", "silent"}),
    ),
    Service(
        "pagerduty",
        "PagerDuty",
        "pagerduty.NotifyPagerDuty",
        ("events.pagerduty.com", "events.eu.pagerduty.com"),
        "pagerduty://integration_key@api_key",
        frozenset({"region"}),
        signed=(("source", "Mandate"), ("component", "Notices")),
    ),
    Service(
        "opsgenie",
        "Opsgenie",
        "opsgenie.NotifyOpsgenie",
        ("api.opsgenie.com", "api.eu.opsgenie.com"),
        "opsgenie://api_key",
        frozenset({"region", "priority"}),
        tone="warning",  # to Opsgenie an "info" is a note on an alert, and opens none
    ),
    Service(
        "pushover",
        "Pushover",
        "pushover.NotifyPushover",
        ("api.pushover.net",),
        "pover://user_key@token",
        frozenset({"priority"}),
    ),
)
SERVICES: Final = {service.code: service for service in _SERVICES}
CHOICES: Final = (
    *((service.code, service.label) for service in _SERVICES),
    (WEBHOOK, "Signed webhook"),
)


def label_of(code: str) -> str:
    return dict(CHOICES).get(code, code)

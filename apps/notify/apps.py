from django.apps import AppConfig


class NotifyConfig(AppConfig):
    name = "apps.notify"
    label = "notify"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from apps.notify import kinds, selectors
        from apps.notify.services import channels
        from apps.notify.services import sweeping as owed
        from apps.orgs import beside, leaving
        from apps.tenants import sweeping

        kinds.register(kinds.CHANNEL_PAUSED, kinds.TEST)
        beside.bring(selectors.UNREAD, selectors.unread_of_member())
        leaving.register(channels.remove_channels_of)
        sweeping.every_visit(owed.sweep_notices)

"""This app's pages on an org's host."""

from django.urls import path

from apps.policies.views import backtest, detail, listing, log, writing

app_name = "policies"
urlpatterns = [
    path("policies/", listing.index, name="policies"),
    path("policies/new/", writing.new, name="new"),
    path("policies/settings/", listing.settings, name="settings"),
    path("policies/decisions/", log.index, name="decisions"),
    path("policies/decisions/<str:ref>/", log.decision, name="decision"),
    path("policies/<str:ref>/", detail.policy, name="policy"),
    path("policies/<str:ref>/edit/", writing.edit, name="edit"),
    path("policies/<str:ref>/versions/<str:numbers>/", detail.diff, name="diff"),
    path("policies/<str:ref>/backtest/", backtest.backtest, name="backtest"),
    path("policies/<str:ref>/tests/", detail.check, name="check"),
    path("policies/<str:ref>/activate/", detail.activate, name="activate"),
    path("policies/<str:ref>/shadow/", detail.shadow, name="shadow"),
    path("policies/<str:ref>/unshadow/", detail.unshadow, name="unshadow"),
    path("policies/<str:ref>/retire/", detail.retire, name="retire"),
    path("policies/<str:ref>/attach/", detail.attach, name="attach"),
    path("policies/<str:ref>/detach/<str:attachment>/", detail.detach, name="detach"),
]

"""This app's pages on an org's host."""

from django.urls import path

from apps.approvals.views import deciding, detail, inbox, rules

app_name = "approvals"
urlpatterns = [
    path("approvals/", inbox.index, name="approvals"),
    path("approvals/rules/", rules.index, name="rules"),
    path("approvals/rules/<str:ref>/", rules.rule, name="rule"),
    path("approvals/rules/<str:ref>/remove/", rules.remove, name="rule_remove"),
    path("approvals/<str:ref>/", detail.index, name="approval"),
    path("approvals/<str:ref>/approve/", deciding.approve, name="approve"),
    path("approvals/<str:ref>/reject/", deciding.reject, name="reject"),
    path("approvals/<str:ref>/break-glass/", deciding.break_glass, name="break_glass"),
    path("approvals/<str:ref>/cancel/", deciding.cancel, name="cancel"),
]

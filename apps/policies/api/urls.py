from django.urls import path

from apps.policies.api import decisions, views

urlpatterns = [
    path("policies", views.PoliciesView.as_view()),
    path("policies/test", views.TryView.as_view()),
    path("policies/backtest", views.BacktestsView.as_view()),
    path("policies/backtests/<str:backtest>", views.BacktestView.as_view()),
    path("policies/settings", views.SettingsView.as_view()),
    path("policies/<str:policy>", views.PolicyView.as_view()),
    path("policies/<str:policy>/versions", views.VersionsView.as_view()),
    path("policies/<str:policy>/tests", views.CheckTestsView.as_view()),
    path("policies/<str:policy>/activate", views.ActivateView.as_view()),
    path("policies/<str:policy>/shadow", views.ShadowView.as_view()),
    path("policies/<str:policy>/attachments", views.AttachmentsView.as_view()),
    path("policies/<str:policy>/attachments/<str:attachment>", views.AttachmentView.as_view()),
    path("decisions", decisions.DecisionsView.as_view()),
    path("decisions/<str:decision>", decisions.DecisionView.as_view()),
]

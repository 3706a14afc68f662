from django.urls import path

from apps.approvals.api import views

urlpatterns = [
    path("approvals", views.ApprovalsView.as_view()),
    path("approvals/<str:approval>", views.ApprovalView.as_view()),
    path("approvals/<str:approval>/approve", views.ApproveView.as_view()),
    path("approvals/<str:approval>/reject", views.RejectView.as_view()),
    path("approvals/<str:approval>/break-glass", views.BreakGlassView.as_view()),
    path("approvals/<str:approval>/cancel", views.CancelView.as_view()),
    path("approval-rules", views.RulesView.as_view()),
    path("approval-rules/<str:rule>", views.RuleView.as_view()),
]

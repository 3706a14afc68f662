from django.urls import path

from apps.runs.api import views
from apps.runs.api.feedback import RunFeedbackView
from apps.runs.api.saved_views import SavedViewView, ViewsView

urlpatterns = [
    path("agents/<str:agent>/invoke", views.InvokeView.as_view()),
    path("runs", views.RunsView.as_view()),
    path("runs/views", ViewsView.as_view()),
    path("runs/views/<str:view>", SavedViewView.as_view()),
    path("runs/<str:run>", views.RunView.as_view()),
    path("runs/<str:run>/cancel", views.RunCancelView.as_view()),
    path("runs/<str:run>/events", views.RunEventsView.as_view()),
    path("runs/<str:run>/feedback", RunFeedbackView.as_view()),
    path("runs/<str:run>/steps", views.RunStepsView.as_view()),
    path("runs/<str:run>/logs", views.RunLogsView.as_view()),
]

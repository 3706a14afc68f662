"""The apex's URLs, and those of the two yardsticks."""

from django.urls import path

from config.urls.apex import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls.apex import urlpatterns as apex
from tests.bench import views

urlpatterns = [
    path("bench/bare", views.bare),
    path("v1/bench/plain", views.PlainView.as_view()),
    *apex,
]

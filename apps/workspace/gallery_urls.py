"""`/ui/`, on the apex."""

from django.urls import path

from apps.workspace.views import gallery

urlpatterns = [path("", gallery, name="gallery")]

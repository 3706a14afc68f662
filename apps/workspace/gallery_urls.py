"""`/ui/`, on the apex."""

from django.urls import path

from apps.workspace.gallery import gallery

urlpatterns = [path("", gallery, name="gallery")]

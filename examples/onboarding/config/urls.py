"""The admin, and a stream for browsers."""

from django.contrib import admin
from django.urls import path
from onboarding.views import import_events

urlpatterns = [
    path("admin/", admin.site.urls),
    path("imports/<uuid:execution_id>/events/", import_events),
]

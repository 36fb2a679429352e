"""The screens as a Django app; it has no rows of its own."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "dashboard"

    def ready(self) -> None:
        from dashboard import checks  # noqa: F401, PLC0415 # registers itself

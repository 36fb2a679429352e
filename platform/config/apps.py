"""The top room as a Django app: it knows all others, and owns the commands that start them."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        # Whoever sends a task uses Celery's current application: ours, in every process that has Django set up.
        import config.celery  # noqa: F401

"""The top room as a Django app: it knows all others, and owns the commands that start them."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

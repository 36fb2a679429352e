"""The addresses that vendors call. Opaque ids only; never redirected, never rebuilt from headers."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

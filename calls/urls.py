"""The addresses that vendors call. Opaque ids only; never redirected, never rebuilt from headers. Built by calls.services.addresses."""

from __future__ import annotations

from django.urls import URLPattern, path

from calls.webhooks import openai, views

urlpatterns: list[URLPattern] = [
    path("twilio/voice/<str:name>/", views.voice, name="twilio-voice"),
    path("twilio/fallback/<str:name>/", views.fallback, name="twilio-fallback"),
    path("twilio/status/<str:name>/", views.number_status, name="twilio-status"),
    path("twilio/spend/<str:name>/", views.spend, name="twilio-spend"),
    path("twilio/resume/<str:name>/", views.resume, name="twilio-resume"),
    path("twilio/stream/<str:name>/", views.stream_status, name="twilio-stream"),
    path("twilio/leg/<str:name>/", views.leg_status, name="twilio-leg"),
    path("twilio/dial/<str:name>/", views.dial, name="twilio-dial"),
    path("twilio/sip/<str:name>/", views.sip, name="twilio-sip"),
    path("twilio/refer/<str:name>/", views.refer, name="twilio-refer"),
    path("twilio/trunk/<str:name>/", views.trunk, name="twilio-trunk"),
    path("openai/", openai.incoming, name="openai"),
    path("twilio/voicemail/<str:name>/", views.voicemail, name="twilio-voicemail"),
    path("twilio/recording/<str:name>/", views.recording, name="twilio-recording"),
]

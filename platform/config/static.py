"""Static files with content hashes in their names, served by WhiteNoise in a way that ASGI can stream; nothing private passes here."""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

from dashboard.streams import await_pieces


class StaticMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise hands out a plain file: under ASGI it would be read whole before its first byte leaves, with a warning each time."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> Any:
        response = WhiteNoiseMiddleware.serve(static_file, request)
        if isinstance(request, ASGIRequest):
            response.streaming_content = await_pieces(iter(response.streaming_content))
        return response


class ManifestStorage(CompressedManifestStaticFilesStorage):
    """Drops *.map and the comments that point to them; a missing entry is an error once files were collected."""

    def stored_name(self, name: str) -> str:
        """The hashed name; before anything was collected (tests, development) the plain one, which the finders serve."""
        return str(super().stored_name(name)) if self.hashed_files else name

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Any:
        kept = {name: source for name, source in paths.items() if not name.endswith(".map")}
        return super().post_process(kept, dry_run, **options)

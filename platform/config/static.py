"""Static files with content hashes in their names, served by WhiteNoise in a way that ASGI can stream; nothing private passes here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

from dashboard.streams import AwaitedPieces


class StaticMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise hands out a plain file: under ASGI it would be read whole before its first byte leaves, with a warning each time."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> Any:
        response = WhiteNoiseMiddleware.serve(static_file, request)
        if isinstance(request, ASGIRequest):
            response.streaming_content = AwaitedPieces(iter(response.streaming_content))
        return response


class PackageFinder(BaseFinder):
    """Finds single files of npm packages (settings.PACKAGE_FILES): a package's folder holds hundreds that no page asks for."""

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        self.sources: dict[str, Path] = {
            address: source for address, source in settings.PACKAGE_FILES.items() if source.is_file()
        }

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return []  # missing packages are dashboard.checks' business

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        source = self.sources.get(path)
        if find_all or kwargs.get("all"):
            return [str(source)] if source else []
        return str(source) if source else None

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[Any]:
        for address, source in self.sources.items():
            storage = FileSystemStorage(location=source.parent)
            storage.prefix = address.rpartition("/")[0]  # type: ignore[attr-defined]  # as Django's own finders do
            yield source.name, storage


class ManifestStorage(CompressedManifestStaticFilesStorage):
    """Hashes names and leaves comments about source maps alone: the maps are not served."""

    patterns = tuple(
        (files, tuple(rule for rule in rules if "sourceMappingURL" not in str(rule)))
        for files, rules in CompressedManifestStaticFilesStorage.patterns
    )

    def stored_name(self, name: str) -> str:
        """The hashed name; before anything was collected (tests, development) the plain one, which the finders serve."""
        return str(super().stored_name(name)) if self.hashed_files else name

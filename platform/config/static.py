"""Static files with content hashes in their names, without the source maps that vendors' files point at."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ManifestStorage(CompressedManifestStaticFilesStorage):
    """Drops *.map and the comments that point to them; a missing entry is an error only where files were collected."""

    manifest_strict = False

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Any:
        kept = {name: source for name, source in paths.items() if not name.endswith(".map")}
        return super().post_process(kept, dry_run, **options)

"""Static files with content hashes in their names, without the source maps that vendors' files point at."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ManifestStorage(CompressedManifestStaticFilesStorage):
    """Drops *.map and the comments that point to them; a missing entry is an error once files were collected."""

    def stored_name(self, name: str) -> str:
        """The hashed name; before anything was collected (tests, development) the plain one, which the finders serve."""
        return str(super().stored_name(name)) if self.hashed_files else name

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Any:
        kept = {name: source for name, source in paths.items() if not name.endswith(".map")}
        return super().post_process(kept, dry_run, **options)

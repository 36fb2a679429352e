#!/usr/bin/env python
"""Django's command line. The source roots come from the editable install (pyproject.toml), never from sys.path."""

import os
import sys

# These read code and files only; everything else may talk to the database or to Redis.
_WITHOUT_ENGINES = frozenset(
    {
        "check",
        "collectstatic",
        "compilemessages",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "render_vocabulary",
        "startapp",
        "version",
    }
)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    if _needs_engines(sys.argv[1:]):
        from config.engines.attach import attach_engines
        from config.engines.errors import EngineError

        try:
            attach_engines()
        except EngineError as error:
            sys.exit(str(error))  # says what to do; a stack would hide it
    execute_from_command_line(sys.argv)


def _needs_engines(arguments: list[str]) -> bool:
    if not arguments or {"-h", "--help", "--version"} & set(arguments):
        return False
    return arguments[0] not in _WITHOUT_ENGINES or any(argument.startswith("--database") for argument in arguments)


if __name__ == "__main__":
    main()

"""`python -m config.local run|clean|secrets`: what the Makefile calls."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from config.local.home import Home, HomeInUse, new_secrets


def run() -> int:
    """Serve the product in the foreground."""
    from config.local.supervisor import serve  # the image has no embedded services to import

    return serve(Home.of(), os.environ)


def clean() -> int:
    """Remove the home with everything that it keeps, outside of it too; refuses while it serves."""
    from config.local import place

    home = Home.of()
    if not (home.path / "lock").exists():
        sys.stdout.write(f"Nothing to remove at {home.path}.\n")
        return 0
    with home.lock():
        place.remove(home)
        shutil.rmtree(home.path)
    sys.stdout.write(f"Removed {home.path}.\n")
    return 0


def secrets() -> int:
    """Print fresh values for the secrets that docker-compose.yml asks for, as an .env file."""
    logins = ("POSTGRES_PASSWORD", "MANDATE_OWNER_PASSWORD", "MANDATE_APP_PASSWORD")
    values = new_secrets() | {
        name: new_secrets()["SECRET_KEY"] for name in (*logins, "REDIS_PASSWORD")
    }
    sys.stdout.writelines(f"{name}={value}\n" for name, value in values.items())
    return 0


COMMANDS: dict[str, Callable[[], int]] = {"run": run, "clean": clean, "secrets": secrets}


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0] not in COMMANDS:
        sys.stderr.write(f"usage: python -m config.local {{{'|'.join(COMMANDS)}}}\n")
        return 2
    try:
        return COMMANDS[argv[0]]()
    except HomeInUse as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

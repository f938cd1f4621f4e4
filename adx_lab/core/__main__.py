"""``python -m adx_lab.core [serve|worker|migrate|seed|sample|forget|settings]``: settings: ``ADX_CORE_*``.

An error is one line on stderr: exit 2 for what somebody has to correct, 3 for what could not be done.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adx_lab.core.errors import CoreError
from adx_lab.core.monitoring.logs import configure_logs
from adx_lab.core.server.processes import die_with_parent
from adx_lab.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALES = ("small", "standard", "large")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ)
        configure_logs(settings.log_level)
        if settings.die_with_parent:
            die_with_parent(os.getppid())
        _run(arguments, settings)
    except CoreError as error:
        print(f"adx_lab.core: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adx_lab.core", description="ADX Core, the reference service"
    )
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("serve", help="serve HTTP until stopped (the default)")
    verbs.add_parser("migrate", help="make the tables and indexes where they are missing")
    verbs.add_parser("worker", help="run durable workflows until stopped")
    seed = verbs.add_parser("seed", help="make the data set")
    seed.add_argument("--scale", choices=SCALES, default="small")
    seed.add_argument("--seed", type=int, default=42)
    seed.add_argument("--replace", action="store_true", help="drop the tables that are there first")
    forget = verbs.add_parser(
        "forget", help="make every cache forget: after roles or tenants were changed in SQL"
    )
    forget.add_argument("--tenant", default="", help="only what belongs to this tenant")
    verbs.add_parser("settings", help="show every rule and setting as resolved, as JSON")
    sample = verbs.add_parser("sample", help="write what a load generator needs to know of the data set")
    sample.add_argument("--out", type=Path, required=True)
    return parser


def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    # Each verb imports what it needs: a migration need not load the server.
    match arguments.verb:
        case "migrate":
            from adx_lab.core.database.schema import migrate  # noqa: PLC0415

            migrate(settings)
        case "seed":
            from adx_lab.core.database.dataset import seed  # noqa: PLC0415

            seed(settings, arguments.scale, arguments.seed, replace=arguments.replace)
        case "sample":
            from adx_lab.core.database.sample import write_sample  # noqa: PLC0415

            write_sample(settings, arguments.out)
        case "forget":
            from adx_lab.core.cache.invalidation import forget  # noqa: PLC0415

            forget(settings, arguments.tenant)
        case "settings":
            from adx_lab.core.settings import described  # noqa: PLC0415

            print(described(settings))  # noqa: T201
        case "worker":
            from adx_lab.core.workflows.worker import work  # noqa: PLC0415

            work(settings)
        case _:
            from adx_lab.core.server.main import serve  # noqa: PLC0415

            serve(settings)


if __name__ == "__main__":
    sys.exit(main())

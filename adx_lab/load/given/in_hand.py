"""Keep Locust in the lab's hands: how it is spread, where it listens and logs, whether it has a page.

A ``locust.conf`` or the environment can say so too. There ``master = true`` would let Locust wait for workers
that never come, and ``headful = true`` for somebody who looks at its page. What the lab's own command line
does not say is then set back, and told: ``adx_unheeded`` of the options that Locust goes by.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import events

_FLAGS = {
    "master": "--master",
    "worker": "--worker",
    "processes": "--processes",
    "expect_workers": "--expect-workers",
    "expect_workers_max_wait": "--expect-workers-max-wait",
    "master_bind_host": "--master-bind-host",
    "master_bind_port": "--master-bind-port",
    "master_host": "--master-host",
    "master_port": "--master-port",
    "headless": "--headless",
    "headful": "--headful",
    "autostart": "--autostart",
    "autoquit": "--autoquit",
    "web_host": "--web-host",
    "web_port": "--web-port",
    "logfile": "--logfile",
    "skip_log_setup": "--skip-log-setup",
    "list_commands": "--list",
    "show_task_ratio": "--show-task-ratio",
    "show_task_ratio_json": "--show-task-ratio-json",
}
"""By the name of what Locust's parser makes of it."""


def keep_in_hand() -> None:
    """Let the lab's command line alone decide on what is the lab's to say."""
    hook: Any = events.init_command_line_parser
    hook.add_listener(_settle)


def _settle(parser: Any) -> None:
    parse = parser.parse_args

    def parse_args(*args: Any, **more: Any) -> Any:
        options = parse(*args, **more)
        others = [
            name
            for name, flag in _FLAGS.items()
            if flag not in sys.argv and getattr(options, name) != parser.get_default(name)
        ]
        for name in others:
            setattr(options, name, parser.get_default(name))
        options.adx_unheeded = sorted(_sources(parser, others))
        return options

    parser.parse_args = parse_args


def _sources(parser: Any, names: list[str]) -> Iterator[str]:
    for source, said in parser.get_source_to_settings_dict().items():
        file = source.partition("|")[2]
        for key, (action, _) in said.items():
            if action is not None and action.dest in names:
                yield f"{key} of {Path(file).name}" if file else key

"""The `roadseg` command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
import sys
from typing import Any

COMMANDS = ('demo', 'segment', 'check')


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a subcommand.

    :param arguments: of the command line (default: the process's).
    :return: exit status; 2 for what the user can mend, said in one line on stderr, 130 if
        interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(arguments).parse_args(arguments)
    from roadseg_ros.inference.engines import EngineError

    try:
        return _module(options.command).run(options)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, EngineError) as error:
        print(f'roadseg {options.command}: {error}', file=sys.stderr)
        return 2


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only what is asked for is imported."""
    parser = argparse.ArgumentParser(
        prog='roadseg', description='Semantic segmentation of road scenes.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    asked = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    for name in asked:
        _module(name).add_parser(subparsers)
    return parser


def _module(command: str) -> Any:
    """Return the module of a subcommand: `add_parser(subparsers)` and `run(options) -> int`."""
    return import_module(f'roadseg_ros.tools.{command}')


if __name__ == '__main__':
    sys.exit(main())

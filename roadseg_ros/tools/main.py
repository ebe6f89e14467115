"""The `roadseg` command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
import signal
import sys
import threading
from typing import Any

COMMANDS = ('demo', 'segment', 'check', 'benchmark', 'doctor')
# of torch, which is not imported here; its CPU allocator has no error class of its own
OUT_OF_MEMORY = ('out of memory', "can't allocate memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a subcommand.

    :param arguments: of the command line (default: the process's).
    :return: exit status; 2 for what the user can mend, said in one line on stderr, 130 if
        interrupted.
    :raises SystemExit: 143 on SIGTERM, after the same tidying up as on an interrupt.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser, commands = _parsers(arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # said with the usage of the command, where they come after it
        asked = commands[options.command] if arguments[0] in COMMANDS else parser
        asked.error(f'unrecognized arguments: {" ".join(unknown)}')
    try:
        with _ended_by_signal():
            return _module(options.command).run(options)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        said = str(error)
    except (RuntimeError, MemoryError) as error:
        # not before: `doctor` runs where nothing else can be imported
        from roadseg_ros.inference.engines import EngineError

        said = ' '.join(str(error).split()) or 'out of memory'
        if not isinstance(error, (EngineError, MemoryError)) and not any(
                text in said for text in OUT_OF_MEMORY):
            raise
    print(f'roadseg {options.command}: {said}', file=sys.stderr)
    return 2


def _parsers(arguments: Sequence[str]
             ) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Return the parser and those of the commands; only what is asked for is imported."""
    parser = argparse.ArgumentParser(
        prog='roadseg', description='Semantic segmentation of road scenes.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    asked = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    for name in asked:
        _module(name).add_parser(subparsers)
    return parser, subparsers.choices


def _module(command: str) -> Any:
    """Return the module of a subcommand: `add_parser(subparsers)` and `run(options) -> int`."""
    return import_module(f'roadseg_ros.tools.{command}')


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that outputs are finished and processes ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(*_: object) -> None:
    """Leave; a second signal does not disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


if __name__ == '__main__':
    sys.exit(main())

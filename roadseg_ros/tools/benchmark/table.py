"""The figures as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LEGEND = """Milliseconds a frame, median / 95th percentile.
node: from one frame to the next, with frames always waiting
overhead: what the node takes more than the segmenter just before it
in the node, mask, overlay: a frame at a time, from its arrival until all is published, and from
  publishing it until mask and overlay are received"""


def as_text(results: dict[str, Any]) -> str:
    """
    Return what people read in the terminal.

    :param results: as stored.
    """
    engines = results['engines']
    machine = results['machine']
    parts = [
        f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory_gb"]:.0f} GB'
        + (f', {machine["gpu"]}' if machine['gpu'] else ''),
        LEGEND,
        _table(('engine', 'frames', 'segmenter', 'node', 'overhead', 'in the node', 'mask',
                'overlay', 'start s', 'memory MB'),
               [_frame_row(name, case) for name, engine in engines.items()
                for case in engine['frames'] if 'error' not in case])]
    cameras = [_camera_row(name, case) for name, engine in engines.items()
               for case in engine['cameras'] if 'error' not in case]
    if cameras:
        parts += ['Several cameras at once; of each of them, from the worst to the best.',
                  _table(('engine', 'cameras', 'sent Hz', 'masks Hz', 'dropped %', 'mask ms',
                          'p95', 'memory MB'), cameras)]
    return '\n\n'.join([*parts, *(['\n'.join(complaints(results))] if complaints(results)
                                  else [])])


def complaints(results: dict[str, Any]) -> list[str]:
    """Return a line for each thing that could not be measured."""
    return [*(f'not here: {name}: {reason}' for name, reason in results['absent'].items()),
            *(f'not measured: {name}: {reason}' for name, reason in results['failed'].items()),
            *(f'not measured: {name} {case_name(case)}: {case["error"]}'
              for name, engine in results['engines'].items()
              for case in (*engine['frames'], *engine['cameras']) if 'error' in case)]


def case_name(case: dict[str, Any]) -> str:
    """Return what a case is called: '480x360', '480x360, cache POLICY' or '3 cameras'."""
    if 'cameras' in case:
        return f'{case["cameras"]} camera{"s" * (case["cameras"] > 1)}'
    return case['size'] + (f', cache {case["cache"]}' if case['cache'] != 'off' else '')


def _frame_row(engine: str, case: dict[str, Any]) -> tuple[str, ...]:
    latency, overhead = case['latency_ms'], case['overhead_ms']['node']
    return (engine, case_name(case), _pair(case['segmenter_ms']), _pair(case['node_ms']),
            f'{overhead:+.1f}', f'{case["inside_ms"]:.1f}', _pair(latency['mask']),
            _pair(latency['overlay']), f'{case["start_up_s"]:.1f}',
            _megabytes(case['peak_memory_mb']))


def _camera_row(engine: str, case: dict[str, Any]) -> tuple[str, ...]:
    each = case['each']
    answered = [camera['latency_ms'] for camera in each if camera['latency_ms']]
    return (engine, str(case['cameras']), _span([camera['sent_hz'] for camera in each]),
            _span([camera['masks_hz'] for camera in each]),
            _span([-camera['dropped_percent'] for camera in each], -1),
            _span([-latency['median'] for latency in answered], -1),
            _span([-latency['p95'] for latency in answered], -1),
            _megabytes(case['peak_memory_mb']))


def _pair(summary: dict[str, float]) -> str:
    return f'{summary["median"]:.1f} / {summary["p95"]:.1f}'


def _span(values: Sequence[float], sign: int = 1) -> str:
    """Return lowest and highest value, one where they read the same."""
    if not values:
        return '-'
    low, high = (f'{sign * value:.1f}' for value in (min(values), max(values)))
    return low if low == high else f'{low} to {high}'


def _megabytes(value: float | None) -> str:
    return '-' if value is None else f'{value:.0f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns, the first two to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return '\n'.join('  '.join(
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths))) for row in (head, *rows))

"""What lines a street on both sides: buildings, gardens and fences."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from roadseg_ros.scenes.brush import (
    across,
    along,
    Brush,
    BUILDING,
    DETAIL_M,
    FENCE,
    split,
    TREE,
    vary,
)
from roadseg_ros.scenes.things import draw_crown, LEAVES, PAINTS

_WALLS = ((70, 85, 150), (90, 120, 165), (150, 185, 210), (120, 150, 185), (165, 170, 175),
          (110, 115, 125), (185, 205, 215), (60, 75, 115), (150, 150, 130))
_ROOFS = ((60, 65, 85), (55, 70, 120), (75, 70, 70))
_FENCES = ((75, 115, 160), (60, 90, 125), (85, 130, 185), (150, 160, 165), (120, 140, 120))


def draw_building(brush: Brush, dice: Random, x: float, start: float, length: float) -> None:
    """Draw a house front along the road at `x`, with windows, doors and a roof."""
    height = dice.choice((5.8, 8.8, 8.8, 11.8, 14.8))
    color = vary(dice, dice.choice(_WALLS))
    light, out, end = brush.facing(x), math.copysign(1, x), start + length
    pitched = height < 9
    if pitched:
        brush.fill([(x, height, start), (x, height, end), (x + 3 * out, height + 2.5, end),
                    (x + 3 * out, height + 2.5, start)], dice.choice(_ROOFS), BUILDING, light)
        brush.fill([(x, height, start), (x + 3 * out, height + 2.5, start),
                    (x + 6 * out, height, start)], color, BUILDING, 0.9 * brush.light[2])
    brush.fill(across(x, x + (6 if pitched else 9) * out, 0, height, start), color, BUILDING,
               0.9 * brush.light[2])
    brush.fill(along(x, 0, height, start, end), color, BUILDING, light)
    brush.fill(along(x, 0, 0.7, start, end), color, BUILDING, 0.7 * light)
    if start - brush.camera.z < DETAIL_M:
        _draw_windows(brush, dice, x, start, length, height)


def _draw_windows(brush: Brush, dice: Random, x: float, start: float, length: float,
                  height: float) -> None:
    light, end = brush.facing(x), start + length
    glass, frame = vary(dice, (85, 75, 62)), vary(dice, (200, 205, 205))
    width = dice.uniform(0.9, 1.4)
    windows = [(floor + 0.9, column) for floor in np.arange(0, height - 2.5, 3)
               for column in np.arange(start + 0.8, end - width, 2.4)
               if column + width > brush.camera.enters(x)]
    brush.fill([along(x, y - 0.12, y + 1.62, z - 0.12, z + width + 0.12) for y, z in windows],
               frame, BUILDING, light)
    brush.fill([along(x, y, y + 1.5, z, z + width) for y, z in windows], glass, BUILDING, light)
    door = start + dice.uniform(0.3, 0.7) * length
    brush.fill(along(x, 0, 2.3, door, door + 1.2), dice.choice(PAINTS), BUILDING, 0.7 * light)


def draw_shop(brush: Brush, dice: Random, x: float, start: float, length: float) -> None:
    """Draw a building whose ground floor is a shop window under a coloured board."""
    draw_building(brush, split(dice), x, start, length)
    light, end = brush.facing(x), start + length
    brush.fill(along(x, 0, 3.4, start + 0.3, end - 0.3), vary(dice, dice.choice(PAINTS)),
               BUILDING, 0.8 * light)
    brush.fill(along(x, 0.6, 2.6, start + 0.8, end - 0.8), (80, 72, 66), BUILDING, light)


def draw_garden(brush: Brush, dice: Random, x: float, start: float, length: float) -> None:
    """Draw a hedge with trees behind it."""
    color, out = vary(dice, dice.choice(LEAVES)), math.copysign(1, x)
    height = dice.uniform(1.9, 2.8)
    for z in (start + 0.75 * length, start + 0.25 * length):
        draw_crown(brush, dice, x + 2 * out, dice.uniform(4.0, 5.5), z, dice.uniform(2.4, 3.4))
    light = brush.facing(x)
    brush.fill(across(x, x + 9 * out, 0, height, start), color, TREE, 0.8 * light)
    brush.fill(along(x, 0, height, start, start + length), color, TREE, 0.95 * light)
    if start - brush.camera.z > DETAIL_M:
        return
    leaves = [(dice.uniform(0.2, height - 0.2), start + dice.uniform(0, length - 0.5))
              for _ in range(24)]
    for part, tone in ((leaves[::2], 0.7), (leaves[1::2], 1.25)):
        brush.fill([along(x, y - 0.2, y + 0.2, z, z + 0.5) for y, z in part],
                   color, TREE, tone * light)


def draw_fenced_yard(brush: Brush, dice: Random, x: float, start: float, length: float) -> None:
    """Draw a fence of upright boards, with a garden or a house set back behind it."""
    out = math.copysign(1, x)
    behind = draw_garden if dice.random() < 0.5 else draw_building
    behind(brush, split(dice), x + 3 * out, start, length)
    draw_fence(brush, dice, x, start, length)


def draw_fence(brush: Brush, dice: Random, x: float, start: float, length: float) -> None:
    """Draw a fence of upright boards along the road at `x`."""
    height, color = dice.uniform(1.5, 2.1), vary(dice, dice.choice(_FENCES))
    light, end = brush.facing(x), start + length
    brush.fill(along(x, 0, height, start, end), color, FENCE, light)
    boards = np.arange(start, end - 0.2, 0.5)
    boards = boards[boards > brush.camera.enters(x) - 0.5]
    brush.fill([along(x, 0, height, z, z + 0.16) for z in boards], color, FENCE, 0.55 * light)
    for y in (0.35, height - 0.4):
        brush.fill(along(x, y, y + 0.14, start, end), color, FENCE, 1.25 * light)

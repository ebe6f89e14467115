"""What stands and moves along a street: trees, posts, signs, cars and people."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from roadseg_ros.scenes.brush import (
    across,
    along,
    BICYCLIST,
    box,
    Brush,
    CAR,
    CIRCLE,
    Color,
    DETAIL_M,
    PEDESTRIAN,
    Point,
    POLE,
    ROAD,
    SIGN,
    split,
    TREE,
    vary,
)

CAR_LENGTH_M = 4.2
LEAVES = ((45, 85, 60), (40, 100, 80), (50, 75, 50), (35, 90, 95))
PAINTS = ((40, 35, 170), (140, 60, 30), (200, 200, 205), (45, 45, 48), (150, 150, 155),
           (230, 230, 230), (90, 95, 30), (30, 110, 190))
_COATS = ((60, 40, 40), (110, 50, 45), (50, 40, 130), (45, 45, 45), (120, 110, 130), (70, 30, 90),
          (165, 150, 150), (110, 90, 50))
_HIGH_VISIBILITY = ((40, 240, 220), (30, 140, 250), (60, 245, 150))
_SKIN = ((130, 160, 205), (95, 125, 170), (60, 80, 120))
_SIGNS = ((40, 30, 205), (190, 80, 25), (40, 200, 240), (80, 130, 20))
_TRIANGLE = np.array([(-1.15, -0.9), (1.15, -0.9), (0, 1.1)])


def draw_tree(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a street tree: a trunk under a crown of leaves."""
    crown, radius = dice.uniform(4.2, 5.2), dice.uniform(1.6, 2.3)
    bark = vary(dice, (55, 70, 88))
    brush.fill_flat(x, 0, z, box(-0.24, 0.24, 0, crown), bark, TREE)
    brush.fill_flat(x, 0, z, box(-0.24, -0.02, 0, crown), bark, TREE, 0.6)
    draw_crown(brush, dice, x, crown, z, radius)


def draw_crown(brush: Brush, dice: Random, x: float, y: float, z: float, radius: float) -> None:
    """Draw a ball of leaves around `x`, `y` and `z`."""
    dice = split(dice)
    color = vary(dice, dice.choice(LEAVES))
    ripple = np.array([[dice.uniform(0.85, 1.1)] for _ in range(14)])
    brush.fill_flat(x, y, z, CIRCLE * ripple * radius, color, TREE, 0.7)
    if z - brush.camera.z > DETAIL_M:
        return
    for tone, lift in ((0.5, -0.25), (1.0, 0.1), (1.3, 0.3)):
        clumps = [CIRCLE[::2] * radius * dice.uniform(0.14, 0.3)
                  + (dice.uniform(-0.6, 0.6) * radius, (lift + dice.uniform(-0.4, 0.4)) * radius)
                  for _ in range(5)]
        brush.fill_flat(x, y, z, clumps, color, TREE, tone)


def draw_lamp_post(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a lamp post with its arm over the road."""
    height, reach = dice.uniform(5.5, 7.0), -math.copysign(1.4, x)
    color = vary(dice, dice.choice(((135, 140, 135), (105, 115, 105), (160, 160, 160))))
    _draw_pole(brush, x, z, 0.2, height, color)
    brush.fill_flat(x, height, z, box(min(reach, 0), max(reach, 0), -0.3, 0), color, POLE, 0.7)
    brush.fill_flat(x + reach, height, z, box(-0.35, 0.35, -0.4, 0.05), color, POLE, 1.2)


def draw_sign(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a traffic sign on its post."""
    color, bottom, size = dice.choice(_SIGNS), dice.uniform(1.9, 2.3), dice.uniform(0.5, 0.65)
    plate = dice.choice((CIRCLE * size, _TRIANGLE * size, box(-size, size, -size, size),
                         box(-1.5 * size, 1.5 * size, -size, size)))
    _draw_pole(brush, x, z, 0.15, bottom + 0.2, (140, 142, 140))
    center = bottom + size
    inner = (235, 235, 235) if dice.random() < 0.7 else (50, 45, 45)
    brush.fill_flat(x, center, z, plate, color, SIGN, 1.1)
    brush.fill_flat(x, center, z, plate * 0.62, inner, SIGN, 1.0)
    brush.fill_flat(x, center, z, box(-0.12, 0.12, -0.25, 0.25), color, SIGN, 0.8)


def _draw_pole(brush: Brush, x: float, z: float, half: float, height: float, color: Color) -> None:
    brush.fill_flat(x, 0, z, box(-half, half, 0, height), color, POLE, 0.5)
    brush.fill_flat(x, 0, z, box(-0.5 * half, 0.6 * half, 0, height), color, POLE)
    brush.fill_flat(x, 0, z, box(-1.2 * half, 1.2 * half, 0, 0.6), color, POLE, 0.7)


def draw_car(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a car from `z` on; on the other side of the road it shows its front."""
    color, roof = vary(dice, dice.choice(PAINTS)), dice.uniform(1.42, 1.75)
    left, right, end = x - 0.9, x + 0.9, z + CAR_LENGTH_M
    side = left if x > brush.camera.x else right
    brush.fill(_floor(x - 1, x + 1, 0, z - 0.15, end), (52, 50, 50), ROAD)
    brush.fill(across(left, right, 0.2, 0.8, end), (30, 30, 30), CAR)
    brush.fill(_floor(left, right, 0.92, z, end), color, CAR, 1.15)
    _draw_cabin(brush, x, z, side, roof, color)
    brush.fill(along(side, 0.3, 0.92, z, end), color, CAR, brush.facing(x))
    for wheel in (z + 0.75, z + 3.4):
        for radius, tone in ((0.36, (28, 28, 28)), (0.2, (135, 135, 135))):
            disc = np.column_stack([np.full(len(CIRCLE), side), CIRCLE[:, 1] * radius + 0.34,
                                    CIRCLE[:, 0] * radius + wheel])
            brush.fill(disc, tone, CAR)
    _draw_bumper(brush, x, z, color)


def _draw_cabin(brush: Brush, x: float, z: float, side: float, roof: float, color: Color) -> None:
    inner = x + math.copysign(0.72, side - x)
    door = np.array([(side, 0.9, z + 0.5), (side, 0.9, z + 3.3),
                     (inner, roof, z + 2.7), (inner, roof, z + 0.9)])
    screen = np.array([(x - 0.9, 0.9, z + 0.5), (x + 0.9, 0.9, z + 0.5),
                       (x + 0.72, roof, z + 0.9), (x - 0.72, roof, z + 0.9)])
    for face, light, glass in ((door, brush.facing(x), (70, 62, 55)),
                               (screen, brush.light[2], (85, 75, 65))):
        brush.fill(face, color, CAR, light)
        brush.fill(face * 0.8 + face.mean(0) * 0.2, glass, CAR)


def _draw_bumper(brush: Brush, x: float, z: float, color: Color) -> None:
    lamps = (40, 30, 200) if x * brush.camera.x > 0 else (225, 240, 245)
    brush.fill(across(x - 0.9, x + 0.9, 0.3, 0.92, z), color, CAR, brush.light[2])
    brush.fill([across(x + wheel - 0.15, x + wheel + 0.15, 0.02, 0.35, z)
                for wheel in (-0.7, 0.7)], (25, 25, 25), CAR)
    brush.fill([across(x + lamp - 0.2, x + lamp + 0.2, 0.62, 0.82, z)
                for lamp in (-0.65, 0.65)], lamps, CAR)
    brush.fill(across(x - 0.28, x + 0.28, 0.42, 0.58, z), (200, 225, 225), CAR)
    brush.fill(across(x - 0.9, x + 0.9, 0.26, 0.36, z), (45, 45, 45), CAR)


def _floor(left: float, right: float, height: float, start: float, end: float) -> list[Point]:
    return [(left, height, start), (right, height, start), (right, height, end),
            (left, height, end)]


def draw_pedestrian(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a walking person; the legs swing with the way walked."""
    coat, legs = vary(dice, dice.choice(_COATS)), vary(dice, dice.choice(_COATS))
    height = dice.uniform(1.55, 1.9)
    swing = 0.18 * math.sin(4 * z + 6 * dice.random())
    outlines = np.array([(-0.17, 0.48), (0.17, 0.48), (0.1 + swing, 0), (-0.14 + swing, 0)])
    brush.fill_flat(x, 0, z, [outlines * (1, height), outlines * (-1, height)], legs, PEDESTRIAN)
    torso = np.array([(-0.2, 0.44), (0.2, 0.44), (0.3, 0.8), (0.12, 0.85), (-0.12, 0.85),
                      (-0.3, 0.8)])
    brush.fill_flat(x, 0, z, torso * (1, height), coat, PEDESTRIAN)
    arms = np.array([(0.2, 0.8), (0.31, 0.8), (0.3 + swing / 2, 0.48), (0.2 + swing / 2, 0.48)])
    brush.fill_flat(x, 0, z, [arms * (1, height), arms * (-1, height)], coat, PEDESTRIAN, 0.75)
    brush.fill_flat(x, 0.92 * height, z, CIRCLE * 0.14, dice.choice(_SKIN), PEDESTRIAN)
    brush.fill_flat(x, 0.97 * height, z, CIRCLE[:8] * 0.14, (35, 40, 50), PEDESTRIAN)


def draw_bicyclist(brush: Brush, dice: Random, x: float, z: float) -> None:
    """Draw a person with helmet and bright jacket on a bicycle turned a little to one side."""
    jacket, trousers = dice.choice(_HIGH_VISIBILITY), vary(dice, (60, 45, 40))
    turn = math.copysign(dice.uniform(0.35, 0.6), dice.random() - 0.5)
    brush.fill(_floor(x - 0.5, x + 0.5, 0, z - 0.3, z + 0.3), (60, 58, 58), ROAD)
    for axle in (0.55 * turn, -0.55 * turn):
        wheel = CIRCLE * (0.25, 0.36)
        brush.fill_flat(x + axle, 0.36, z, wheel, (30, 30, 32), BICYCLIST)
        brush.fill_flat(x + axle, 0.36, z, wheel * 0.6, (120, 120, 125), BICYCLIST)
    frame = [(-0.5 * turn, 0.4), (0.5 * turn, 0.4), (0.45 * turn, 0.95), (-0.3 * turn, 0.95)]
    brush.fill_flat(x, 0, z, frame, dice.choice(PAINTS), BICYCLIST)
    pedal = 0.1 * math.sin(2 * z)
    legs = [box(hip - 0.08, hip + 0.08, 0.3 + way, 0.95)
            for hip, way in ((-0.13, pedal), (0.13, -pedal))]
    brush.fill_flat(x, 0, z, legs, trousers, BICYCLIST)
    torso = [(-0.2, 0.88), (0.2, 0.88), (0.3 + 0.2 * turn, 1.45), (0.2 * turn, 1.55),
             (-0.3 + 0.2 * turn, 1.45)]
    brush.fill_flat(x, 0, z, torso, jacket, BICYCLIST)
    stripe = box(-0.22, 0.22, -0.06, 0.06)
    brush.fill_flat(x + 0.1 * turn, 1.15, z, stripe, (190, 190, 190), BICYCLIST)
    head = x + 0.25 * turn
    brush.fill_flat(head, 1.66, z, CIRCLE * 0.15, dice.choice(_SKIN), BICYCLIST)
    brush.fill_flat(head, 1.7, z, CIRCLE[:8] * 0.19, jacket, BICYCLIST, 0.85)

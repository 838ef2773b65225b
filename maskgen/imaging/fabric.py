"""How cloth is shaded: maps of folds, seams and curvature for surgical masks, cloth masks and respirators.

A map is uint8 (SIDE, SIDE), from the upper to the lower edge of a mask and from its one side to the other. 128 leaves
the colour as it is, 64 halves it. Every look has some variations; all are made once, from hashes, and do not depend on
any photograph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

LOOKS = ("surgical", "cloth", "respirator")

VARIATIONS = 8
"""Maps of each look, which differ in where the folds are and how deep."""

SIDE = 128
"""Side of a map in pixels: about as wide as a mask in a picture of 224 pixels."""

FINER = 3
"""Maps are drawn so many times finer and averaged: the edge of a fold has no steps."""

NEUTRAL = 128

Map = npt.NDArray[np.uint8]
_Field = npt.NDArray[np.float64]


@lru_cache(maxsize=(len(LOOKS) + 1) * VARIATIONS)
def shading(look: str, variation: int) -> Map:
    """The map of one variation of a look, or of `plain`, on which pictures are printed."""
    draws = _uniform(f"{look} {variation}")
    place = (np.arange(SIDE * FINER) + 0.5) / (SIDE * FINER)
    v, u = np.meshgrid(place, 2 * place - 1, indexing="ij")
    draw = {"surgical": _surgical, "cloth": _cloth, "respirator": _respirator, "plain": _plain}[look]
    shade = draw(u, v, draws).reshape(SIDE, FINER, SIDE, FINER).mean(axis=(1, 3))
    shade *= 1 + _grain(f"{look} {variation}")
    made = np.clip(np.rint(shade * NEUTRAL), 0, 255).astype(np.uint8)
    made.setflags(write=False)
    return made


@lru_cache(maxsize=64)
def plain(variation: int, height: int, width: int) -> Map:
    """The map of a variation of `plain` as large as a picture, up to 512 x 512, that is printed on it."""
    made = cv2.resize(shading("plain", variation), (width, height), interpolation=cv2.INTER_LINEAR)
    made.setflags(write=False)
    return made


def _surgical(u: _Field, v: _Field, draws: Iterator[float]) -> _Field:
    """Three pleats, a wire over the nose, hems above and below, bonded sides."""
    shade = 1.05 - 0.10 * u**2 - 0.08 * v
    droop = _between(draws, 0.02, 0.08)
    for place in (0.30, 0.49, 0.68):
        line = place + _between(draws, -0.03, 0.03) + droop * (1 - u**2) + _between(draws, -0.03, 0.03) * u
        depth = _between(draws, 0.13, 0.24) * (1 - 0.35 * np.abs(u))
        shade += depth * _step(v - line, 0.035, 0.13)
    wire = 0.10 + 0.03 * u**2
    shade += _between(draws, 0.03, 0.08) * (_bump(v - wire, 0.03) - _bump(v - wire - 0.04, 0.02)) * (np.abs(u) < 0.6)
    for hem in (0.035, 0.955):
        shade -= 0.10 * _bump(v - hem, 0.014)
    shade -= 0.12 * _bump(np.abs(u) - 0.93, 0.02)
    return shade + _creases(u, v, draws, 5, 0.07)


def _cloth(u: _Field, v: _Field, draws: Iterator[float]) -> _Field:
    """A seam down the middle, bound edges, and wrinkles towards the ears; often without seam and binding."""
    shade = 1.08 - 0.20 * u**2 - 0.12 * (v - 0.25) ** 2
    if next(draws) < 0.6:
        seam = 0.02 * np.sin(3 * v)
        shade += _between(draws, 0.02, 0.06) * np.clip((u - seam) * 12, -1, 1) * (1 - np.abs(u))
        shade -= _between(draws, 0.10, 0.20) * _bump(u - seam, 0.022)
    if next(draws) < 0.5:
        for edge in (0.07, 0.93):
            shade -= 0.12 * _bump(v - edge, 0.016)
        shade += 0.03 * ((v < 0.07) | (v > 0.93))
    return shade + _creases(u, v, draws, 9, 0.11)


def _respirator(u: _Field, v: _Field, draws: Iterator[float]) -> _Field:
    """A cup or two flat halves that meet in a ridge; a welded edge, a metal strip over the nose, sometimes a valve."""
    if next(draws) < 0.5:
        shade = 1.14 - 0.26 * (u**2 + 1.1 * (v - 0.42) ** 2) - 0.06 * v
        ring = np.sqrt(u**2 + (2.1 * (v - 0.5)) ** 2)
        shade += 0.10 * _step(ring - 0.82, 0.03, 0.08)
    else:
        side = 1 if next(draws) < 0.5 else -1
        shade = 1.06 - 0.16 * np.abs(u) + side * 0.07 * np.clip(u * 20, -1, 1)
        shade += 0.14 * _bump(u, 0.03) - 0.10 * _bump(np.abs(u) - 0.05, 0.03)
        shade -= 0.10 * _bump(v - 0.5 - 0.03 * np.abs(u), 0.016) * (next(draws) < 0.4)
    edge = np.minimum(np.minimum(v, 1 - v) * 2, 1 - np.abs(u))
    shade -= 0.10 * _bump(edge - 0.12, 0.025)
    shade -= 0.05 * (edge < 0.12) * ((np.floor(u * 60) + np.floor(v * 30)) % 2)
    strip = (np.abs(u) < 0.38) & (np.abs(v - 0.12) < 0.028)
    shade += strip * (0.10 - 0.20 * (v > 0.12))
    if next(draws) < 0.3:
        ring = np.sqrt((u - 0.42) ** 2 + (2 * (v - 0.58)) ** 2) / 0.25
        shade += 0.16 * _bump(ring - 0.9, 0.14) * np.where(v < 0.58, 1, -1) - 0.05 * (ring < 0.85)
    return shade + _creases(u, v, draws, 3, 0.05)


def _plain(u: _Field, v: _Field, draws: Iterator[float]) -> _Field:
    """What a picture is printed on: bent around the face, with few wrinkles."""
    return 1.06 - 0.16 * u**2 - 0.10 * (v - 0.3) ** 2 + _creases(u, v, draws, 4, 0.06)


def _creases(u: _Field, v: _Field, draws: Iterator[float], number: int, depth: float) -> _Field:
    """Soft wrinkles that run from the upper and lower corners towards the middle."""
    shade = np.zeros_like(u)
    for crease in range(number):
        side, upper = 1 if crease % 2 else -1, next(draws) < 0.45
        begin = np.array([side * 1.05, _between(draws, 0.05, 0.3) if upper else _between(draws, 0.6, 0.95)])
        end = np.array([side * _between(draws, -0.1, 0.5), _between(draws, 0.25, 0.8)])
        along = end - begin
        length = np.sqrt((along**2).sum())
        way = ((u - begin[0]) * along[0] + (v - begin[1]) * along[1]) / length**2
        across = ((v - begin[1]) * along[0] - (u - begin[0]) * along[1]) / length
        width = _between(draws, 0.03, 0.08)
        fades = np.clip(1.1 - way, 0, 1) * np.clip((way + 0.2) * 4, 0, 1)
        strength = _between(draws, 0.4, 1.0) * depth
        shade += strength * fades * (_bump(across, width) - _bump(across - width * side, width))
    return shade


def _bump(distance: _Field, width: float) -> _Field:
    """A smooth hill of height 1 at 0 that ends at two widths."""
    return np.clip(1 - (distance / (2 * width)) ** 2, 0, 1) ** 2


def _step(distance: _Field, sharp: float, soft: float) -> _Field:
    """The edge of a fold at 0: lit above, in shadow below."""
    lit = np.where(distance < 0, np.clip(1 + distance / soft, 0, 1) ** 2, 0)
    dark = np.where(distance >= 0, np.clip(1 - distance / (2 * sharp), 0, 1) ** 2, 0)
    return 0.5 * lit - dark - 0.35 * np.where(distance >= 0, np.clip(1 - distance / soft, 0, 1) ** 2, 0)


def _grain(name: str) -> _Field:
    """The grain of a weave, (SIDE, SIDE), within some hundredths of 0."""
    bytes_ = np.frombuffer(hashlib.shake_128(name.encode()).digest(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
    return (bytes_.astype(np.float64) - 127.5) / 127.5 * 0.022


def _uniform(name: str) -> Iterator[float]:
    """Endless numbers from 0 to 1 that depend on the name alone: no library's generator may change them."""
    number = 0
    while True:
        yield int.from_bytes(hashlib.blake2b(f"{name} {number}".encode(), digest_size=6).digest(), "big") / 2**48
        number += 1


def _between(draws: Iterator[float], low: float, high: float) -> float:
    return low + (high - low) * next(draws)

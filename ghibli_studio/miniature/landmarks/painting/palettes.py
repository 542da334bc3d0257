"""Colours of sky, light and distance under each sky, in three moods. Tables only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Palette(NamedTuple):
    """Colours as 3 x 1 x 1 float32 arrays, about 0..1 (sunlight may be brighter)."""

    zenith: np.ndarray
    horizon: np.ndarray
    sunlight: np.ndarray
    shadow: np.ndarray
    haze: np.ndarray
    cloud_lit: np.ndarray
    cloud_shaded: np.ndarray
    haze_strength: float


def colour(red: float, green: float, blue: float) -> np.ndarray:
    """The colour as 3 x 1 x 1 float32, to combine with pictures (3 x rows x columns)."""
    return np.array((red, green, blue), np.float32)[:, None, None]


def palette(*row) -> Palette:
    """One row of the tables below."""
    *colours, haze_strength = row
    return Palette(*(colour(*rgb) for rgb in colours), haze_strength)


# zenith, horizon, sunlight, shadow, haze, cloud lit, cloud shaded, haze strength
PHOTO = {
    "clear": palette((.20, .42, .76), (.70, .83, .93), (1.10, 1.06, .98), (.42, .47, .56), (.70, .80, .90),
                     (1, 1, 1), (.72, .77, .84), .55),
    "cloudy": palette((.26, .46, .76), (.74, .84, .92), (1.06, 1.03, .97), (.45, .49, .57), (.72, .80, .88),
                      (1, .99, .98), (.62, .67, .75), .6),
    "sunset": palette((.25, .27, .50), (.98, .62, .36), (1.12, .78, .54), (.34, .28, .38), (.88, .56, .42),
                      (1, .62, .40), (.45, .30, .44), .6),
    "night": palette((.03, .05, .14), (.12, .17, .31), (.38, .44, .62), (.16, .19, .31), (.12, .16, .29),
                     (.26, .30, .42), (.08, .10, .18), .55),
    "overcast": palette((.62, .65, .69), (.80, .82, .84), (.86, .87, .89), (.55, .57, .60), (.76, .78, .81),
                        (.86, .87, .88), (.55, .57, .61), .7),
    "golden": palette((.42, .58, .80), (1.0, .86, .62), (1.16, .98, .72), (.44, .42, .46), (.96, .84, .66),
                      (1, .93, .78), (.78, .70, .68), .7),
}
GHIBLI = {
    "clear": palette((.06, .40, .84), (.56, .86, .97), (1.16, 1.10, .92), (.46, .56, .84), (.55, .78, .95),
                     (1, 1, .97), (.62, .78, .94), .5),
    "cloudy": palette((.08, .42, .86), (.60, .87, .97), (1.16, 1.10, .92), (.46, .56, .84), (.58, .80, .95),
                      (1, .995, .96), (.58, .74, .92), .5),
    "sunset": palette((.26, .32, .68), (1.0, .66, .46), (1.18, .86, .62), (.44, .38, .66), (.95, .62, .56),
                      (1, .78, .58), (.66, .44, .68), .5),
    "night": palette((.03, .10, .34), (.16, .38, .62), (.42, .56, .86), (.16, .24, .50), (.14, .32, .56),
                     (.40, .56, .80), (.13, .25, .52), .5),
    "overcast": palette((.50, .68, .80), (.78, .88, .90), (1.0, 1.0, .94), (.54, .62, .76), (.72, .84, .90),
                        (.94, .97, .97), (.58, .70, .80), .5),
    "golden": palette((.26, .60, .88), (1.0, .90, .66), (1.22, 1.06, .74), (.54, .52, .74), (.98, .86, .68),
                      (1, .96, .82), (.84, .76, .78), .5),
}
POSTER = {
    "clear": palette((.16, .52, .74), (.62, .82, .84), (1.1, 1.05, .92), (.42, .50, .58), (.55, .76, .82),
                     (.97, .96, .90), (.80, .88, .88), .6),
    "cloudy": palette((.24, .60, .72), (.70, .86, .82), (1.1, 1.05, .92), (.44, .52, .58), (.58, .78, .80),
                      (.98, .96, .90), (.82, .90, .88), .6),
    "sunset": palette((.52, .20, .38), (.98, .62, .28), (1.15, .78, .50), (.46, .24, .36), (.86, .42, .34),
                      (.98, .76, .42), (.80, .36, .36), .65),
    "night": palette((.06, .08, .24), (.20, .24, .46), (.50, .54, .76), (.20, .20, .40), (.16, .18, .40),
                     (.34, .38, .58), (.2, .22, .42), .55),
    "overcast": palette((.58, .66, .68), (.80, .82, .78), (1.0, .98, .92), (.54, .58, .60), (.68, .74, .74),
                        (.90, .90, .86), (.70, .75, .75), .6),
    "golden": palette((.94, .72, .40), (.99, .88, .62), (1.15, 1.0, .74), (.62, .46, .44), (.92, .72, .50),
                      (1, .95, .80), (.96, .80, .58), .6),
}

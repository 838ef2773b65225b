"""small_predictor.dat: 68 landmarks from a model of 25 KB, for tests that start many processes.

The packaged model takes more than a second to load in each of them. `python -m tests.support.small_predictor` trains
the small one again, on what the packaged one finds in takes of one face; it is off by 2 pixels in 180.
"""

from __future__ import annotations

import dlib
import numpy as np
from skimage import data

import maskgen
from tests.support import faces
from tests.support.processes import SMALL_PREDICTOR


def train() -> None:
    landmarker = maskgen.Landmarker()
    head = np.ascontiguousarray(data.astronaut()[faces.HEAD])
    images, found = [], []
    for number in range(40):
        image = maskgen.decode(faces.take(head, number))
        face = landmarker.find(image)
        assert face is not None
        points = [dlib.point(int(x), int(y)) for x, y in np.rint(face.landmarks)]
        images.append(image)
        found.append([dlib.full_object_detection(dlib.rectangle(*np.rint(face.box).astype(int).tolist()), points)])
    options = dlib.shape_predictor_training_options()
    options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = 2, 2, 3
    options.feature_pool_size, options.oversampling_amount, options.num_test_splits = 20, 5, 10
    options.random_seed, options.num_threads = "0", 1
    dlib.train_shape_predictor(images, found, options).save(str(SMALL_PREDICTOR))


if __name__ == "__main__":
    train()

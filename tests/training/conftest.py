"""The small log of this folder, made once."""

import pytest
from training_factories import LearningWorld, make_training_world


@pytest.fixture(scope="session")
def world() -> LearningWorld:
    return make_training_world()

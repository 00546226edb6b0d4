"""The small log of this folder, made once."""

import pytest
from learning_world import LearningWorld, make_learning_world


@pytest.fixture(scope="session")
def world() -> LearningWorld:
    return make_learning_world()

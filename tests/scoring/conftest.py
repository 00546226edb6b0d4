import pytest

from scoring_factories import World, make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()

"""The structure of the product keeps its limits: what is over one is named, and what would help."""

import pytest

from tests.structure import MOST_FLAT, Structure, measure


@pytest.fixture(scope="module")
def structure() -> Structure:
    return measure()


def test_no_two_public_classes_share_a_name(structure: Structure) -> None:
    assert structure.repeated_names == [], "name each after what tells it from the other"


@pytest.mark.parametrize("package", MOST_FLAT)
def test_a_package_holds_packages_by_capability(structure: Structure, package: str) -> None:
    flat = structure.flat_modules(package)
    assert len(flat) <= MOST_FLAT[package], f"move one of {flat} to the package of its capability"

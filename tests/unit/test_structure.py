"""The structure of the product keeps its limits: what is over one is named, and what would help."""

import pytest

from tests.structure import MOST_FLAT, Structure, measure


@pytest.fixture(scope="module")
def structure() -> Structure:
    return measure()


def test_no_function_is_longer_than_50_lines(structure: Structure) -> None:
    assert structure.long_functions == [], "split it into steps that have a name of their own"


def test_no_module_is_longer_than_400_lines(structure: Structure) -> None:
    assert structure.long_modules == [], "it has two reasons to change: make two modules of it"


def test_no_function_takes_more_than_10_parameters(structure: Structure) -> None:
    assert structure.many_parameters == [], "a value is missing that holds several of them"


def test_no_two_public_classes_share_a_name(structure: Structure) -> None:
    assert structure.repeated_names == [], "name each after what tells it from the other"


@pytest.mark.parametrize("package", MOST_FLAT)
def test_a_package_holds_packages_by_capability(structure: Structure, package: str) -> None:
    flat = structure.flat_modules(package)
    assert len(flat) <= MOST_FLAT[package], f"move one of {flat} to the package of its capability"

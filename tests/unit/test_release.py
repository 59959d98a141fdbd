"""A release is one version everywhere, and says what changed."""

import re
from pathlib import Path

from notification_core.version import VERSION

ROOT = Path(__file__).parents[2]


def test_the_changelog_begins_with_the_version_or_with_what_is_not_released_yet() -> None:
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text())
    if ".dev" in VERSION:
        assert headings[0] == "Unreleased"
    else:
        is_named = rf"{re.escape(VERSION)} - (unreleased|\d{{4}}-\d\d-\d\d)"
        assert re.fullmatch(is_named, headings[0])


def test_the_deployment_names_the_image_of_the_release() -> None:
    kustomization = (ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text()
    (tag,) = re.findall(r"newTag: (.+)", kustomization)
    assert VERSION.partition(".dev")[0] == tag


def test_each_section_of_the_changelog_has_its_kinds_in_the_usual_order() -> None:
    usual = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for section in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        kinds = re.findall(r"(?m)^### (.+)$", section)
        assert kinds == [kind for kind in usual if kind in kinds]

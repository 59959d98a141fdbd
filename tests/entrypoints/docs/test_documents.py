"""Every block of README, quickstart and guides is run by a session, or says why it is not."""

from pathlib import Path

import pytest

from tests.documents.pages import CHECKOUT, Block, blocks, pages
from tests.documents.script import reasons, script_of


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_every_block_is_run_or_says_why_not(page: Path, tmp_path: Path) -> None:
    found = list(blocks(page))
    for block in found:
        assert block.reason is None or len(block.reason) > 10, block.place
        reasons(block)
    script = script_of(found, tmp_path)
    assert script.count("\nat ") == sum(block.reason is None for block in found)


def test_a_comment_that_says_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.documents.pages.CHECKOUT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- documents: skip -->\n```sh\ntrue\n```\n")
    with pytest.raises(ValueError, match=r"page.md:1: 'skip'"):
        list(blocks(page))


def test_a_language_that_is_neither_run_nor_data_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="say how to run 'ruby'"):
        reasons(Block("page.md", 1, "ruby", "puts 1\n"))


def test_what_a_reader_replaces_is_a_variable_of_the_shell(tmp_path: Path) -> None:
    block = Block("page.md", 1, "sh", "logs WEBHOOK_ID --environment ID; SECRET_ID=$KEY_ID\n")
    script = script_of([block], tmp_path)
    assert "logs ${WEBHOOK_ID} --environment ${ID}; SECRET_ID=$KEY_ID\n" in script

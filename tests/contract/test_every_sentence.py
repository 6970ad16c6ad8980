"""Is every sentence of the page held against the servers?"""

from __future__ import annotations

import pytest
from contract_sentences import Sentence, sentences, told

# What is not for a server to do. Each is the beginning of one sentence.
NOT_FOR_THE_SERVER = {
    "Four parts: messaging": "what the page is about",
    "A server that has not all of them": "what scenarios do; tests/contract_model",
    "Two fields are the test's own.": "introduces the two sentences after it",
    "The test puts a *marker* into both": "what the test does; tests/users",
    "That is how one copy of one message": "why",
    "Nobody asked for a call to time out": "why",
    "So one user sends at most": "arithmetic",
    "A server that only refused the upgrade": "why",
    "Rate limit.": "a heading",
    "Three feeds, so that an application polls": "the feeds are told one by one after it",
    "| `INTERNAL` |": "a fault of the server's own: there is none to be had on order",
}


def excused(sentence: Sentence) -> bool:
    """Whether it is in the table above."""
    return any(sentence.text.startswith(words) for words in NOT_FOR_THE_SERVER)


def test_every_sentence_has_a_test() -> None:
    quoted = list(told())
    bare = [
        f"line {sentence.line}: {sentence.text}"
        for sentence in sentences()
        if not excused(sentence) and not any(words in sentence.text for words in quoted)
    ]
    assert bare == [], "no test says these words"


@pytest.mark.parametrize(("words", "tests"), sorted(told().items()))
def test_what_a_test_is_about_stands_on_the_page(words: str, tests: list[str]) -> None:
    assert any(words in sentence.text for sentence in sentences()), tests


def test_nothing_is_excused_that_is_not_there() -> None:
    texts = [sentence.text for sentence in sentences()]
    assert [words for words in NOT_FOR_THE_SERVER if not any(text.startswith(words) for text in texts)] == []


def test_a_page_with_a_sentence_more_would_be_noticed() -> None:
    assert len(sentences()) > 150
    assert not any(words in "Users may also whistle." for words in told())

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful import InputError
from policies.language import PADDING, UNKNOWN, Vocabulary, split_words


def test_splits_words_numbers_and_marks():
    assert split_words("Don't lift CUBE2, please!") == ["don't", "lift", "cube2", ",", "please", "!"]


def test_the_order_of_sentences_does_not_matter():
    assert Vocabulary.build(["lift it", "drop it"]) == Vocabulary.build(["drop it", "lift it"])


def test_ids_are_padded_and_unknown_words_are_marked():
    vocabulary = Vocabulary.build(["lift the red cube"])
    ids = vocabulary.encode(["lift the purple cube", "cube"], 5)
    assert ids.shape == (2, 5)
    assert ids[0, 2] == UNKNOWN
    assert ids[0, 4] == PADDING
    assert ids[1].tolist() == [ids[0, 3].item(), 0, 0, 0, 0]


def test_unknown_words_are_reported_in_order():
    vocabulary = Vocabulary.build(["lift the red cube"])
    assert vocabulary.unknown_words("Gently lift the purple cube") == ["gently", "purple"]
    assert vocabulary.unknown_words("lift the red cube") == []


@given(st.lists(st.sampled_from(["lift", "the", "red", "cube"]), min_size=1, max_size=8))
def test_known_words_keep_their_identity(words):
    vocabulary = Vocabulary.build(["lift the red cube"])
    ids = vocabulary.encode([" ".join(words)], 8)[0].tolist()
    assert [vocabulary.words[i - 2] for i in ids if i] == words


def test_too_long_and_empty_instructions_are_refused():
    vocabulary = Vocabulary.build(["lift the red cube"])
    with pytest.raises(InputError, match="has 4 words; this policy reads at most 3"):
        vocabulary.encode(["lift the red cube"], 3)
    with pytest.raises(InputError, match="an instruction is empty"):
        vocabulary.encode([" "], 3)
    with pytest.raises(InputError, match="no instruction to learn words from"):
        Vocabulary.build([""])

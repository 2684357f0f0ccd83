from hypothesis import given
from hypothesis import strategies as st

from sim.report.tables import cut, markdown, table, width

CELL = st.text(max_size=12)


def test_numbers_stand_flush_right_and_words_left():
    lines = table(["name", "took"], [["a", "1.5 s"], ["longer", "12 s"], ["b", "n/a"]])
    assert lines == ["name     took", "a       1.5 s", "longer   12 s", "b         n/a"]


def test_a_column_with_one_word_is_a_column_of_words():
    assert table(["x"], [["1"], ["one"]]) == ["x", "1", "one"]


def test_wide_letters_take_two_columns():
    assert width("構築") == 4
    assert width("e\u0301") == 1
    assert table(["a", "b"], [["構築", "x"], ["ab", "x"]])[1:] == ["構築  x", "ab    x"]


def test_a_name_from_a_file_cannot_move_the_cursor_or_break_a_line():
    text = "\n".join(table(["a"], [["x\x1b[2J\ny"]]))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_markdown_escapes_what_would_end_a_cell():
    assert markdown(["a", "b"], [["x|y", "1"]]) == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_every_row_is_one_line(rows):
    assert len("\n".join(table(["one", "two"], rows)).split("\n")) == 1 + len(rows)
    assert all(line.count("\n") == 0 for line in markdown(["one", "two"], rows))


@given(st.text(max_size=60), st.integers(min_value=1, max_value=40))
def test_cut_fits(text, columns):
    assert width(cut(text, columns)) <= columns

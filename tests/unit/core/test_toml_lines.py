"""Lines of fields, against the standard parser's idea of which fields there are."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.toml_lines import line_of, locate

TEXT = '''\
title = "a # b" # c = 1
note = """
rounds = 5
[fake]
"""
path = \'\'\'
x = """
\'\'\'
sites = [
    ["x", "y = 1"], # [strategy]
    [
        "]"
    ],
]
a.b = 1
"quoted key" = 2
[strategy]
lr = 1
[privacy.deep]
x = 1
[[mechanism]]
name = "one"
[[mechanism]]
name = "two"
options = { a = 1, b = "}" }
[mechanism.more]
z = 1
'''


def test_fields_are_found_where_they_stand():
    lines = locate(TEXT)
    tomllib.loads(TEXT)
    rows = TEXT.splitlines()
    for path, start in {
        "title": "title", "note": "note", "path": "path", "sites": "sites", "a.b": "a.b",
        "quoted key": '"quoted', "strategy": "[strategy]", "strategy.lr": "lr",
        "privacy.deep.x": "x = 1", "mechanism": "[[mechanism]]",
        "mechanism[1].name": 'name = "two"',
        "mechanism[0].name": 'name = "one"', "mechanism[1].more.z": "z",
    }.items():  # fmt: skip
        assert rows[lines[path] - 1].startswith(start), path
    assert "fake" not in lines
    assert "rounds" not in lines


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("strategy.nothing", 17),
        ("mechanism[1].nothing", 23),
        ("mechanism[7].name", 21),
        ("mechanism[1].options.b", 25),
        ("nothing", None),
        ("", None),
    ],
)
def test_a_field_that_is_not_there_is_where_it_would_be(field, line):
    assert line_of(field, locate(TEXT)) == line


KEYS = st.text("abcxyz-_", min_size=1, max_size=4)
TEXTS = st.text(st.sampled_from(list("ab=[]{}#'\"\\\n .")), max_size=12)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def multi(text):
    return '"""' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'


SCALARS = st.integers(0, 9).map(str) | TEXTS.map(quoted) | TEXTS.map(multi) | st.just("1979-05-27")
LISTS = st.lists(SCALARS | st.just("[\n[1],\n]"), max_size=3).map(
    lambda items: "[ # = ]\n" + ",\n".join(items) + "\n]"
)
VALUES = SCALARS | LISTS
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


@given(TABLES, st.dictionaries(KEYS, TABLES, max_size=3), st.booleans())
def test_every_field_of_any_file_is_found_on_its_own_line(top, tables, comments):
    wanted, lines = {}, []

    def write(path, line):
        if comments:
            lines.append('# "" [no] = \'')
        wanted[path] = sum(part.count("\n") + 1 for part in lines) + 1
        lines.append(line)

    for key, value in top.items():
        write(key, f"{key} = {value}")
    for name, table in tables.items():
        if name in top:
            continue
        write(name, f"[{name}]")
        for key, value in table.items():
            write(f"{name}.{key}", f"  {key}={value} # x")
    text = "\n".join(lines)
    tomllib.loads(text)
    assert locate(text) == wanted

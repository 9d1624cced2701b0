"""Settings files: every problem with its field and line, nothing passed over in silence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import SettingsError, SiteError
from medfed.federation.settings.coordinator import read_coordinator
from medfed.federation.settings.short_form import MODELS
from medfed.federation.settings.site import SiteFile, read_site
from medfed.federation.site_folder import SiteFolder

MARK = "0123 4567 89ab cdef 0123 4567 89ab cdef"


def write(folder, content, name=None):
    text = content if isinstance(content, str) else json.dumps(content)
    file = folder / (name or ("s.toml" if isinstance(content, str) else "s.json"))
    file.write_text(text)
    return file


def problems(read, file, overrides=None):
    with pytest.raises(SettingsError) as error:
        read(file, overrides)
    assert str(file) in str(error.value)
    assert all(problem.remedy for problem in error.value.problems)
    return {problem.field: problem for problem in error.value.problems}


def test_a_coordinators_file(tmp_path):
    text = f"""
name = "lungs"
address = "https://fed.example.org:8443"
bind = "10.0.0.1:9443"
min_sites = 2
superlink_port = 9091
enrol_port = 9092
[[sites]]
id = "north"
fingerprint = "{MARK.upper()}"
[[sites]]
id = "south"
"""
    found = read_coordinator(write(tmp_path, text))
    assert found.address == "https://fed.example.org:8443"
    assert (found.bind_host, found.bind_port) == ("10.0.0.1", 9443)
    assert (found.min_sites, found.superlink_port, found.enrol_port) == (2, 9091, 9092)
    assert found.pinned("north") == MARK
    assert found.pinned("south") is None
    assert found.pinned("west") is None
    assert found.folder == tmp_path
    assert found.short is None


def test_flags_win(tmp_path):
    file = write(tmp_path, 'address = "https://a.org"\n')
    given = {"address": "https://b.org:1", "host": "::1", "port": 7, "bind": None}
    found = read_coordinator(file, given)
    assert (found.address, found.bind_host, found.bind_port) == ("https://b.org:1", "::1", 7)
    assert read_coordinator(file).bind_port == 443
    assert read_coordinator(write(tmp_path, {"address": "https://a.org"})).name == "federation"


def test_all_problems_of_a_coordinators_file_with_their_lines(tmp_path):
    text = """name = 3
address = "http://a.org"
bind = "nowhere"
min_sites = 0
colour = "red"
[[sites]]
id = "north"
fingerprint = "0123"
[[sites]]
id = "north"
[[sites]]
id = "../x"
[[sites]]
fingerprint = 3
"""
    found = problems(read_coordinator, write(tmp_path, text))
    assert {field: problem.line for field, problem in found.items()} == {
        "name": 1,
        "address": 2,
        "bind": 3,
        "min_sites": 4,
        "colour": 5,
        "sites[0].fingerprint": 8,
        "sites[1].id": 10,
        "sites[2].id": 12,
        "sites[3].id": 13,
        "sites[3].fingerprint": 14,
    }


def test_a_wrong_flag_is_called_by_its_name(tmp_path):
    file = write(tmp_path, 'address = "https://a.org"\n')
    found = problems(read_coordinator, file, {"address": "a.org"})
    assert found["--address"].line is None


@pytest.mark.parametrize("content", ["sites = 3", {"sites": [1]}, {"sites": {"id": "x"}}])
def test_sites_must_be_tables(tmp_path, content):
    assert "sites" in problems(read_coordinator, write(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("s.toml", "a = ", "not valid TOML"),
        ("s.json", "{", "not valid JSON"),
        ("s.json", "[]", "holds no fields"),
        ("s.yaml", "a: 1", "neither TOML nor JSON"),
        ("s.json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, says):
    for read in (read_coordinator, read_site):
        with pytest.raises(SettingsError, match=says):
            read(write(tmp_path, text, name))


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(SettingsError, match="there is no file"):
        read_site(tmp_path / "s.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_site(tmp_path)
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not text"):
        read_site(tmp_path / "s.toml")


# --- the short form -------------------------------------------------------------------------------


@pytest.fixture
def short(tmp_path):
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    return {
        "workers": [
            {"id": "north", "host": "127.0.0.1", "port": 9001, "data": "north"},
            {"id": "south", "host": "localhost", "port": 9002, "data": str(tmp_path / "south")},
        ],
        "model": "logistic",
        "epochs": 2,
        "batch_size": 16,
        "dp_epsilon": None,
        "encryption": "none",
        "target": "outcome",
        "numeric": ["age", "bmi"],
    }


def test_the_short_form(tmp_path, short):
    found = read_coordinator(write(tmp_path, short))
    form = found.short
    assert (form.model, form.epochs, form.batch_size, form.rounds) == ("logistic", 2, 16, 10)
    assert [(w.id, w.host, w.port) for w in form.workers] == [
        ("north", "127.0.0.1", 9001), ("south", "localhost", 9002),
    ]  # fmt: skip
    assert [w.data for w in form.workers] == [tmp_path / "north", tmp_path / "south"]
    assert found.min_sites == 2
    assert found.bind_host == "127.0.0.1"
    assert found.folder == tmp_path / "federation" / "coordinator"


def test_the_short_form_in_toml(tmp_path, short):
    text = 'model = "unet"\n[[workers]]\nid = "north"\ndata = "north"\n'
    (worker,) = read_coordinator(write(tmp_path, text)).short.workers
    assert (worker.host, worker.port) == ("127.0.0.1", 0)


def test_a_model_for_tables_needs_columns(tmp_path, short):
    del short["target"]
    assert "needs one" in problems(read_coordinator, write(tmp_path, short))["target"].message
    short |= {"target": "outcome", "numeric": []}
    assert set(problems(read_coordinator, write(tmp_path, short))) == {"numeric"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("dp_epsilon", 0), ("dp_epsilon", "1"), ("encryption", "rot13"), ("encryption", True),
     ("encryption", False)],
)  # fmt: skip
def test_privacy_is_never_passed_over_in_silence(tmp_path, short, field, value):
    assert set(problems(read_coordinator, write(tmp_path, {**short, field: value}))) == {field}


def test_differential_privacy_stands_on_what_everybody_may_know(tmp_path, short):
    short |= {"dp_epsilon": 3, "ranges": {"age": [20, 90]}}
    short["workers"][0]["patients"] = 200
    found = problems(read_coordinator, write(tmp_path, short))
    assert set(found) == {"workers[1].patients", "ranges", "patient"}
    assert "bmi" in found["ranges"].message
    short["workers"][1]["patients"] = 300
    short["ranges"]["bmi"] = [15, 45]
    short["patient"] = "number"
    form = read_coordinator(write(tmp_path, short)).short
    assert form.dp_epsilon == 3.0
    assert [worker.patients for worker in form.workers] == [200, 300]


def test_all_problems_of_the_short_form(tmp_path, short):
    short["workers"] += [
        {"id": "north", "port": 9001, "data": "none"},
        {"id": "west", "host": "10.0.0.7", "data": "north", "port": 70000},
        {"data": "north", "colour": 1},
    ]
    short |= {"model": "gpt", "epochs": 0, "batch_size": "many", "dp_epsilon": -1, "speed": 3}
    found = problems(read_coordinator, write(tmp_path, short))
    assert set(found) == {
        "workers[2].id", "workers[2].port", "workers[2].data", "workers[3].host",
        "workers[3].port", "workers[4].id", "workers[4].colour",
        "model", "epochs", "batch_size", "dp_epsilon", "speed",
    }  # fmt: skip
    assert "invite" in found["workers[3].host"].remedy
    assert all(model in found["model"].remedy for model in MODELS)
    assert set(problems(read_coordinator, write(tmp_path, {"workers": []}))) == {"workers"}
    assert "workers" in problems(read_coordinator, write(tmp_path, {"workers": 3}))


def test_a_worker_of_the_short_form_by_its_name(tmp_path, short):
    file = write(tmp_path, short)
    found = read_site(file, {"id": "south", "port": 9005})
    assert found == SiteFile(
        file, tmp_path / "federation" / "south", "south", tmp_path / "south", 1,
        "https://localhost:8443", "localhost", 9005,
    )  # fmt: skip
    assert "north, south" in problems(read_site, file)["id"].remedy
    assert "--id" in problems(read_site, file, {"id": "west"})
    assert "--host" in problems(read_site, file, {"id": "north", "host": "10.0.0.1"})


# --- a site's file --------------------------------------------------------------------------------


def test_a_sites_file(tmp_path):
    text = (
        'name = "north"\ndata = "scans"\nmin_patients = 5\ncoordinator = "https://a.org"\n'
        'port = 9001\nproxy = "http://proxy:3128"\n'
    )
    file = write(tmp_path, text, "site.toml")
    found = read_site(file)
    assert (found.id, found.data, found.min_patients) == ("north", tmp_path / "scans", 5)
    assert (found.coordinator, found.proxy, found.port) == (
        "https://a.org",
        "http://proxy:3128",
        9001,
    )
    assert found.folder == tmp_path
    other = read_site(file, {"id": "north", "port": 0, "data": "/elsewhere", "host": "localhost"})
    assert (other.port, str(other.data), other.host) == (0, "/elsewhere", "localhost")
    # The same file serves those who only know the site's own rules.
    assert SiteFolder(tmp_path).settings().name == "north"


def test_id_and_name_mean_the_same(tmp_path):
    file = write(tmp_path, 'id = "north"\nport = 1\n', "site.toml")
    assert read_site(file).id == "north"
    assert SiteFolder(tmp_path).settings().name == "north"
    file.write_text('id = "north"\nname = "south"\n')
    assert "name" in problems(read_site, file)
    file.write_text("port = 1\n")
    assert "id" in problems(read_site, file)
    with pytest.raises(SiteError):
        SiteFolder(tmp_path).settings()


def test_all_problems_of_a_sites_file(tmp_path):
    text = (
        'name = "overall"\ncoordinator = "a.org"\nhost = "0.0.0.0"\nport = -1\n'
        'proxy = "socks5://x"\nmin_patients = 0\ncolour = 1\n'
    )
    found = problems(read_site, write(tmp_path, text))
    assert {field: problem.line for field, problem in found.items()} == {
        "name": 1, "coordinator": 2, "host": 3, "port": 4, "proxy": 5, "min_patients": 6,
        "colour": 7,
    }  # fmt: skip


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["name", "id", "address", "bind", "sites", "workers", "model", "epochs", "dp_epsilon", "host",
     "port", "proxy", "data", "folder", "min_sites", "encryption", "coordinator"]
)  # fmt: skip


@given(content=st.dictionaries(_NAMES, _VALUES, max_size=8))
def test_any_json_is_settings_or_a_clear_error(tmp_path_factory, content):
    file = write(tmp_path_factory.mktemp("any"), content)
    for read in (read_coordinator, read_site):
        try:
            read(file)
        except SettingsError as error:
            assert error.problems  # noqa: PT017  # both outcomes are fine

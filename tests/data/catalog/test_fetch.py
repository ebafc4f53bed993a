"""Downloads from a local server that fails in every way that servers fail."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pooch
import pytest

from elinformer.data.catalog import CATALOG, EMBEDDED, fetch_dataset, load_dataset, read_dataset
from elinformer.data.catalog.entries import Dataset, RemoteFile
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

N_STEPS = 5000
TIMES = np.datetime64("2012-03-01T00:00") + np.arange(N_STEPS) * np.timedelta64(5, "m")
TABLE = ("time,a,b\n" + "\n".join(f"{t},{i % 60 + 1},{i % 50 + 1}" for i, t in enumerate(TIMES)) + "\n").encode()
CHECKSUM = f"sha256:{hashlib.sha256(TABLE).hexdigest()}"
CUT_AFTER = 100_000


class Server(ThreadingHTTPServer):
    """Serves TABLE in the way that the address names, and records the requested ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.content = TABLE

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        getattr(self, self.path.strip("/").replace("-", "_"))(self.server.content, first)

    def answer(self, status: int, body: bytes, length: int | None = None, span: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def good(self, content: bytes, first: int) -> None:
        if first >= len(content):
            self.answer(416, b"", span=f"bytes */{len(content)}")
        else:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.answer(206 if first else 200, content[first:], span=span if first else None)

    def ignores_range(self, content: bytes, first: int) -> None:
        self.answer(200, content)

    def wrong_range(self, content: bytes, first: int) -> None:
        self.answer(206 if first else 200, content, span=f"bytes 0-{len(content) - 1}/{len(content)}")

    def cut(self, content: bytes, first: int) -> None:
        self.answer(200, content[:CUT_AFTER], length=len(content))

    def cut_in_chunks(self, content: bytes, first: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(f"{CUT_AFTER:x}\r\n".encode() + content[:CUT_AFTER] + b"\r\n")
        self.close_connection = True

    def gone(self, content: bytes, first: int) -> None:
        self.answer(404, b"<html>not here</html>")

    def busy(self, content: bytes, first: int) -> None:
        self.answer(503, b"later")

    def page(self, content: bytes, first: int) -> None:
        self.answer(200, b"<html>please log in</html>")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def dataset(*urls: str, checksum: str | None = None) -> Dataset:
    """Return a data set in the form of METR-LA that is published at `urls`."""
    files = (RemoteFile("table.csv", urls, checksum),)
    return replace(CATALOG["metr-la"], name="small", shape=(N_STEPS, 2, 1), files=files)


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


@pytest.mark.parametrize("checksum", [CHECKSUM, f"md5:{hashlib.md5(TABLE).hexdigest()}"])
def test_a_data_set_is_fetched_only_once(server: Server, tmp_path: Path, checksum: str):
    small = dataset(server.url("good"), checksum=checksum)
    panel = read_dataset(small, tmp_path)
    assert panel.values.shape == small.shape
    np.testing.assert_array_equal(read_dataset(small, tmp_path).values, panel.values)
    assert server.asked == [None]
    assert kept(tmp_path) == ["table.csv"]


def test_fetching_prints_nothing(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    logger = pooch.get_logger()
    level = logger.level
    logger.addHandler(caplog.handler)
    read_dataset(dataset(server.url("good")), tmp_path)
    logger.removeHandler(caplog.handler)
    assert caplog.messages == []
    assert logger.level == level


def test_progress_counts_up_to_the_whole_file(server: Server, tmp_path: Path):
    seen: list[tuple[str, int, int | None]] = []
    read_dataset(dataset(server.url("good")), tmp_path, lambda *step: seen.append(step))
    assert {(name, total) for name, _, total in seen} == {("table.csv", len(TABLE))}
    assert [have for _, have, _ in seen] == sorted({have for _, have, _ in seen})
    assert seen[-1][1] == len(TABLE)


@pytest.mark.parametrize(
    ("path", "expected"), [("cut", f"expected {len(TABLE)} bytes"), ("cut-in-chunks", "expected all bytes")]
)
def test_a_cut_download_is_reported_and_resumes(server: Server, tmp_path: Path, path: str, expected: str):
    with pytest.raises(InputError, match=expected) as raised:
        read_dataset(dataset(server.url(path), checksum=CHECKSUM), tmp_path)
    assert kept(tmp_path) == ["table.csv.part"]
    have = (tmp_path / "small/table.csv.part").stat().st_size
    assert 0 < have <= CUT_AFTER
    assert f"got {have} before the connection ended" in str(raised.value)
    read_dataset(dataset(server.url("good"), checksum=CHECKSUM), tmp_path)
    assert server.asked == [None, f"bytes={have}-"]
    assert kept(tmp_path) == ["table.csv"]


def place_part(cache: Path, content: bytes) -> None:
    (cache / "small").mkdir()
    (cache / "small/table.csv.part").write_bytes(content)


@pytest.mark.parametrize(
    ("path", "part", "n_requests"),
    [
        ("ignores-range", TABLE[:1000], 1),
        ("wrong-range", TABLE[:1000], 2),
        ("good", TABLE, 1),
        ("good", TABLE + b"of a longer file", 2),
    ],
)
def test_a_download_is_complete_for_every_answer_to_a_range_request(
    server: Server, tmp_path: Path, path: str, part: bytes, n_requests: int
):
    place_part(tmp_path, part)
    read_dataset(dataset(server.url(path), checksum=CHECKSUM), tmp_path)
    assert (tmp_path / "small/table.csv").read_bytes() == TABLE
    assert len(server.asked) == n_requests
    assert kept(tmp_path) == ["table.csv"]


def test_a_partial_download_of_another_file_fails_the_checksum(server: Server, tmp_path: Path):
    place_part(tmp_path, b"x" * 1000)
    small = dataset(server.url("good"), checksum=CHECKSUM)
    with pytest.raises(InputError, match=r"expected table\.csv with the checksum"):
        read_dataset(small, tmp_path)
    assert kept(tmp_path) == []
    assert read_dataset(small, tmp_path).values.shape == small.shape


def test_a_file_with_another_checksum_is_reported_and_removed(server: Server, tmp_path: Path):
    with pytest.raises(InputError, match=r"expected table\.csv with the checksum sha256:0+, got another file"):
        read_dataset(dataset(server.url("good"), checksum="sha256:" + "0" * 64), tmp_path)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(("path", "status"), [("gone", "404 (Not Found)"), ("busy", "503 (Service Unavailable)")])
def test_a_dead_address_is_reported_with_the_manual_download(server: Server, tmp_path: Path, path: str, status: str):
    with pytest.raises(InputError, match=re.escape(f"got HTTP status {status}")) as raised:
        read_dataset(dataset(server.url(path)), tmp_path)
    assert CATALOG["metr-la"].source in str(raised.value)
    assert str(tmp_path / "small/table.csv") in str(raised.value)
    assert kept(tmp_path) == []


def test_a_busy_server_keeps_the_partial_download(server: Server, tmp_path: Path):
    place_part(tmp_path, TABLE[:1000])
    with pytest.raises(InputError, match="503"):
        read_dataset(dataset(server.url("busy")), tmp_path)
    assert kept(tmp_path) == ["table.csv.part"]


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("127.0.0.1:{port}", "refused the connection"),
        (
            "no-such-host.invalid",
            "could not find the server no-such-host.invalid: check that this machine is connected",
        ),
        ("127.0.0.1:notaport", "could not reach"),
    ],
)
def test_an_unreachable_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, message: str):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(InputError, match=re.escape(message)):
        read_dataset(dataset(f"http://{host.format(port=_unused_port())}/table.csv"), tmp_path)
    assert kept(tmp_path) == []


def test_a_second_address_is_tried_if_the_first_is_dead(server: Server, tmp_path: Path):
    small = dataset(server.url("gone"), server.url("good"), checksum=CHECKSUM)
    assert read_dataset(small, tmp_path).values.shape == small.shape


def test_all_addresses_are_named_if_none_works(server: Server, tmp_path: Path):
    with pytest.raises(InputError) as raised:
        read_dataset(dataset(server.url("gone"), server.url("busy")), tmp_path)
    assert server.url("gone") in str(raised.value)
    assert server.url("busy") in str(raised.value)


def test_an_unknown_checksum_is_recorded_and_checked_later(server: Server, tmp_path: Path):
    small = dataset(server.url("good"))
    read_dataset(small, tmp_path)
    assert json.loads((tmp_path / "small/checksums.json").read_text()) == {"table.csv": CHECKSUM}
    (tmp_path / "small/table.csv").unlink()
    server.content = TABLE.replace(b",1,1\n", b",2,2\n")
    with pytest.raises(InputError, match=r"expected table\.csv with the checksum"):
        read_dataset(small, tmp_path)
    assert kept(tmp_path) == ["checksums.json"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"table.csv": 3}', b"[" * 10_000, b"\xff"])
def test_damaged_checksums_of_the_cache_are_named_and_nothing_is_fetched(
    content: bytes, server: Server, tmp_path: Path
):
    (tmp_path / "small").mkdir()
    (tmp_path / "small/checksums.json").write_bytes(content)
    with pytest.raises(InputError, match=r"expected .* in .*checksums\.json, .*: remove it"):
        read_dataset(dataset(server.url("good")), tmp_path)
    assert kept(tmp_path) == ["checksums.json"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server, tmp_path: Path):
    small = dataset(server.url("good"))
    read_dataset(small, tmp_path)
    (tmp_path / "small/table.csv").write_bytes(TABLE[:500])
    read_dataset(small, tmp_path)
    assert (tmp_path / "small/table.csv").read_bytes() == TABLE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (N_STEPS, 3, 1)}, r"of shape \(5000, 3, 1\)"),
        ({"value_range": ((0, 30),)}, "values from 0 to 30 in channel 'speed_mph'"),
    ],
)
def test_a_wrong_file_is_removed(server: Server, tmp_path: Path, change: dict[str, object], message: str):
    small = replace(dataset(server.url("good")), **change)
    with pytest.raises(InputError, match=message) as raised:
        read_dataset(small, tmp_path)
    assert "expected small as it was published, got another table.csv (removed)" in str(raised.value)
    assert kept(tmp_path) == []


def test_a_fetched_web_page_is_removed(server: Server, tmp_path: Path):
    with pytest.raises(InputError, match=r"got another table\.csv \(removed\)"):
        read_dataset(dataset(server.url("page")), tmp_path)
    assert kept(tmp_path) == []


def test_a_wrong_file_of_the_user_is_refused_but_not_removed(tmp_path: Path):
    (tmp_path / "largest").mkdir()
    for name in ("ca_his_raw_2019.h5", "ca_meta.csv"):
        (tmp_path / "largest" / name).write_text("ID,District\n1,11\n")
    with pytest.raises(InputError, match="HDF5"):
        fetch_dataset("largest-sd", cache_dir=tmp_path)
    assert kept(tmp_path) == ["ca_his_raw_2019.h5", "ca_meta.csv"]


def test_a_file_placed_by_hand_needs_no_network(tmp_path: Path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small/table.csv").write_bytes(TABLE)
    small = dataset("http://no-such-host.invalid/table.csv", checksum=CHECKSUM)
    assert read_dataset(small, tmp_path).values.shape == small.shape


@pytest.mark.parametrize("name", ["largest-sd", "largest-gba", "largest-gla", "largest-ca"])
def test_a_data_set_behind_a_login_is_refused_with_the_folder_for_its_files(tmp_path: Path, name: str):
    with pytest.raises(
        InputError, match=r"expected ca_his_raw_2019\.h5 and ca_meta\.csv in .*largest, which"
    ) as raised:
        fetch_dataset(name, cache_dir=tmp_path)
    assert CATALOG[name].source in str(raised.value)


def test_a_read_only_cache_is_reported(server: Server, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"expected to write into .*: name another folder in ELINFORMER_CACHE"):
        read_dataset(dataset(server.url("good")), tmp_path / "file")


def test_the_environment_variable_names_the_cache(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ELINFORMER_CACHE", str(tmp_path))
    monkeypatch.setitem(CATALOG, "small", dataset(server.url("good"), checksum=CHECKSUM))
    assert fetch_dataset("small") == tmp_path / "small"
    assert load_dataset("small").name == "small"
    assert server.asked == [None]


def test_fetching_the_embedded_set_finds_it_in_the_package():
    assert fetch_dataset("nyc-airports") == EMBEDDED

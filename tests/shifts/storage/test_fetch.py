"""Downloads against a server that cuts, stalls, lies and serves the wrong bytes: they resume or refuse."""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from effrob.cli import main
from shifts.errors import DataError, FetchFailed
from shifts.storage import archives, fetch
from shifts.storage.archives import ARCHIVES, Archive
from shifts.storage.fetch import RemoteFile, download

CONTENT = bytes(range(256)) * 800  # 204,800 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does with each request in turn; `asked` is what it saw.

    cuts       bytes sent before each of the next connections is cut; stall: the same, but it falls silent
    length     Content-Length it claims; shift: where a partial answer really starts
    """

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    length: int | None = None
    ranges: bool = True
    shift: int = 0
    etag: str | None = '"one"'
    no_length: bool = False
    encoding: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    quiet: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        how = self.behaviour
        how.asked.append((self.command, self.headers.get("Range")))
        self.close_connection = True
        if how.statuses:
            self.send_error(how.statuses.pop(0))
            return
        start = 0
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, how.etag)
        if how.ranges and asked and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(how.content):
                self.send_error(416)
                return
        sent = how.content[start + how.shift if start else 0 :]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start + how.shift}-{len(how.content) - 1}/{how.length or len(how.content)}"
            )
        if not how.no_length:
            self.send_header("Content-Length", str(len(sent) if how.length is None else how.length - start))
        if how.encoding:
            self.send_header("Content-Encoding", how.encoding)
        if how.etag:
            self.send_header("ETag", how.etag)
        self.send_header("Connection", "close")
        self.end_headers()
        if not body:
            return
        if how.stalls:
            self.wfile.write(sent[: how.stalls.pop(0)])
            self.wfile.flush()
            how.quiet.wait(20)
            return
        self.wfile.write(sent[: how.cuts.pop(0)] if how.cuts else sent)


@pytest.fixture
def served() -> Iterator[Callable[..., tuple[str, Behaviour]]]:
    """`served(**behaviour)` -> (address of the file, behaviour) of a server on the loopback interface."""
    running: list[tuple[ThreadingHTTPServer, Behaviour]] = []

    def start(**about: object) -> tuple[str, Behaviour]:
        behaviour = Behaviour(**about)  # type: ignore[arg-type]
        handler = type("Bound", (Handler,), {"behaviour": behaviour})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append((server, behaviour))
        return f"http://127.0.0.1:{server.server_port}/file.tar", behaviour

    yield start
    for server, behaviour in running:
        behaviour.quiet.set()
        server.shutdown()
        server.server_close()


def get(url: str, target: Path, **more: object) -> Path:
    known = {"size": len(CONTENT), "sha256": SHA} | more
    return download(RemoteFile(url, **known), target, patience=0.4, pause=0.01)  # type: ignore[arg-type]


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_file_is_fetched_checked_and_put_in_place(served, tmp_path: Path) -> None:
    url, how = served()
    seen: list[tuple[int, int | None]] = []
    download(
        RemoteFile(url, sha256=SHA), tmp_path / "deep/file.tar", progress=lambda had, total: seen.append((had, total))
    )
    assert (tmp_path / "deep/file.tar").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and how.asked == [("GET", None)]
    get(url, tmp_path / "deep/file.tar")
    assert len(how.asked) == 1  # it was there


def test_a_cut_connection_is_gone_on_with(served, tmp_path: Path) -> None:
    url, how = served(cuts=[49_152, 1, 81_920])
    get(url, tmp_path / "file.tar")
    assert (tmp_path / "file.tar").read_bytes() == CONTENT
    assert [asked for _, asked in how.asked] == [None, "bytes=49152-", "bytes=49152-", "bytes=131072-"]


def test_what_an_earlier_run_left_is_gone_on_with(served, tmp_path: Path) -> None:
    url, how = served(cuts=[98_304] + [0] * fetch.TRIES)
    with pytest.raises(FetchFailed, match="98,304 bytes are kept"):
        get(url, tmp_path / "file.tar")
    assert not (tmp_path / "file.tar").exists()
    get(url, tmp_path / "file.tar")
    assert how.asked[-1] == ("GET", "bytes=98304-") and (tmp_path / "file.tar").read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_asked_again(served, tmp_path: Path) -> None:
    url, how = served(stalls=[65_536, 10])
    get(url, tmp_path / "file.tar")
    assert [asked for _, asked in how.asked] == [None, "bytes=65536-", "bytes=65536-"]


def test_a_server_that_stays_silent_is_given_up(served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TRIES", 2)
    url, _ = served(stalls=[0, 0])
    with pytest.raises(FetchFailed, match="2 times in a row"):
        get(url, tmp_path / "file.tar")
    assert left(tmp_path) in ([".file.tar.part", ".file.tar.part.json"], [])


def test_a_file_that_changed_meanwhile_is_not_spliced(served, tmp_path: Path) -> None:
    new = CONTENT[::-1]
    url, how = served(cuts=[98_304] + [0] * fetch.TRIES)
    wanted = RemoteFile(url)
    with pytest.raises(FetchFailed):
        download(wanted, tmp_path / "file.tar", patience=0.4, pause=0.01)
    how.content, how.etag = new, '"two"'
    download(wanted, tmp_path / "file.tar", patience=0.4, pause=0.01)
    assert (tmp_path / "file.tar").read_bytes() == new


def test_without_a_checksum_or_a_validator_nothing_is_spliced(served, tmp_path: Path) -> None:
    url, how = served(cuts=[98_304], etag=None)
    download(RemoteFile(url), tmp_path / "file.tar", patience=0.4, pause=0.01)
    assert how.asked == [("GET", None), ("GET", None)] and (tmp_path / "file.tar").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew(served, tmp_path: Path) -> None:
    url, how = served(cuts=[98_304], ranges=False)
    get(url, tmp_path / "file.tar")
    assert how.asked[-1] == ("GET", "bytes=98304-") and (tmp_path / "file.tar").read_bytes() == CONTENT


def test_a_range_from_elsewhere_is_not_appended(served, tmp_path: Path) -> None:
    url, _ = served(cuts=[98_304], shift=7)
    get(url, tmp_path / "file.tar")
    assert (tmp_path / "file.tar").read_bytes() == CONTENT


def test_a_server_that_goes_round_in_circles_is_given_up(served, tmp_path: Path) -> None:
    url, how = served(cuts=[98_304, 98_304] * 50, shift=7)
    with pytest.raises(FetchFailed, match="times in a row"):
        get(url, tmp_path / "file.tar")
    assert len(how.asked) < 20


@pytest.mark.parametrize("claimed", [len(CONTENT) - 10, len(CONTENT) + 10])
def test_another_length_than_the_official_is_refused(served, tmp_path: Path, claimed: int) -> None:
    url, _ = served(length=claimed)
    with pytest.raises(DataError, match="it is another file"):
        get(url, tmp_path / "file.tar")
    assert left(tmp_path) == []


def test_a_server_that_promises_more_than_it_has_is_given_up(served, tmp_path: Path) -> None:
    url, _ = served(length=len(CONTENT) + 10)
    with pytest.raises(FetchFailed, match="times in a row"):
        get(url, tmp_path / "file.tar", size=None)
    assert not (tmp_path / "file.tar").exists()


@pytest.mark.parametrize(
    "about", [{"etag": '"x"'}, {"no_length": True}, {"no_length": True, "content": CONTENT + b"more"}]
)
def test_wrong_bytes_are_never_installed(served, tmp_path: Path, about: dict) -> None:
    content = about.pop("content", b"\0" + CONTENT[1:])
    url, _ = served(content=content, **about)
    if content.startswith(CONTENT):  # cut at the right length it is the right file
        get(url, tmp_path / "file.tar")
        return
    with pytest.raises(DataError, match="its sha256 is"):
        get(url, tmp_path / "file.tar")
    assert left(tmp_path) == []


def test_a_truncated_file_of_unknown_length_is_refused_by_its_checksum(served, tmp_path: Path) -> None:
    url, _ = served(content=CONTENT[:-1], no_length=True)
    with pytest.raises(DataError, match="its md5 is"):
        get(url, tmp_path / "file.tar", size=None, sha256=None, md5=hashlib.md5(CONTENT).hexdigest())
    assert left(tmp_path) == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_file_that_comes_packed_is_refused(served, tmp_path: Path, encoding: str) -> None:
    """A few kB of gzip were unpacked to whatever they held, and a length was compared with another file's."""
    packed = gzip.compress(bytes(3 << 20)) if encoding == "gzip" else zlib.compress(bytes(3 << 20))
    url, _ = served(content=packed, encoding=encoding)
    with pytest.raises(FetchFailed, match=f"packed as '{encoding}'"):
        get(url, tmp_path / "file.tar", size=None, sha256=None)
    assert left(tmp_path) == []


def test_a_file_without_length_or_end_is_given_up(served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "UNSAID", 50_000)
    url, _ = served(no_length=True)
    with pytest.raises(FetchFailed, match="names no length and sent more than 50,000 bytes"):
        get(url, tmp_path / "file.tar", size=None, sha256=None)
    assert not (tmp_path / "file.tar").exists()


def test_errors_of_the_server_are_waited_out_or_told(served, tmp_path: Path) -> None:
    url, how = served(statuses=[503, 429])
    get(url, tmp_path / "file.tar")
    assert len(how.asked) == 3
    url, how = served(statuses=[404])
    with pytest.raises(FetchFailed, match="answers 404"):
        get(url, tmp_path / "other.tar")
    assert len(how.asked) == 1


def test_a_disk_without_room_is_seen_before_anything_is_written(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = served()
    monkeypatch.setattr(fetch, "MARGIN", 1 << 60)
    with pytest.raises(DataError, match="GB free"):
        get(url, tmp_path / "file.tar")
    assert left(tmp_path) == []


def test_one_process_at_a_time_fetches_a_file(served, tmp_path: Path) -> None:
    url, how = served()
    with FileLock(tmp_path / ".file.tar.lock"), pytest.raises(FetchFailed, match="another process"):
        get(url, tmp_path / "file.tar")
    assert how.asked == []


def test_a_file_of_that_name_that_is_another_stays(served, tmp_path: Path) -> None:
    url, _ = served()
    (tmp_path / "file.tar").write_bytes(b"mine")
    with pytest.raises(DataError, match="is not the official file"):
        get(url, tmp_path / "file.tar")
    assert (tmp_path / "file.tar").read_bytes() == b"mine"


def test_a_kept_file_is_fetched_anew_where_the_server_has_another(served, tmp_path: Path) -> None:
    url, how = served()
    for content, etag in ((CONTENT, '"one"'), (b"new" * 1000, '"two"')):
        how.content, how.etag = content, etag
        for _ in range(2):
            download(RemoteFile(url), tmp_path / "s.tar", keep=True, patience=0.4, pause=0.01)
            assert (tmp_path / "s.tar").read_bytes() == content
    assert [method for method, _ in how.asked] == ["GET", "HEAD", "HEAD", "GET", "HEAD"]


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet-R's archive as the test's content; its address nowhere."""
    stand_in = Archive("imagenet-r.tar", "http://127.0.0.1:9/imagenet-r.tar", len(CONTENT), SHA)
    monkeypatch.setattr(archives, "ARCHIVES", {**ARCHIVES, "imagenet-r": stand_in})


def effrob(*args: object, **more: object):
    return CliRunner().invoke(main, ["data", *map(str, args)], **more)  # type: ignore[arg-type]


def test_the_command_shows_the_licence_and_wants_it_accepted(official: None, served, tmp_path: Path) -> None:
    url, how = served()
    asked = ["get", "imagenet-r", "--data", tmp_path / "data", "--mirror", url.removesuffix("/file.tar")]
    refused = effrob(*asked)
    assert refused.exit_code == 2 and "--accept-licence" in refused.stderr and how.asked == []
    assert "Hendrycks" in refused.stderr
    done = effrob(*asked, "--accept-licence")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "data/imagenet-r.tar").read_bytes() == CONTENT and "checksum is right" in done.stdout
    again = effrob(*asked)
    assert again.exit_code == 0 and "there already" in again.stdout and len(how.asked) == 1


def test_a_mirror_may_be_a_folder_and_is_checked_all_the_same(official: None, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "imagenet-r.tar").write_bytes(CONTENT[:-1] + b"\0")
    asked = ["get", "imagenet-r", "--data", tmp_path / "data", "--accept-licence", "--mirror", mirror]
    wrong = effrob(*asked)
    assert wrong.exit_code == 2 and "sha256" in wrong.stderr
    (mirror / "imagenet-r.tar").write_bytes(CONTENT)
    assert effrob(*asked).exit_code == 0
    assert (
        effrob("get", "imagenet-r", "--data", tmp_path / "d2", "--accept-licence", "--mirror", "/nowhere").exit_code
        == 2
    )


def test_objectnets_terms_and_imagenets_door_are_named(served, tmp_path: Path) -> None:
    shown = effrob("get", "objectnet", "--data", tmp_path)
    assert shown.exit_code == 2 and "never tune" in shown.stderr and "red border" in shown.stderr
    closed = effrob("get", "imagenet", "--data", tmp_path, "--accept-licence")
    assert closed.exit_code == 2 and "image-net.org" in closed.stderr and "--mirror" in closed.stderr
    unknown = effrob("get", "imagenet-q", "--data", tmp_path)
    assert unknown.exit_code == 2 and "imagenet-r" in unknown.stderr
    url, _ = served()
    got = effrob(
        "get",
        "objectnet",
        "--data",
        tmp_path,
        "--accept-licence",
        "--mirror",
        url.replace("file.tar", "objectnet-1.0.zip"),
    )
    assert got.exit_code == 0 and "no official checksum" in got.stdout and "unzip objectnet-1.0.zip" in got.stdout


def test_every_official_archive_lies_where_the_loaders_look() -> None:
    from shifts.layout import candidates

    assert set(ARCHIVES) == {n for n in archives.LAYOUTS if n.startswith(("imagenet", "objectnet"))}
    for name, archive in ARCHIVES.items():
        assert archive.file in candidates(name)
        assert archive.url is not None or archive.by_hand is not None
        assert name == "objectnet" or archive.sha256 or archive.md5

"""What makes the first call of a hook quick: isolates made ahead, functions loaded beside the requests, a snapshot on disk."""
import os
import re
from pathlib import Path

from harness.waiting import wait_until

HOOK = "export default {{ onRequest() {{ return new Response('{}'); }} }};"


def functions(count: int) -> dict:
    return {
        "functions": "\n".join(f"f{n}: {{file: hooks/f{n}.js, lane: inline}}" for n in range(count)),
        "hooks": {f"f{n}.js": HOOK.format(f"old {n}") for n in range(count)},
        "request": "".join(f"- name: r{n}\n  when: path == \"/{n}\"\n  do: [{{run: {{function: f{n}}}}}]\n" for n in range(count)),
    }


def taken(gateway, source: str) -> int:
    return int(gateway.metric("sluice_isolates_taken_total", **{"from": source}))


def test_functions_of_a_reload_find_an_isolate_ready(start):
    gateway = start(**functions(12))
    assert gateway.fetch("http1", "GET", "/3").body == b"old 3"
    wait_until(lambda: gateway.metric("sluice_isolates_spare") == 8, "a full pool")
    for n in range(12):
        (gateway.folder / f"hooks/f{n}.js").write_text(HOOK.format(f"new {n}"))
    before = taken(gateway, "scratch")
    gateway.reload()
    for n in range(12):
        assert gateway.fetch("http1", "GET", f"/{n}").body == f"new {n}".encode()
    wait_until(lambda: taken(gateway, "pool") >= 8, "functions with an isolate from the pool")
    assert taken(gateway, "scratch") - before <= 4
    wait_until(lambda: gateway.metric("sluice_isolates_spare") == 8, "a full pool again")


def test_functions_that_nobody_calls_are_loaded_beside_the_requests(start):
    gateway = start(**functions(3))
    for n in range(3):
        (gateway.folder / f"hooks/f{n}.js").write_text(HOOK.format(f"new {n}"))
    gateway.reload()
    wait_until(lambda: gateway.metric("sluice_isolates_live") == 3, "three functions loaded without a call")
    assert [gateway.fetch("http1", "GET", f"/{n}").body for n in range(3)] == [b"new 0", b"new 1", b"new 2"]


def test_a_gateway_without_functions_makes_no_isolate(start):
    gateway = start(request="- name: a\n  do: [{respond: {status: 204}}]\n")
    assert gateway.fetch("http1", "GET", "/").status == 204
    assert gateway.metric("sluice_isolates_spare") == 0


def snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("snapshot-*"))


def start_in(start, folder: Path):
    gateway = start(**functions(1), arguments=["--cache", str(folder)])
    assert gateway.fetch("http1", "GET", "/0").body == b"old 0"
    gateway.stop()
    return gateway


def test_the_snapshot_is_kept_and_used_again(start, tmp_path):
    folder = tmp_path / "cache"
    start_in(start, folder)
    [kept] = snapshots(folder)
    assert re.fullmatch(r"snapshot-[0-9a-f]{32}", kept.name)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    first = kept.stat()
    start_in(start, folder)
    again = kept.stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_damaged_snapshot_is_made_anew(start, tmp_path):
    folder = tmp_path / "cache"
    start_in(start, folder)
    [kept] = snapshots(folder)
    good = kept.read_bytes()
    kept.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    start_in(start, folder)
    [kept] = snapshots(folder)
    assert kept.read_bytes()[:32] == good[:32] and kept.stat().st_size > 5000
    inode = kept.stat().st_ino
    start_in(start, folder)
    assert kept.stat().st_ino == inode


def test_a_snapshot_that_others_could_write_is_not_used(start, tmp_path):
    folder = tmp_path / "cache"
    start_in(start, folder)
    [kept] = snapshots(folder)
    inode = kept.stat().st_ino
    kept.chmod(0o666)
    start_in(start, folder)
    assert kept.stat().st_ino != inode
    assert kept.stat().st_mode & 0o777 == 0o600
    os.chmod(folder, 0o777)
    gateway = start_in(start, folder)
    assert "the startup snapshot is not kept on disk" in gateway.text


def test_snapshots_of_other_builds_go(start, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / ("snapshot-" + "0" * 32)).write_bytes(b"old")
    (folder / "other").write_bytes(b"not ours")
    start_in(start, folder)
    assert len(snapshots(folder)) == 1
    assert (folder / "other").exists()


def test_without_a_cache_folder_it_serves_all_the_same(start):
    gateway = start(**functions(1), arguments=["--cache", "off"])
    assert gateway.fetch("http1", "GET", "/0").body == b"old 0"

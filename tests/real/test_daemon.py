"""One real daemon: start, limits, stop, drain, clone, kill; after each its fixture proves that nothing is left."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import closing

import pytest

from sim import tools
from sim.cli import main
from sim.errors import EnvironmentMissing, InputError
from sim.real.cgroups import hierarchies
from sim.real.daemon import CacheLimits, Daemon, DaemonSpec, RemoteDaemon, Tls
from sim.trace import read_trace


def test_it_answers_and_only_its_owner_may_ask(a_daemon):
    daemon = a_daemon()
    assert daemon.is_alive()
    assert daemon.answers()
    assert daemon.platforms()[0].startswith("linux/")
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    assert daemon.folder.stat().st_mode & 0o777 == 0o700
    assert daemon.running_builds() == []
    assert daemon.disk() == []


def test_the_version_is_the_pinned_one(a_daemon):
    assert f"github.com/moby/buildkit {tools.versions()['buildkit']}" in a_daemon().ask("debug", "workers", "-v")


def test_steps_run_in_its_group_within_its_limits(a_daemon, build, wait_for, runs):
    daemon = a_daemon(cpus=0.5, platforms=("linux/amd64",))
    assert "linux/386" not in daemon.platforms()
    running = build(daemon, ["burn", "1"])
    wait_for(lambda: runs(daemon, "burn", "1"))
    assert len(daemon.running_builds()) == 1
    assert running.wait() == 0
    used = daemon.usage()
    # A second of wall time at half a core, and a period of 0.05 s at either end.
    assert 0.2 < used.steps_cpu_s <= 0.6
    assert sum(record.size_bytes for record in daemon.disk()) > 1e6


def test_collection_is_written_as_depots_agent_does(a_daemon):
    daemon = a_daemon(cache=CacheLimits(max_bytes=50e9, keep_s=14 * 86400))
    told = daemon.ask("debug", "workers", "-v")
    assert "336h0m0s" in told  # 14 days
    assert "50GB" in told


def test_a_policy_that_buildkit_does_not_have(machine, fleet_folder):
    daemon = Daemon(DaemonSpec("a", cache=CacheLimits(max_bytes=1e9, policy="lru")), fleet_folder / "a")
    with pytest.raises(InputError, match="no cache policy 'lru'"):
        daemon.start()


def test_slots(a_daemon, build):
    begun_s = time.monotonic()
    stages = ["FROM base AS x", ["sleep", "0.6"], "FROM base AS y", ["sleep", "0.601"], "FROM scratch"]
    copies = ["COPY --from=x /step /x", "COPY --from=y /step /y"]
    assert build(a_daemon(max_parallelism=1), *stages, *copies).wait() == 0
    assert time.monotonic() - begun_s > 1.2


def test_a_stop_waits_for_no_build_unless_told(a_daemon, build, wait_for, runs):
    daemon = a_daemon()
    running = build(daemon, ["sleep", "1.5"])
    wait_for(lambda: runs(daemon, "sleep", "1.5"))
    with pytest.raises(EnvironmentMissing, match="1 build still runs"):
        daemon.stop()
    assert daemon.is_alive()
    daemon.stop(drain=True)
    assert running.wait() == 0, running.said
    assert not daemon.is_alive()


def test_a_root_that_stays_is_used_again(a_daemon, build, fleet_folder):
    daemon = a_daemon()
    assert build(daemon, ["sleep", "0.01"]).wait() == 0
    daemon.stop()
    daemon.start()
    again = build(daemon, ["sleep", "0.01"])
    assert again.wait() == 0
    assert again.cached == 2
    daemon.stop()
    other = Daemon(DaemonSpec("other"), fleet_folder / "other")
    other.start(base=daemon.root)
    assert not daemon.root.exists()
    assert len(other.disk()) > 2
    other.kill(keep_root=False)


def test_a_clone_of_a_daemon_that_builds(a_daemon, build, wait_for, runs):
    origin = a_daemon()
    steps = [["write", "/one", "1000000"], ["sleep", "0.01"]]
    assert build(origin, *steps).wait() == 0
    running = build(origin, *steps, ["sleep", "1.5"])
    wait_for(origin.running_builds)
    clone = a_daemon("b", root_of=origin)
    known = build(clone, *steps)
    assert known.wait() == 0
    assert known.cached == 3
    assert clone.running_builds() == []
    assert running.wait() == 0  # the origin went on
    assert clone.ask("du") != ""


def test_held_it_is_silent_and_then_goes_on(a_daemon):
    daemon = a_daemon()
    with daemon.held():
        assert not daemon.answers(timeout_s=0.3)
    assert daemon.answers()


def test_a_killed_daemon_keeps_what_was_finished(a_daemon, build, wait_for, runs):
    daemon = a_daemon()
    running = build(daemon, ["write", "/one", "1000"], ["sleep", "30"])
    wait_for(lambda: runs(daemon, "sleep", "30"))
    daemon.kill()
    assert running.wait() == 1
    daemon.start()
    again = build(daemon, ["write", "/one", "1000"], ["sleep", "0.01"])
    assert again.wait() == 0
    assert again.cached == 2


def test_out_of_memory_ends_the_step_not_the_daemon(a_daemon, build):
    daemon = a_daemon(memory_bytes=150e6)
    failing = build(daemon, ["hold", "300000000", "1"])
    assert failing.wait() == 1
    said = "cannot allocate memory" if hierarchies().is_v2 else "exit code: 137"  # semantics 13.5
    assert any(line.endswith(f"successfully: {said}") for line in failing.said)
    assert daemon.answers()


@pytest.fixture
def certificates(tmp_path):
    """An authority, and one certificate for both sides."""
    run = lambda *words: subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)  # noqa: E731
    key = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    run("req", *key, "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=localhost")
    (tmp_path / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
    run("x509", "-req", "-in", "csr.pem", *signed, "-out", "cert.pem")
    return Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")


def test_a_remote_daemon_with_certificates(a_daemon, certificates, build, tmp_path):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    daemon = a_daemon()
    daemon.stop()
    config = daemon.folder / "buildkitd.toml"
    tls = "".join(
        f'    {name} = "{path}"\n' for name, path in zip(("ca", "cert", "key"), certificates.files(), strict=True)
    )
    text = config.read_text().replace("  address = [", f'  address = ["tcp://127.0.0.1:{port}", ')
    config.write_text(text.replace("[otel]", f"  [grpc.tls]\n{tls}[otel]"))
    daemon.group.create()
    daemon._launch()
    remote = RemoteDaemon("far", f"tcp://127.0.0.1:{port}", certificates)
    until_s = time.monotonic() + 10
    while not remote.answers() and time.monotonic() < until_s:
        time.sleep(0.05)
    remote.check("linux/amd64")
    with pytest.raises(InputError, match="does not build linux/s390x; it builds linux/amd64"):
        remote.check("linux/s390x")
    assert build(remote, ["sleep", "0.01"]).wait() == 0
    assert len(remote.disk()) > 2
    assert not RemoteDaemon("bare", remote.address).answers()
    files = zip(("ca", "cert", "key"), certificates.files(), strict=True)
    words = [word for name, path in files for word in (f"--tls-{name}", str(path))]
    assert main(["import", "--daemon", remote.address, *words, "-o", str(tmp_path / "out"), "-q"]) == 0
    assert read_trace(tmp_path / "out").builds["outcome"].tolist() == ["ok"]


def test_a_remote_daemon_that_is_not_there(can_run_daemons):
    with pytest.raises(EnvironmentMissing, match=r"tcp://127\.0\.0\.1:1: the daemon does not answer"):
        RemoteDaemon("far", "tcp://127.0.0.1:1").check()


def test_half_a_certificate(tmp_path):
    (tmp_path / "cert.pem").touch()
    with pytest.raises(InputError, match="needs its key"):
        Tls(cert=tmp_path / "cert.pem").check()
    with pytest.raises(InputError, match="no such file"):
        Tls(ca=tmp_path / "ca.pem").check()


def test_an_outside_kill_is_seen_and_cleaned(a_daemon, build, wait_for, runs):
    daemon = a_daemon()
    running = build(daemon, ["sleep", "30"])
    wait_for(lambda: runs(daemon, "sleep", "30"))
    daemon.process.send(signal.SIGKILL)
    wait_for(lambda: not daemon.is_alive())
    assert running.wait() == 1
    assert daemon.group.pids()  # the orphan of semantics 9b
    daemon.stop()
    assert daemon.group.pids() == set()

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from sim import scenario
from sim.errors import InputError
from sim.scenario.farm import Autoscaling, CacheLimits, Farm, Price, Runner
from sim.scenario.fields.preset import presets

Load = Callable[..., scenario.Scenario]

TARGETS = ["base", "app", "db", "cron"]
IDS = {target: f"project-{target}" for target in TARGETS}
GIB = 2**30


@pytest.fixture
def farm(load: Load, tmp_path: Path) -> Callable[..., Farm]:
    """The farm of a bake file's scenario with flags."""
    (tmp_path / "docker-bake.hcl").write_text("")

    def resolved(*sets: str, ids: dict[str, str] | None = None, on: str = "{preset: depot}") -> Farm:
        read = load("targets=null", "bake=docker-bake.hcl", *sets, farm=on)
        return scenario.resolve_farm(read, TARGETS, ids or {})

    return resolved


def test_without_a_preset_it_is_a_plain_daemon_that_is_up(farm: Callable[..., Farm]) -> None:
    assert farm(on="{runner: {cpus: 2, memory: 8GiB}}") == Farm(
        runner=Runner(cpus=2, memory_bytes=8 * GIB), projects=dict.fromkeys(TARGETS, "main")
    )


def test_depot_has_its_published_numbers(farm: Callable[..., Farm]) -> None:
    # farm-facts A1, A4, D3
    depot = farm()
    assert depot.runner == Runner(16, 32 * GIB, 1e9, 500e6, 625e6, 0.04, "default")
    assert dict(depot.platforms) == {"linux/amd64": 1, "linux/arm64": 1}
    assert (depot.max_parallelism, depot.autoscaling, depot.write_back) == (12, None, "discard")
    assert (depot.boot_s, depot.clone_s, depot.standby_boot_s, depot.idle_timeout_s) == (25, 3, 2, 120)
    assert (depot.acquire_timeout_s, depot.cache) == (300, CacheLimits(50e9, 14 * 86400))
    assert depot.price == Price("lease", 0.2, 0)


@pytest.mark.parametrize(("size", "cpus", "gib", "price"), [("large", 32, 64, 0.08), ("xlarge", 64, 128, 0.16)])
def test_a_size_sets_cpus_memory_and_price(
    farm: Callable[..., Farm], size: str, cpus: int, gib: int, price: float
) -> None:
    runner = farm(f"farm.size={size}").runner
    assert (runner.cpus, runner.memory_bytes, runner.price_per_minute, runner.size) == (cpus, gib * GIB, price, size)


def test_what_is_written_goes_before_the_preset(farm: Callable[..., Farm]) -> None:
    changed = farm("farm.cache.max=100GB", "farm.boot=40s", "farm.standby.count=2", "farm.idle_timeout=never")
    assert (changed.cache.max_bytes, changed.cache.keep_s) == (100e9, 14 * 86400)
    assert (changed.boot_s, changed.standby_count, changed.standby_boot_s, changed.idle_timeout_s) == (40, 2, 2, inf)


def test_boots_wait_and_vary_only_where_it_is_said(farm: Callable[..., Farm]) -> None:
    assert (farm().boots_at_once, farm().boot_law) == (0, "fixed")
    changed = farm("farm.boots_at_once=4", "farm.boot_law=exponential")
    assert (changed.boots_at_once, changed.boot_law) == (4, "exponential")
    # farm-facts B: SocialGouv's max-cold-starts
    assert farm(on="{preset: socialgouv, runner: {cpus: 4}}").boots_at_once == 8


def test_check_tells_of_boots_and_of_standby_machines_and_who_pays_them(load: Load) -> None:
    read = load(
        farm="{preset: depot, boots_at_once: 4, boot_law: exponential, standby: {count: 2}, price: {per: runner}}"
    )
    text = "\n".join(scenario.describe(read, scenario.resolve_farm(read, ["app", "db"], {})))
    assert "boot 25 s on average (exponential), 4 at once on the whole farm, clone 3 s, 2 on standby a platform" in text
    assert "$0.04 a minute of each runner and each machine on standby" in text


def test_off_and_null_go_back_to_the_plain_daemon(farm: Callable[..., Farm]) -> None:
    plain = farm("farm.acquire_timeout=none", "farm.cache=null", "farm.boot=null", "farm.standby=off")
    assert (plain.acquire_timeout_s, plain.cache, plain.boot_s, plain.standby_boot_s) == (inf, CacheLimits(), 0, 0)


def test_autoscaling_is_on_when_it_has_a_limit_and_can_be_switched_off(farm: Callable[..., Farm]) -> None:
    assert farm("farm.autoscaling.builds_per_instance=2").autoscaling == Autoscaling(2, 20, "queue")
    assert farm("farm.autoscaling.builds_per_instance=2", "farm.autoscaling=off").autoscaling is None
    assert farm(on="{preset: google-cloud-build, runner: {cpus: 4}}").autoscaling == Autoscaling(1, 10, "queue")
    assert farm(on="{preset: google-cloud-build, runner: {cpus: 4}, autoscaling: off}").autoscaling is None


def test_other_cpus_scale_memory_and_price_and_say_so(load: Load) -> None:
    read = load(farm="{preset: depot, runner: {cpus: 8}}")
    runner = scenario.resolve_farm(read, ["app", "db"], {}).runner
    assert (runner.cpus, runner.memory_bytes, runner.price_per_minute, runner.size) == (8, 16 * GIB, 0.02, "")
    assert read.notes[0] == (
        "8 cpus: memory 17.2 GB and price $0.02 a minute scaled pro rata from size default (16 cpus)"
    )


def test_a_written_price_is_kept_and_a_difference_is_told(load: Load) -> None:
    read = load(farm="{preset: depot, size: large, price: {minute: $0.04}}")
    assert scenario.resolve_farm(read, ["app", "db"], {}).runner.price_per_minute == 0.04
    assert "price: $0.04 a minute as written; size large lists $0.08" in read.notes
    assert not any("scaled" in note for note in load(farm="{preset: depot, price: {minute: $0.04}}").notes)


def test_overrides_choose_a_size_or_a_runner(farm: Callable[..., Farm]) -> None:
    many = farm(
        "farm.overrides=[{project: app, size: large}, {platform: linux/arm64, runner: {cpus: 8}}, "
        "{project: app, platform: linux/arm64, size: xlarge, runner: {memory: 100GiB}}]",
        "projects=per_target",
    )
    assert many.runner_for("db", "linux/amd64").cpus == 16
    assert many.runner_for("app", "linux/amd64").price_per_minute == 0.08
    assert many.runner_for("db", "linux/arm64").memory_bytes == 16 * GIB
    last = many.runner_for("app", "linux/arm64")
    assert (last.cpus, last.memory_bytes, last.price_per_minute) == (64, 100 * GIB, 0.16)


def test_a_written_price_carries_over_to_the_size_of_an_override(farm: Callable[..., Farm]) -> None:
    twice = farm("farm.price.minute=$0.08", "farm.overrides=[{project: app, size: large}]", "projects=per_target")
    assert twice.runner_for("app", "linux/amd64").price_per_minute == pytest.approx(0.16)


def test_emulation_is_a_slow_down(farm: Callable[..., Farm]) -> None:
    platforms = farm("farm.platforms={linux/amd64: native, linux/arm64: {emulated: 8}}").platforms
    assert dict(platforms) == {"linux/amd64": 1, "linux/arm64": 8}


def test_targets_bring_their_platforms_where_the_farm_names_none(load: Load) -> None:
    read = load("targets.app.platforms=[linux/amd64, linux/386]")
    assert list(scenario.resolve_farm(read, ["app", "db"], {}).platforms) == ["linux/amd64", "linux/386"]


@pytest.mark.parametrize(
    ("sets", "ids", "projects"),
    [
        ([], {}, dict.fromkeys(TARGETS, "main")),
        ([], IDS, IDS),
        ([], {"base": "project-base"}, dict.fromkeys(TARGETS, "main")),
        (["projects=one"], IDS, dict.fromkeys(TARGETS, "main")),
        (["projects=per_target"], IDS, {target: target for target in TARGETS}),
        (["projects=from_bake"], IDS, IDS),
        (
            ["projects={base: base, jobs: [db, cron], web: [app]}"],
            {},
            {"base": "base", "app": "web", "db": "jobs", "cron": "jobs"},
        ),
        (["projects={jobs: [db, cron]}"], IDS, IDS | {"db": "jobs", "cron": "jobs"}),
    ],
)
def test_projects(farm: Callable[..., Farm], sets: list[str], ids: dict[str, str], projects: dict[str, str]) -> None:
    assert farm(*sets, ids=ids).projects == projects


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("projects=from_bake", "no project id for target 'app', 'db', 'cron'; add project_id"),
        ("projects={x: [bas]}", "projects.x: unknown target 'bas'; did you mean 'base'"),
        ("projects={x: [base, db, cron]}", "no project for target 'app'"),
        ("farm.overrides=[{platform: linux/386, size: large}]", "no platform 'linux/386'"),
        ("farm.overrides=[{project: mian, size: large}]", "unknown project 'mian'; did you mean 'main'"),
    ],
)
def test_projects_that_do_not_fit_the_graph(farm: Callable[..., Farm], flag: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        farm(flag, ids={"base": "project-base"})
    assert str(caught.value).startswith(f"--set {flag}: ")


@pytest.mark.parametrize("name", sorted(presets()))
def test_each_preset_loads_and_says_what_is_not_known(load: Load, name: str) -> None:
    preset = presets()[name]
    cpus = "" if preset.default_size else ", runner: {cpus: 4}"
    read = load(farm=f"{{preset: {name}{cpus}}}")
    assert scenario.resolve_farm(read, ["app", "db"], {}).runner.cpus >= 4
    assert preset.unknown
    assert any(note.startswith(f"preset {name}: no source for {preset.unknown[0]}") for note in read.notes)
    for size in preset.sizes:
        resized = load(f"farm.size={size}", farm=f"{{preset: {name}}}")
        assert scenario.resolve_farm(resized, ["app", "db"], {}).runner.size == size


def test_each_number_of_the_presets_has_a_source_beside_it() -> None:
    lines = Path(scenario.__file__).with_name("presets.yaml").read_text().splitlines()
    section = False
    for line in lines:
        section = "farm:" in line or (section and line.startswith("    "))
        if section and any(letter.isdigit() for letter in line.partition("#")[0]):
            assert "facts" in line.partition("#")[2], line


def test_check_describes_in_about_ten_lines(load: Load) -> None:
    read = load(
        "horizon=5d", "warmup=8h", workload="[{build: [app], arrivals: {rate: 12/h, cv: 2.7}}]", farm="{preset: depot}"
    )
    lines = scenario.describe(read, scenario.resolve_farm(read, ["app", "db"], {}))
    assert len([line for line in lines if not line.startswith("note: ")]) == 10
    text = "\n".join(lines)
    for part in (
        "2 targets (app, db) from Dockerfiles, in 1 project",
        "default: 16 cpus, 32 GiB memory",
        "auto-scaling: off",
        "boot 25 s, clone 3 s, stops after 2m idle",
        "50 GB a project and platform, kept 14d",
        "12 pushes an hour (flat, cv 2.7), each builds app",
        "5d from mon 08:00, the first 8h not counted; objective cost per request",
    ):
        assert part in text

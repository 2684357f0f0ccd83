from sim.metrics import timeline


def test_concurrency_by_hand(make):
    found = timeline(make())
    at = dict(zip(found.time_s.tolist(), zip(found.waiting, found.running, found.runners, strict=True), strict=True))
    assert at[0] == (2, 0, 0)
    assert at[10] == (0, 2, 1)
    assert at[30] == (1, 3, 2)  # builds 0, 1, 2 run, 3 waits
    assert at[40] == (0, 3, 2)
    assert at[110] == (0, 0, 0)


def test_an_area_is_the_time_spent(make):
    found = timeline(make())
    spent = sum(n * (b - a) for n, a, b in zip(found.running, found.time_s, found.time_s[1:], strict=False))
    assert spent == 60 + 30 + 30 + 30

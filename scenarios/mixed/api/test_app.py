from app import app


def test_health_answers_ok() -> None:
    assert app.test_client().get("/api/health").text == "ok"

"""The public API: passes a search on to the search service."""

import os
import urllib.parse
import urllib.request

from flask import Flask, Response, request

app = Flask(__name__)
SEARCH = os.environ.get("SEARCH", "http://search:8000")


@app.get("/api/search")
def search() -> Response:
    words = urllib.parse.quote(request.args.get("q", ""))
    with urllib.request.urlopen(f"{SEARCH}/{words}", timeout=2) as found:
        return Response(found.read(), mimetype="application/json")


@app.get("/api/health")
def health() -> str:
    return "ok"

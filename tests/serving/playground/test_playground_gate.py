"""Who may ask for what: keys, origins, names of the machine, templates, and bodies that are no requests."""

from __future__ import annotations

import httpx
import pytest
from playground_factories import KEY, LISTWISE, POINTWISE, USER, post

from genrec.errors import SettingsError
from genrec.serving.hosts import check_host
from genrec.settings import ServingSettings


class TestGate:
    ROUTES = ("state", "templates/rank/listwise", "users", "preview", "lint", "diff", "run")

    @pytest.mark.parametrize("path", ROUTES)
    def test_data_need_the_key(self, locked: httpx.Client, path: str) -> None:
        method = "GET" if path in ("state", "templates/rank/listwise", "users") else "POST"
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert locked.request(method, f"/api/{path}", headers=headers).status_code == 401
        assert locked.request(method, f"/api/{path}", headers={"Authorization": f"Bearer {KEY}"}).status_code != 401

    def test_the_page_needs_none_and_holds_to_a_strict_policy(self, locked: httpx.Client) -> None:
        page = locked.get("", follow_redirects=True)
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert locked.get("/static/app.js").headers["content-type"].startswith("text/javascript")
        assert locked.get("/static/..%2Froutes.py").status_code in (401, 404)
        assert locked.get("/static/nothing.js").status_code == 404

    def test_pages_of_others_are_refused(self, api: httpx.Client) -> None:
        body = {"template": LISTWISE, "inputs": USER}
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert api.post("/api/preview", json=body, headers=headers).status_code == 403
        own = f"http://{api.base_url.host}:{api.base_url.port}"
        assert api.post("/api/preview", json=body, headers={"Origin": own}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::", "localhost@evil.example"])
    def test_strange_names_of_this_machine_are_refused(self, api: httpx.Client, host: str) -> None:
        assert api.get("/api/state", headers={"Host": host}).status_code == 403
        assert api.get("", headers={"Host": host}).status_code == 403

    @pytest.mark.parametrize("kind", ["preview", "lint", "diff", "run"])
    def test_no_template_is_taken_without_the_flag(self, locked: httpx.Client, kind: str) -> None:
        template = {**POINTWISE, "source": "---\n"}
        body = {"template": template} if kind in ("lint", "diff") else {"template": template, "inputs": USER}
        response = locked.post(f"/api/{kind}", json=body, headers={"Authorization": f"Bearer {KEY}"})
        assert response.status_code == 403
        assert "--allow-template-preview" in response.json()["error"]["message"]

    def test_stored_templates_are_shown_without_it(self, locked: httpx.Client) -> None:
        locked.headers["Authorization"] = f"Bearer {KEY}"
        try:
            assert post(locked, "preview", POINTWISE, inputs=USER)["prompt"] is not None
            assert post(locked, "run", POINTWISE, inputs=USER)["answer"] is not None
        finally:
            del locked.headers["Authorization"]

    def test_other_machines_are_never_served_with_it(self) -> None:
        with pytest.raises(SettingsError, match="this machine only"):
            check_host(ServingSettings(host="0.0.0.0", allow_template_preview=True))
        for host in ("127.0.0.1", "localhost", "::1"):
            check_host(ServingSettings(host=host, allow_template_preview=True))
        check_host(ServingSettings(host="0.0.0.0"))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "JSON"),
        ('{"template": {"id": "rank/listwise"}}', 400, "inputs"),
        ('{"template": {"id": "../x"}, "inputs": {"user_id": "secret"}}', 400, "template.id"),
        ('{"template": {"id": "rank/x"}, "inputs": {"user_id": "secret"}}', 404, "no template"),
        ('{"template": {"id": "rank/listwise"}, "inputs": {}}', 400, "one of"),
        ('{"template": {"id": "rank/listwise"}, "inputs": {"user_id": "secret", "case": "x"}}', 400, "one of"),
        ('{"template": {"id": "rank/listwise"}, "inputs": {"user_id": "secret", "extra": 1}}', 400, "extra"),
        (f'{{"template": {{"id": "rank/listwise", "source": "{"x" * 70000}"}}, "inputs": {{}}}}', 400, "65536"),
        ("x" * (5 * 1024 * 1024), 413, "longer"),
    ],
)
def test_bad_requests(api: httpx.Client, body: str, status: int, words: str) -> None:
    response = api.post("/api/preview", content=body)
    assert response.status_code == status
    assert words in response.json()["error"]["message"]
    assert "secret" not in response.text

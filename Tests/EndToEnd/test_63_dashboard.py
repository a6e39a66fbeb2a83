"""The dashboard in a real browser, the live tail, and the commands that watch a running gateway."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from harness import http1
from harness.gateway import binary
from harness.waiting import BOUND, wait_until

RULES = ('- {name: fail, when: path == "/fail", do: [{respond: {status: 500, body: "no"}}]}\n'
         '- {name: never, when: path == "/never", do: [{respond: {status: 200, body: "x"}}]}\n'
         '- {name: run, when: path starts_with "/hook", do: [{run: mark}]}')


@pytest.fixture
def gateway(start):
    return start(functions="mark: {file: hooks/mark.js}", hooks={"mark.js": "export default { onRequest() {} };"}, request=RULES)


def sluice(gateway, *arguments):
    done = subprocess.run([str(binary()), *arguments], capture_output=True, text=True, timeout=BOUND, cwd=gateway.folder,
                          env={**os.environ, **gateway.environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/profile",
                     "--no-proxy-server"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_window_size(1280, 900)
    yield driver
    complaints = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE" and "401" not in entry["message"]]
    driver.quit()
    assert not complaints


def shows(browser, *texts):
    def all_there():
        page = browser.find_element(By.TAG_NAME, "body").text
        return all(text in page for text in texts)

    wait_until(all_there, f"the page shows {texts}")


def picture(browser, name):
    """Kept for people where SLUICE_PICTURES names a folder."""
    if folder := os.environ.get("SLUICE_PICTURES"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def traffic(gateway):
    for path in ("/a", "/a", "/hook/1", "/fail"):
        gateway.fetch("http1", "GET", path)


def test_the_link_of_the_command_shows_sites_upstreams_functions_and_workers(gateway, browser):
    traffic(gateway)
    browser.get(sluice(gateway, "dashboard").strip())
    shows(browser, "serving, version", "Generation 1", "test", "origin", "mark", "ready", "in flight")
    assert "token" not in browser.current_url
    heaps = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#functions tbody tr td:nth-child(5)")]
    assert gateway.metric("sluice_function_heap_bytes", function="mark") > 10_000 and all(heap.endswith("iB") for heap in heaps) and heaps
    traffic(gateway)
    wait_until(lambda: any("%" in (mix.get_attribute("aria-label") or "") for mix in browser.find_elements(By.CLASS_NAME, "mix")),
               "the status mix has numbers")
    picture(browser, "overview")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    picture(browser, "overview-dark")
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})
    assert dark != browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_on_a_phone_nothing_is_wider_than_the_screen(gateway, browser):
    traffic(gateway)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True})
    browser.get(sluice(gateway, "dashboard").strip())
    shows(browser, "Generation 1", "mark")
    picture(browser, "phone")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_rules_are_listed_with_their_hits_and_those_that_never_matched(gateway, browser):
    traffic(gateway)
    browser.get(sluice(gateway, "dashboard").strip())
    browser.find_element(By.CSS_SELECTOR, "[data-view=rules]").click()
    shows(browser, "test/never", "never matched", "test/fail")
    browser.find_element(By.ID, "neverHit").click()
    wait_until(lambda: "test/fail" not in browser.find_element(By.ID, "ruleTable").text, "only rules that never matched")
    assert "test/never" in browser.find_element(By.ID, "ruleTable").text


def test_a_live_request_opens_to_its_decisions_by_keyboard(gateway, browser):
    browser.get(sluice(gateway, "dashboard").strip())
    shows(browser, "Generation 1")
    browser.find_element(By.CSS_SELECTOR, "[data-view=live]").send_keys(Keys.ENTER)

    def seen():
        gateway.fetch("http1", "GET", "/hook/live")
        return browser.find_elements(By.CSS_SELECTOR, "#liveTable button.open")

    wait_until(seen, "a live request")
    browser.find_element(By.ID, "pause").send_keys(Keys.ENTER)
    button = browser.find_elements(By.CSS_SELECTOR, "#liveTable button.open")[0]
    button.send_keys(Keys.ENTER)
    details = browser.find_element(By.CSS_SELECTOR, "#liveTable pre").text
    assert "matched rule test/run" in details and "hook mark (request): continue" in details and "upstream origin" in details
    picture(browser, "live")


def test_without_a_token_the_page_asks_for_one(gateway, browser):
    browser.get(f"http://127.0.0.1:{gateway.ports.admin}/")
    shows(browser, "Token needed")
    field = browser.find_element(By.ID, "token")
    field.send_keys("wrong" + Keys.ENTER)
    shows(browser, "not known")
    field.clear()
    field.send_keys(sluice(gateway, "token").strip() + Keys.ENTER)
    shows(browser, "Generation 1")


def test_the_page_may_load_nothing_from_elsewhere_nor_be_framed(gateway):
    with http1.Connection(gateway.ports.admin) as client:
        policy = client.request("GET", "/", host="127.0.0.1").header("content-security-policy")
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_with_ten_thousand_rules_the_page_stays_small(start, browser):
    rules = "\n".join(f'- {{name: r{index}, when: path == "/r{index}", do: [{{respond: {{status: 204}}}}]}}' for index in range(10_000))
    gateway = start(request=rules)
    browser.get(sluice(gateway, "dashboard").strip())
    shows(browser, "Generation 1")
    browser.find_element(By.CSS_SELECTOR, "[data-view=rules]").click()
    shows(browser, "300 of 10000 shown, 10000 of 10000 never matched")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#ruleTable tbody tr")) == 300


def test_tail_prints_requests_as_they_end(gateway):
    tail = subprocess.Popen([str(binary()), "tail", "--json", "-n", "1", "--status", "5xx"], stdout=subprocess.PIPE, text=True,
                            cwd=gateway.folder, env={**os.environ, **gateway.environment})
    try:
        def ended():
            gateway.fetch("http1", "GET", "/a")
            gateway.fetch("http1", "GET", "/fail")
            return tail.poll() is not None

        wait_until(ended, "the tail has shown a request")
        line = json.loads(tail.stdout.read())
    finally:
        tail.kill()
        tail.wait()
    assert line["path"] == "/fail" and line["rules"] == ["test/fail"]


def test_a_watcher_that_does_not_read_holds_nobody_up(gateway):
    token = sluice(gateway, "token").strip()
    with http1.Connection(gateway.ports.admin) as watcher:
        watcher.socket.sendall(f"GET /v1/tail HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert watcher.socket.recv(16).startswith(b"HTTP/1.1 200")
        with gateway.http1() as client:
            assert {client.request("GET", f"/{'x' * 2000}").status for _ in range(600)} == {200}
    wait_until(lambda: gateway.metric("sluice_requests_total") >= 600, "all requests are counted")
    assert gateway.metric("sluice_bugs_total") == 0


def test_top_prints_rates_for_a_terminal(gateway):
    traffic(gateway)
    text = sluice(gateway, "top", "--count", "1", "--every", "1")
    assert "requests/s" in text and "site" in text and "upstream" in text and "mark" in text


def test_the_api_describes_itself(gateway):
    token = sluice(gateway, "token").strip()
    with http1.Connection(gateway.ports.admin) as client:
        answer = client.request("GET", "/v1/api", [("Authorization", f"Bearer {token}")], host="127.0.0.1")
    api = json.loads(answer.body)
    assert api["openapi"].startswith("3.") and api["paths"]["/v1/reload"]["post"]["x-role"] == "operate"

"""What a User-Agent says, coarsely."""

import pytest

from pixels import agents

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "browser", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "desktop"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox", "mobile"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome", "desktop"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome", "mobile"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome", "tablet"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/142.0.0.0 Safari/537.36", "Chrome", "desktop"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge", "desktop"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36 OPR/124.0.0.0", "Opera", "desktop"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/26.0 Mobile/15E148 Safari/604.1",
            "Safari",
            "mobile",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/26.0 Safari/605.1.15",
            "Safari",
            "desktop",
        ),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/108.0.5359.211 Safari/537.36", "Chrome", "tv"),
        (f"Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 40) {WEBKIT} Chrome/142.0.0.0 Mobile", "Chrome", "mobile"),
        ("curl/8.5.0", "curl", "other"),
        ("A program of ours", "other", "other"),
        (None, "", ""),
        ("", "", ""),
    ],
)
def test_people(agent, browser, device):
    assert agents.describe(agent) == (browser, device, False)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "AdsBot-Google (+http://www.google.com/adsbot.html)",
        "Mediapartners-Google",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
        "Mozilla/5.0 (compatible; Yahoo! Slurp)",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 (Linux; Android 11) AppleWebKit/537.36 Chrome/136 Mobile Safari/537.36 Chrome-Lighthouse",
        "Scrapy/2.11 (+https://scrapy.org)",
        "ExampleCrawler/1.0",
    ],
)
def test_declared_crawlers(agent):
    assert agents.describe(agent).is_crawler


def test_what_is_stored_fits_its_columns():
    """A browser's name may be cut out of what anybody writes."""
    agent = agents.describe("Mozilla/5.0 (X11) AppleWebKit/1 (KHTML, like Gecko) " + "Word" * 100 + "/1.0 Safari/1")
    assert len(agent.browser) <= 40
    assert len(agent.device) <= 10


@pytest.mark.parametrize(
    ("sec_purpose", "purpose", "is_only_prefetched"),
    [
        (None, None, False),
        ("prefetch", None, True),
        ("prefetch;anonymous-client-ip", None, True),
        (None, "prefetch", True),
        ("prefetch;prerender", None, False),
        ("prefetch;prerender", "prefetch", False),
        ("", "", False),
    ],
)
def test_a_prefetched_page_is_no_visit_and_a_prerendered_one_is(sec_purpose, purpose, is_only_prefetched):
    assert agents.is_only_prefetched(sec_purpose, purpose) is is_only_prefetched

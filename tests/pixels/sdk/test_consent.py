"""Before the visitor's yes nothing is sent and nothing is stored, and a no takes back what was."""

import json

import pytest

from tests.pixels.sdk.recorder import FIRST_ID, good

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 4.1")]

# A consent system as its specification has it: it knows its listeners and tells each of them the state.
SYSTEM = """
    window.NAME = (command, ...rest) => {
        const listener = rest.find(one => typeof one == 'function');
        if (command == 'addEventListener') { NAME.listeners.push(listener); listener(NAME.state, true) }
    };
    NAME.listeners = [];
    NAME.state = STATE;
    NAME.tell = state => NAME.listeners.forEach(listener => listener(NAME.state = state, true));
"""
TCF_WAITS = {"eventStatus": "cmpuishown", "gdprApplies": True, "tcString": "", "purpose": {"consents": {}}}
GPP_WAITS = {"pingData": {"signalStatus": "not ready", "applicableSections": [], "gppString": ""}}


def tcf(*purposes: int, applies: object = True) -> dict:
    consents = {str(purpose): purpose in purposes for purpose in range(1, 11)}
    return {
        "eventStatus": "useractioncomplete",
        "gdprApplies": applies,
        "tcString": "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
        "purpose": {"consents": consents},
    }


def gpp(parsed: dict, *sections: int) -> dict:
    return {
        "pingData": {
            "signalStatus": "ready",
            "applicableSections": list(sections),
            "gppString": "DBABLA~BVQqAAAAAgA.QA",
            "parsedSections": parsed,
        }
    }


def system(name: str, state: dict) -> str:
    return SYSTEM.replace("NAME", name).replace("STATE", json.dumps(state))


def tell(shop, name: str, state: dict) -> None:
    shop.do(f"{name}.tell({json.dumps(state)})")


def ask_all(shop) -> None:
    """Call all that sends something."""
    shop.do("""(() => {
        muster.page(); muster.track('a'); muster.identify('C-1001'); muster.group('acme');
        muster.segments(); muster.fire('7kQ2mB9xV4tL0aZs');
        history.pushState({}, '', '/next');
    })()""")
    shop.settle()


def test_sdk_no_request_before_consent(shop):
    shop.open("{consent: 'required'}")
    ask_all(shop)
    shop.open("{consent: 'required'}", path="/two")
    ask_all(shop)
    assert shop.host.asked == []
    assert shop.stored == []

    shop.do("muster.consent(true)")
    shop.host.wait_for("page", "page", "a", "identify", "group", "page")
    assert len(shop.host.requests("/v1/me/segments")) == len(shop.host.requests("/p/7kQ2mB9xV4tL0aZs.gif")) == 1
    assert shop.stored == ["_muster"]


def test_a_hundred_calls_wait_and_the_oldest_go(shop):
    shop.open("{consent: 'required', autoPage: false}")
    shop.do("void (window.first = muster.track('e0'))")
    shop.do("void Array.from({length: 104}, (_, n) => muster.track('e' + (n + 1)))")
    assert shop.do("window.first.then(reply => reply.outcome)") == "rejected"
    shop.do("muster.consent(true)")
    shop.host.wait_for(*(f"e{n}" for n in range(5, 105)))


@pytest.mark.parametrize("policy", ["required", "granted", "auto"])
def test_a_no_drops_what_waits_and_deletes_what_is_stored(shop, policy):
    shop.open(f"{{consent: '{policy}'}}")
    shop.do("muster.consent(true)")
    shop.host.wait_for("page")
    shop.wait_for_id()
    shop.host.answer = lambda request: (503, {})
    shop.do("muster.track('kept')")
    assert sorted(shop.stored) == ["_muster", "_muster"], "the cookie, and an event to send again"

    shop.host.seen.clear()
    shop.host.may_answer.clear()
    shop.do("void (window.waiting = [muster.track('under way'), muster.track('waits'), muster.fire('x')])")
    shop.do("muster.consent(false)")
    assert shop.do("Promise.all(waiting.slice(1)).then(([told, fired]) => [told.outcome, fired])") == [
        "suppressed",
        False,
    ]
    shop.host.may_answer.set()
    assert shop.do("waiting[0].then(reply => reply.outcome)") == "pending"
    assert shop.stored == [], "neither does the answer that comes late store anything"

    ask_all(shop)
    assert shop.do("muster.track('after').then(reply => reply.outcome)") == "suppressed"
    assert shop.do("muster.segments()") == []
    shop.host.wait_for("under way")

    shop.host.answer = lambda request: good()
    shop.do("muster.consent(true)")
    shop.do("muster.track('again')")
    shop.host.wait_for("under way", "again")


@pytest.mark.parametrize("given", ["undefined", "null", "'yes'", "1", "'true'"])
def test_only_true_is_a_yes(shop, given):
    shop.open("{consent: 'required'}")
    shop.do(f"muster.consent({given})")
    shop.settle()
    assert shop.host.asked == []


def test_a_word_that_is_unknown_waits_for_a_yes(shop):
    shop.open("{consent: 'grantd'}")
    shop.settle()
    assert shop.host.asked == []
    shop.do("muster.consent(true)")
    shop.host.wait_for("page")


# --- The automatic consent ------------------------------------------------------------------------


def test_where_nobody_asks_it_begins_at_once(shop):
    shop.open()
    (event,) = shop.host.wait_for("page")
    assert "consent" not in event["context"]


def test_with_gpc_nothing_is_sent(shop):
    shop.context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    shop.open()
    ask_all(shop)
    assert shop.host.asked == []
    shop.do("muster.consent(true)")
    shop.do("muster.track('asked for')")
    shop.host.wait_for("asked for")


def test_tcf_is_waited_for_and_goes_along(shop):
    shop.open(before=system("__tcfapi", TCF_WAITS))
    ask_all(shop)
    assert shop.host.asked == []
    tell(shop, "__tcfapi", tcf(1, 3))
    event = shop.host.wait_for("page", "page", "a", "identify", "group", "page")[0]
    signals = {"gdpr": 1, "gdpr_consent": "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"}
    assert event["context"]["consent"] == signals
    for path in ("/v1/me/segments", "/p/7kQ2mB9xV4tL0aZs.gif"):
        (request,) = shop.host.requests(path)
        assert request.query.items() >= {name: str(value) for name, value in signals.items()}.items()

    tell(shop, "__tcfapi", TCF_WAITS)
    shop.do("muster.track('looks again')")
    tell(shop, "__tcfapi", tcf())
    assert shop.do("muster.track('after').then(reply => reply.outcome)") == "suppressed"
    assert shop.host.names[-1] == "looks again"
    assert shop.stored == []


@pytest.mark.parametrize(
    ("state", "options", "is_yes"),
    [
        (tcf(1, 3), "{}", True),
        (tcf(1, 2, 3, 4), "{}", True),
        (tcf(1), "{}", False),
        (tcf(3), "{}", False),
        (tcf(1), "{purposes: [1]}", True),
        (tcf(applies=False), "{}", True),
        (tcf(applies=None), "{}", False),
        ({**tcf(1, 3), "purpose": None}, "{}", False),
        ({"eventStatus": "tcloaded"}, "{}", False),
    ],
)
def test_what_tcf_says(shop, state, options, is_yes):
    shop.open(options, before=system("__tcfapi", state))
    shop.settle()
    shop.host.wait_for(*["page"] * is_yes)
    assert shop.complaints == []


@pytest.mark.parametrize(
    ("state", "is_yes"),
    [
        (gpp({}, -1), True),
        (gpp({"usnat": [{"SaleOptOut": 2, "SharingOptOut": 2, "TargetedAdvertisingOptOut": 2}]}, 7), True),
        (gpp({"usnat": [{"SaleOptOut": 1, "SharingOptOut": 2}]}, 7), False),
        (gpp({"usca": [{"SharingOptOut": 1}]}, 8), False),
        (gpp({"usnat": [{"TargetedAdvertisingOptOut": 1}]}, 7), False),
        (gpp({"usnat": [{"SaleOptOut": 2}, {"Gpc": True}]}, 7), False),
        (gpp({"usnat": [{"SaleOptOut": 2}, {"Gpc": False}]}, 7), True),
        (gpp({"tcfeuv2": [{"PurposeConsents": [True, False, True]}]}, 2), True),
        (gpp({"tcfeuv2": [{"PurposeConsents": [1, 3, 4]}]}, 2), True),
        (gpp({"tcfeuv2": [{"PurposeConsents": [True, True, False]}]}, 2), False),
        (gpp({}, 2), False),
        (GPP_WAITS, False),
    ],
)
def test_what_gpp_says(shop, state, is_yes):
    shop.open(before=system("__gpp", state))
    shop.settle()
    shop.host.wait_for(*["page"] * is_yes)
    if is_yes:
        named = ",".join(str(section) for section in state["pingData"]["applicableSections"] if section > 0)
        told = {"gpp": "DBABLA~BVQqAAAAAgA.QA", "gpp_sid": named} if named else None
        assert shop.host.events[0]["context"].get("consent") == told


def test_two_systems_must_both_agree(shop):
    shop.open(before=system("__tcfapi", tcf(1, 3)) + system("__gpp", GPP_WAITS))
    shop.settle()
    assert shop.host.asked == []
    tell(shop, "__gpp", gpp({}, -1))
    shop.host.wait_for("page")


def test_a_system_further_down_in_the_page_is_not_missed(shop):
    """The script is there before the page has been read to its end."""
    head = shop.html().replace("<script async", "<script")
    shop.site.pages["/"] = f"{head}<script>{system('__tcfapi', TCF_WAITS)}</script><p>Shoes"
    shop.page.goto(shop.origin)
    ask_all(shop)
    assert shop.host.asked == []
    tell(shop, "__tcfapi", tcf(1, 3))
    shop.do("muster.track('b')")
    assert shop.host.names[0] == "page"


def test_a_system_that_fails_is_no_yes_and_no_fault_of_the_page(shop):
    shop.open(before="window.__tcfapi = () => { throw new Error('mine') }")
    ask_all(shop)
    assert shop.host.asked == []
    assert shop.complaints == []


def test_granted_sends_the_strings_without_waiting(shop):
    shop.open("{consent: 'granted'}", before=system("__tcfapi", tcf(1)))
    (event,) = shop.host.wait_for("page")
    assert event["context"]["consent"]["gdpr"] == 1


# --- Opt-out --------------------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 1.10")
def test_opt_out_and_opt_in(shop):
    shop.open("{consent: 'granted'}")
    shop.host.wait_for("page")
    shop.wait_for_id()
    assert shop.do("muster.optOut()") is True
    (request,) = shop.host.requests("/optout")
    assert (request.method, request.body) == ("POST", {"musterId": FIRST_ID})
    assert shop.cookie["value"] == "0", "the browser itself remembers it, whatever becomes of the server's cookies"
    assert shop.stored == ["_muster"]

    before = len(shop.host.asked)
    ask_all(shop)
    shop.do("muster.consent(true)")
    assert shop.do("muster.track('no').then(reply => reply.outcome)") == "suppressed"
    shop.open("{consent: 'granted'}", path="/privacy")
    ask_all(shop)
    assert len(shop.host.asked) == before
    assert shop.cookie["value"] == "0"

    assert shop.do("muster.optIn()") is True
    assert shop.host.requests("/optin")[0].method == "POST"
    assert shop.cookie is None
    shop.do("muster.track('yes')")
    shop.host.wait_for("page", "yes")
    assert shop.cookie["value"] == FIRST_ID


@pytest.mark.spec("pixels.md 1.10")
def test_an_opt_out_needs_no_consent_and_no_post(shop):
    shop.open("{consent: 'required'}")
    shop.page.route("**/optout", lambda route: route.abort())
    assert shop.do("muster.optOut()") is True
    assert shop.host.requests("/optout.gif")
    shop.host.is_reachable = False
    assert shop.do("muster.optIn()") is False
    assert shop.cookie["value"] == "0", "who cannot be heard is not back"


def test_an_opt_out_of_a_page_without_a_host_goes_nowhere(shop):
    shop.site.pages["/"] = "<!doctype html><script>" + shop.host.script.decode() + "</script>"
    shop.page.goto(shop.origin)
    asked: list[str] = []
    shop.page.on("request", lambda request: asked.append(request.url))
    assert shop.do("Promise.all([muster.optOut(), muster.optIn()])") == [False, False]
    assert asked == []
    assert shop.cookie["value"] == "0"

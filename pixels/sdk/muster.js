/*
 * muster.js: what a web page tells Muster, and what it learns in the same answer. How to use it: docs/muster-js.md.
 *
 * Two promises hold everywhere below. Nothing is sent and nothing is stored before the visitor's yes (`mayRecord`),
 * and what was stored goes with a no (`forget`); what an opt-out has to do is the only exception. And no fault, of
 * ours, of the browser or of the network, becomes the page's: calls never throw, their promises never fail.
 *
 * One request is under way at a time. The browser's id is made by the server alone and comes with the first answer:
 * two requests at once, before it, would be two visitors. And what was said first arrives first.
 */
(() => {
  "use strict";

  const NAME = "_muster"; // the cookie with the signed id; in local storage, the events to send again
  const OPTED_OUT = "0"; // the cookie's value after an opt-out
  const COOKIE_SECONDS = 395 * 86400;
  const MOST_WAITING = 100;
  const MOST_KEPT = 50;
  const MOST_KEPT_BYTES = 65536;
  const BEACON_BYTES = 60000; // browsers refuse 64 KiB of what is still under way
  const PATIENCE = 10000; // milliseconds until an answer
  const FIRST_PAUSE = 5000; // milliseconds until the next try; doubled each time
  const LONGEST_PAUSE = 300000;

  const muster = (window.muster = window.muster || {});
  if (muster.v) return;
  muster.v = 1;
  muster.q = muster.q || [];

  let key;
  let host = document.currentScript && attempt(() => new URL(document.currentScript.src).origin);
  let options = {};
  let isAwake = false; // false while the page is only prerendered
  let isStarted = false;

  function attempt(work) {
    try {
      return work();
    } catch (error) {
      return undefined;
    }
  }

  function warn(what) {
    attempt(() => console.warn("muster:", what));
  }

  // --- Calls -----------------------------------------------------------------------------------

  const calls = {
    init(writeKey, given) {
      if (key) return;
      options = given || {};
      const named = options.host;
      if (named) host = new URL(/^https?:/.test(named) ? named : "https://" + named).origin;
      if (!writeKey || !host) throw new Error("init needs a write key, and a host where no script tag names it");
      key = writeKey;
      if (isAwake) start();
    },
    page: (name, properties) => tell("page", { name, properties }),
    track: (event, properties) => tell("track", { event, properties }),
    identify: (userId, traits, proof) =>
      Object(userId) === userId ? tell("identify", { traits: userId }) : tell("identify", { userId, traits }, proof),
    group: (groupId, traits, proof) => tell("group", { groupId, traits }, proof),
    consent(isGiven) {
      said = isGiven === true;
      decide();
    },
    segments(codes) {
      return ask(() => readSegments([].concat(codes || []).join()), () => []);
    },
    fire(pixel, values) {
      const parameters = Object.assign({ pg: location.pathname }, values);
      return ask(() => load("/p/" + encodeURIComponent(pixel) + ".gif", parameters), () => false);
    },
    optOut() {
      const id = readCookie();
      isOptedOut = true;
      decide();
      setCookie(OPTED_OUT, COOKIE_SECONDS);
      return choose("/optout", id).catch(() => !!host && load("/optout.gif", {}));
    },
    optIn() {
      return choose("/optin").then(comeBack, () => false);
    },
    ready: (listener) => listener && listener(),
  };

  function run(call) {
    const [name, given, resolve] = call;
    let result;
    try {
      result = calls[name](...given);
    } catch (error) {
      warn(error);
      result = name == "segments" ? [] : reply("rejected");
    }
    resolve(result);
  }

  // The snippet's stand-ins hold on to `muster.q`, wherever the page has put them.
  Object.keys(calls).forEach((name) => {
    muster[name] = (...given) => new Promise((resolve) => muster.q.push([name, given, resolve]));
  });

  function wake() {
    const queued = [].concat(muster.q);
    muster.q = { push: run };
    queued.filter((call) => call[0] == "init").forEach(run);
    queued.filter((call) => call[0] != "init").forEach(run);
    isAwake = true;
    if (key) start();
  }

  function start() {
    isOptedOut = isOptedOut || readCookie() === OPTED_OUT;
    if (options.consent != "granted" && document.readyState == "loading") {
      // A consent system may still come, further down in the page.
      heard.page = undefined;
      document.addEventListener("DOMContentLoaded", () => {
        listen();
        heard.page = true;
        decide();
      });
    }
    listen();
    // The page comes before what was said about it.
    const waiting = outbox.splice(0);
    if (options.autoPage !== false) attempt(followPages);
    outbox.push(...waiting);
    isStarted = true;
    window.addEventListener("pagehide", () => attempt(flush));
    window.addEventListener("pageshow", () => (isLeaving = false));
    window.addEventListener("online", retry);
    decide();
  }

  // --- Consent ---------------------------------------------------------------------------------

  let said; // what the page said by `consent`
  let isOptedOut = false;
  let lastVerdict;
  const heard = {}; // what each source of the automatic consent says; undefined while it has not spoken
  const signals = {}; // the strings of consent systems: the server judges them once more

  // true is a yes, false is a no, undefined is neither yet. A word that is not known counts as "required".
  function verdict() {
    const policy = options.consent || "auto";
    const sources = Object.keys(heard).map((name) => heard[name]);
    if (isOptedOut) return false;
    if (said !== undefined) return said;
    if (policy == "granted") return true;
    if (policy != "auto") return undefined;
    return sources.includes(false) ? false : sources.includes(undefined) ? undefined : true;
  }

  function mayRecord() {
    return isStarted && verdict() === true;
  }

  function decide() {
    const now = isStarted || isOptedOut || said === false ? verdict() : undefined;
    if (now === false) {
      outbox.splice(0).forEach((job) => job.refuse("suppressed"));
      if (lastVerdict !== false) forget();
    }
    if (now && !lastVerdict) {
      musterId = readCookie();
      if (attempt(() => sessionStorage.getItem(NAME)) == "omit") credentials = "omit";
      retry();
    }
    lastVerdict = now;
    pump();
  }

  function forget() {
    musterId = undefined;
    if (readCookie() !== OPTED_OUT) setCookie("", 0);
    save([]);
    attempt(() => sessionStorage.removeItem(NAME));
  }

  function comeBack() {
    isOptedOut = false;
    setCookie("", 0);
    decide();
    return true;
  }

  function listen() {
    if (navigator.globalPrivacyControl) heard.gpc = false;
    subscribe("__tcfapi", 2, (state) => {
      if (state.eventStatus == "cmpuishown") return heard.__tcfapi;
      signals.gdpr = state.gdprApplies === false ? 0 : 1;
      signals.gdpr_consent = state.tcString;
      return !signals.gdpr || purposes().every((purpose) => state.purpose.consents[purpose]);
    });
    subscribe("__gpp", undefined, (state) => {
      const ping = state.pingData;
      if (!ping || ping.signalStatus != "ready") return heard.__gpp;
      const sections = ping.applicableSections.filter((section) => section > 0); // -1: none applies
      if (sections.length) Object.assign(signals, { gpp: ping.gppString, gpp_sid: sections.join() });
      return isGppYes(ping.parsedSections || {}, sections.includes(2));
    });
  }

  // Ask a consent system, if it is there, to speak now and whenever the visitor changes something.
  function subscribe(name, version, judge) {
    if (typeof window[name] != "function" || name in heard) return;
    heard[name] = undefined;
    const hear = (state, isGood) => {
      if (isGood === false) return;
      heard[name] = attempt(() => judge(state));
      attempt(decide);
    };
    attempt(() => window[name](...["addEventListener"].concat(version || [], hear)));
  }

  function purposes() {
    return options.purposes || [1, 3];
  }

  function isGppYes(sections, isEuropean) {
    const text = JSON.stringify(sections);
    if (/"(SaleOptOut|SharingOptOut|TargetedAdvertisingOptOut)":1\b|"Gpc":(true|1)\b/.test(text)) return false;
    if (!isEuropean) return true;
    const core = [].concat(sections.tcfeuv2 || [])[0] || {};
    const given = core.PurposeConsents || [];
    return purposes().every((purpose) => given[purpose - 1] === true || given.includes(purpose));
  }

  // --- What waits ------------------------------------------------------------------------------

  const outbox = []; // jobs until the visitor's yes, and until the answer to the one before
  let isBusy = false;
  let isLeaving = false; // browsers break off what is under way, though it arrives

  // Put a job into the outbox; its promise gives what `send` gives, or `refused` of the outcome.
  function ask(send, refused, more) {
    return new Promise((resolve) => {
      const job = { refuse: (outcome) => resolve(refused(outcome)) };
      job.send = () => send().then(resolve, () => job.refuse("rejected"));
      outbox.push(Object.assign(job, more));
      const surplus = mayRecord() ? 0 : Math.max(0, outbox.length - MOST_WAITING);
      outbox.splice(0, surplus).forEach((oldest) => oldest.refuse("rejected"));
      decide();
    });
  }

  function pump() {
    if (isBusy || !outbox.length || !mayRecord()) return;
    isBusy = true;
    const next = () => {
      isBusy = false;
      pump();
    };
    outbox.shift().send().then(next, next);
  }

  // The page goes away: what waits leaves by beacon, with the id or without.
  function flush() {
    isLeaving = true;
    if (!mayRecord()) return;
    const events = [];
    outbox.splice(0).forEach((job) => {
      if (!job.event) return job.send();
      events.push(job.event);
      return job.refuse("pending");
    });
    if (events.length) sendAway(events);
  }

  function sendAway(events) {
    const half = events.length >> 1;
    const body = batchOf(events);
    if (half && sizeOf(body) >= BEACON_BYTES) {
      sendAway(events.slice(0, half));
      sendAway(events.slice(half));
    } else if (!beacon("/v1/batch", body)) {
      // Nobody may be there to hear how it ended.
      keep(events);
      resend();
    }
  }

  // --- Messages --------------------------------------------------------------------------------

  let referrer = document.referrer;

  // Write down what the page says, as it is now, and send it when it may go.
  function tell(type, fields, proof, isQuiet) {
    const event = { type, messageId: newId(), timestamp: new Date().toISOString() };
    event.context = Object.assign(contextOf(), proof);
    const written = JSON.parse(JSON.stringify(Object.assign(event, fields)));
    return ask(() => deliver(written, isQuiet), (outcome) => reply(outcome, written), { event: written });
  }

  function contextOf() {
    return {
      page: {
        url: location.href,
        path: location.pathname,
        search: location.search,
        title: document.title,
        referrer,
      },
      locale: navigator.language,
      timezone: attempt(() => Intl.DateTimeFormat().resolvedOptions().timeZone),
      screen: { width: screen.width, height: screen.height },
      library: { name: "muster.js", version: "1" },
    };
  }

  // Of the message, not of the visitor: the same one is never stored twice.
  function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
  }

  function reply(outcome, event, answer) {
    const list = (name) => listOf(answer && answer[name]);
    const messageId = event && event.messageId;
    return { messageId, outcome, joined: list("joined"), left: list("left"), segments: list("segments") };
  }

  function listOf(value) {
    return Array.isArray(value) ? value : [];
  }

  // Add what is known at the time of sending.
  function addressed(event) {
    const consent = Object.keys(signals).length ? signals : undefined;
    return Object.assign({}, event, { context: Object.assign({}, event.context, { consent, musterId }) });
  }

  function bodyOf(content) {
    return JSON.stringify(Object.assign({}, content, { writeKey: key, sentAt: new Date().toISOString() }));
  }

  function batchOf(events) {
    return bodyOf({ batch: events.map(addressed) });
  }

  // --- Sending ---------------------------------------------------------------------------------

  let credentials = "include";
  let isAnswered = false;

  async function deliver(event, isQuiet) {
    const path = "/v1/" + event.type[0];
    const body = bodyOf(addressed(event));
    if (isQuiet && musterId && beacon(path, body)) return reply("pending", event);
    const answer = await post(path + "?segments=1", body);
    if (answer.hasFailed) {
      keep([event]);
      return reply("pending", event);
    }
    if (answer.isRefused) warn(answer.said.message || answer.status);
    return reply(answer.isRefused ? "rejected" : answer.said.outcome || "applied", event, answer.said);
  }

  // As text, so that the browser asks nobody before.
  function beacon(path, body) {
    return sizeOf(body) < BEACON_BYTES && attempt(() => navigator.sendBeacon(host + path, body));
  }

  async function post(path, body) {
    const request = { method: "POST", body, credentials, keepalive: sizeOf(body) < BEACON_BYTES };
    let answer = await exchange(path, request);
    if (!answer.status && credentials == "include" && !isAnswered && !isLeaving && navigator.onLine !== false) {
      // An origin that the advertiser has not listed may read answers only where no cookie went along.
      answer = await exchange(path, Object.assign(request, { credentials: "omit" }));
      if (answer.status > 0) {
        credentials = "omit";
        if (mayRecord()) attempt(() => sessionStorage.setItem(NAME, credentials));
      }
    }
    if (answer.status > 0) isAnswered = true;
    if (!answer.hasFailed) learn(answer.said.id);
    return answer;
  }

  // Return what came back; `status` is 0 where nothing did, and -1 where it took too long.
  async function exchange(path, request) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), PATIENCE);
    let status = 0;
    let said;
    try {
      const response = await fetch(host + path, Object.assign({ signal: stop.signal }, request));
      status = response.status;
      said = await response.json();
    } catch (error) {
      if (stop.signal.aborted) status = -1;
    }
    clearTimeout(timer);
    said = Object(said);
    const isRefused = status >= 400 && status < 500 && status != 429;
    return { status, said, isRefused, hasFailed: !isRefused && said.success !== true };
  }

  function sizeOf(text) {
    return new Blob([text]).size;
  }

  async function readSegments(codes) {
    const path = "/v1/me/segments?" + queryOf(Object.assign({ key, codes }, signals));
    const headers = musterId ? { "Muster-Id": musterId } : {};
    return listOf((await exchange(path, { credentials: "include", headers })).said.segments);
  }

  // Load an image; the promise says whether it came.
  function load(path, parameters) {
    return new Promise((resolve) => {
      const image = new Image();
      image.referrerPolicy = "no-referrer-when-downgrade";
      image.onload = () => resolve(true);
      image.onerror = () => resolve(false);
      setTimeout(image.onerror, PATIENCE);
      image.src = host + path + "?" + queryOf(Object.assign({}, parameters, signals, { cb: newId() }));
    });
  }

  function queryOf(parameters) {
    const names = Object.keys(parameters).filter((name) => parameters[name] != null && parameters[name] !== "");
    return names.map((name) => name + "=" + encodeURIComponent(parameters[name])).join("&");
  }

  // Opt out or in. The answer cannot be read, and does not have to be.
  async function choose(path, id) {
    if (!host) throw new Error("no host");
    const body = JSON.stringify({ musterId: id });
    await fetch(host + path, { method: "POST", body, mode: "no-cors", credentials: "include", keepalive: true });
    return true;
  }

  // --- What is stored --------------------------------------------------------------------------

  let musterId;
  let remembered = []; // what local storage would hold, where it is blocked
  let pause = FIRST_PAUSE;
  let timer;
  let isResending = false;

  function learn(id) {
    if (!mayRecord() || id === musterId || !/^[\w.-]{20,200}$/.test(id)) return;
    musterId = id;
    setCookie(id, COOKIE_SECONDS);
  }

  function readCookie() {
    const found = attempt(() => document.cookie.match(/(?:^|; )_muster=([^;]+)/));
    return found ? found[1] : undefined;
  }

  // Set the cookie for the whole site: the shortest domain that the browser takes. With 0 seconds, delete it.
  function setCookie(value, seconds) {
    const labels = location.hostname.split(".");
    const common = NAME + "=" + value + "; path=/; SameSite=Lax; max-age=" + seconds;
    const line = location.protocol == "https:" ? common + "; Secure" : common;
    attempt(() => {
      for (let count = 2; count <= labels.length; count++) {
        document.cookie = line + "; domain=" + labels.slice(-count).join(".");
        if (seconds && readCookie() == value) return;
      }
      document.cookie = line;
    });
  }

  function kept() {
    const stored = attempt(() => JSON.parse(localStorage.getItem(NAME)));
    return Array.isArray(stored) ? stored : remembered;
  }

  function save(events) {
    remembered = events;
    attempt(() => {
      if (events.length) localStorage.setItem(NAME, JSON.stringify(events));
      else localStorage.removeItem(NAME);
    });
  }

  // Keep what could not be sent, and try again later: it has its id, so that it counts once.
  function keep(events) {
    if (!mayRecord()) return;
    const all = kept().concat(events).slice(-MOST_KEPT);
    while (sizeOf(JSON.stringify(all)) > MOST_KEPT_BYTES) all.shift();
    save(all);
    if (timer) return;
    timer = setTimeout(retry, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  // Send what was kept before all that waits.
  function retry() {
    if (mayRecord()) outbox.unshift({ send: resend, refuse() {} });
    pump();
  }

  async function resend() {
    clearTimeout(timer);
    timer = 0;
    const events = mayRecord() && !isResending ? kept() : [];
    if (!events.length) return;
    isResending = true;
    const answer = await post("/v1/batch", batchOf(events));
    isResending = false;
    if (answer.hasFailed) return keep([]);
    pause = FIRST_PAUSE;
    const sent = events.map((event) => event.messageId);
    save(kept().filter((event) => !sent.includes(event.messageId)));
  }

  // --- Pages -----------------------------------------------------------------------------------

  // Tell of the page that is shown, and of each new route of an application with one page.
  function followPages() {
    const routeOf = () => location.pathname + (options.hash ? location.hash : "");
    let route = routeOf();
    let address = location.href;
    const look = () =>
      // Applications set the title after the address, and pass through addresses that nobody sees.
      setTimeout(() => {
        if (routeOf() == route) return;
        route = routeOf();
        referrer = address;
        address = location.href;
        attempt(() => tell("page", {}, undefined, true));
      });
    ["pushState", "replaceState"].forEach((name) => {
      const original = history[name];
      history[name] = function (...given) {
        const result = original.apply(this, given);
        look();
        return result;
      };
    });
    window.addEventListener("popstate", look);
    window.addEventListener("hashchange", look);
    tell("page", {}, undefined, true);
  }

  if (document.prerendering) document.addEventListener("prerenderingchange", wake, { once: true });
  else wake();
})();

// Fetch key and Test connection: what is asked goes as the form stands, saved or not; each step appears as it ends.
"use strict";
(() => {
  const form = document.querySelector("form[id$=_form]");
  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const ask = (url) => fetch(url, {
    method: "POST",
    body: form ? new FormData(form) : new FormData(),
    headers: { "X-CSRFToken": token() },
    redirect: "error",
  });

  const testButton = document.querySelector("[data-test]");
  const list = document.querySelector("[data-steps]");
  const end = document.querySelector("[data-testend]");
  const card = document.querySelector("[data-testcard]");

  const WORDS = { ok: "ok", warning: "warning", failed: "failed", not_reached: "not reached" };
  const lineOf = (step) => {
    const line = element("li", `m-teststep m-teststep--${step.outcome}`);
    const time = step.outcome === "not_reached" ? "" : ` · ${step.milliseconds.toLocaleString("en")} ms`;
    line.append(element("span", "m-teststep__name", step.label));
    line.append(element("span", "m-teststep__end", WORDS[step.outcome] + time));
    if (step.sentence) line.append(element("span", "m-teststep__why", step.sentence));
    return line;
  };

  const tell = (tone, text) => {
    end.className = `m-testend m-testend--${tone}`;
    end.textContent = text;
  };

  const take = (line) => {
    if ("outcome" in line) list.append(lineOf(line));
    if (!("is_passed" in line)) return;
    if (!line.is_passed) tell("bad", "The test has failed. Mend what the failed step says, and test again.");
    else if (form) tell("good", "Every step has passed. Save within an hour, and the destination is ready.");
    else tell("good", "Every step has passed.");
    if (line.state === "ready") tell("good", "Every step has passed: the destination is ready.");
    if (line.state && "reload" in testButton.dataset) setTimeout(() => location.reload(), 1200);
  };

  const readLines = async (answer) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) take(JSON.parse(line));
    }
  };

  testButton?.addEventListener("click", async () => {
    testButton.disabled = true;
    if (card) card.hidden = false;
    list.replaceChildren();
    tell("busy", "Testing…");
    try {
      const answer = await ask(testButton.dataset.test);
      const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
      if (isJson) tell("bad", (await answer.json()).errors.join("\n"));
      else if (!answer.ok) throw new Error(String(answer.status));
      else await readLines(answer);
    } catch {
      tell("bad", "Our own server did not answer to the end. Reload the page and try again.");
    } finally {
      testButton.disabled = false;
    }
  });

  const fetchButton = document.querySelector("[data-fetch]");
  const state = document.querySelector("[data-fetchstate]");
  fetchButton?.addEventListener("click", async () => {
    const shown = document.querySelector("[data-shownkey]");
    const confirm = document.querySelector("[data-confirm]");
    const changed = document.querySelector("[data-changed]");
    fetchButton.disabled = true;
    shown.hidden = changed.hidden = true;
    state.textContent = "Asking the server…";
    try {
      const answer = await ask(fetchButton.dataset.fetch);
      const key = await answer.json();
      if (key.error) { state.textContent = key.error; return; }
      state.textContent = key.is_confirmed ? "The server shows the confirmed key." : "";
      shown.hidden = false;
      shown.querySelector("[data-fingerprint]").textContent = key.fingerprint;
      shown.querySelector("[data-keytype]").textContent = `${key.type}, ${key.bits} bits`;
      changed.hidden = key.is_confirmed || !key.confirmed.length;
      if (confirm) {
        confirm.hidden = key.is_confirmed;
        form.elements.fetched_key.value = key.is_confirmed ? "" : key.signed;
      }
    } catch {
      state.textContent = "Our own server did not answer. Reload the page and try again.";
    } finally {
      fetchButton.disabled = false;
    }
  });
})();

// A rule as it is written: what is wrong with it, what it says, and how many it finds.
"use strict";
(() => {
  const QUIET_MS = 400;
  const SLOW_MS = 2000;
  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;

  const start = (box) => {
    const text = box.querySelector("textarea");
    const checks = box.querySelector("[data-rulechecks]");
    const numbers = box.querySelector("[data-rulenumbers]");
    const waits = box.querySelector("[data-rulewaits]");
    let newest = 0;
    let typing = 0;
    let slow = 0;
    let asked = new AbortController();
    let counting = Promise.resolve();

    const say = (words) => {
      clearTimeout(slow);
      waits.hidden = !words;
      waits.textContent = words;
    };
    const ask = async (url, signal) => {
      const body = new FormData();
      body.append("rule", text.value);
      const answer = await fetch(url, {
        method: "POST",
        body,
        headers: { "X-CSRFToken": token() },
        redirect: "error",
        signal,
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      return [...page.body.childNodes];
    };
    const draw = async () => {
      const mine = ++newest;
      asked.abort();
      asked = new AbortController();
      try {
        const told = await ask(box.dataset.checks, asked.signal);
        // An answer that was overtaken by a later change is not shown.
        if (mine !== newest) return;
        checks.replaceChildren(...told);
        numbers.replaceChildren();
        say("");
        if (!checks.querySelector("[data-accepted]")) return;
        say("Counting…");
        slow = setTimeout(() => { waits.textContent = "Still counting…"; }, SLOW_MS);
        // One count at a time: the server finishes the one that nobody waits for any more.
        await counting;
        if (mine !== newest) return;
        const count = ask(box.dataset.numbers);
        counting = count.catch(() => {});
        const found = await count;
        if (mine !== newest) return;
        say("");
        numbers.replaceChildren(...found);
      } catch {
        if (mine === newest) say("Our own server did not answer. The next change asks again.");
      }
    };
    text.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(draw, QUIET_MS);
    });
    // What the page was opened with is counted at once, unless a button has asked for it.
    if (text.value.trim() && !numbers.childElementCount) draw();
  };

  for (const box of document.querySelectorAll("[data-rule]")) start(box);
})();

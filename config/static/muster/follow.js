// Follows what goes on, a run or the building of a rule: asks for what has changed and puts it in place, region by
// region, until it has ended.
"use strict";
(() => {
  const EVERY_MS = 700;
  const MOST_MS = 8000;
  const box = document.querySelector("[data-follow]");
  if (!box) return;

  // What the server said last of each region: our other scripts change the page's times, which must not count.
  const said = new Map();
  const regionsOf = (root) => root.querySelectorAll("[data-region]");
  for (const region of regionsOf(box)) said.set(region.dataset.region, region.outerHTML);

  const withoutTokens = (html) => html.replace(/name="csrfmiddlewaretoken" value="\w+"/g, "");

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const region of regionsOf(fresh)) {
      const name = region.dataset.region;
      if (withoutTokens(said.get(name) || "") === withoutTokens(region.outerHTML)) continue;
      said.set(name, region.outerHTML);
      box.querySelector(`[data-region="${name}"]`)?.replaceWith(document.adoptNode(region));
    }
  };

  const isOpen = () => box.querySelector('[data-open="yes"]') !== null;

  let failures = 0;
  const step = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(box.dataset.follow, { redirect: "error", signal: AbortSignal.timeout(MOST_MS) });
        if (answer.status === 403 || answer.status === 404) return;
        if (!answer.ok) throw new Error(String(answer.status));
        show(await answer.text());
        failures = 0;
      } catch {
        failures += 1;
      }
    }
    if (isOpen()) setTimeout(step, Math.min(EVERY_MS * 2 ** failures, MOST_MS));
  };

  if (isOpen()) setTimeout(step, EVERY_MS);
})();

// The script of every page: follows the theme and time zone of Airflow's UI around it, asks for new sections while the page is
// live, opens links outside of the frame, and starts runs by Airflow's own REST API. It stands in the head, so that a page is
// never shown in the wrong theme first.
"use strict";
(() => {
  const HIDDEN_MS = 30000; // nobody looks
  const LONGEST_MS = 30000; // between two attempts while the server is away
  const outer = (() => {
    try {
      return window.parent !== window && window.parent.document ? window.parent : null;
    } catch {
      return null; // a page of another origin shows this one
    }
  })();

  const stored = (key) => {
    try {
      return window.localStorage.getItem(key);
    } catch {
      return null;
    }
  };

  // Airflow's UI keeps its choice as `theme` in the local storage, and shows it as a class of its <html>.
  const followTheme = () => {
    const choice = stored("theme");
    const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const shown = outer && ["dark", "light"].find((name) => outer.document.documentElement.classList.contains(name));
    document.documentElement.className = shown || (choice === "dark" || choice === "light" ? choice : system);
  };

  const timeZone = () => {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    try {
      const zone = JSON.parse(stored("timezone")) || own;
      new Intl.DateTimeFormat("en", { timeZone: zone });
      return zone;
    } catch {
      return own;
    }
  };

  const writeTimes = (within) => {
    const zone = timeZone();
    const form = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
    for (const time of within.querySelectorAll("time[datetime]")) {
      const text = form.format(new Date(time.dateTime));
      const { short, minute } = time.dataset;
      time.textContent = short !== undefined ? text.slice(11) : minute !== undefined ? text.slice(0, 16) : text;
      time.title = `${text} ${zone}`;
    }
    for (const bar of within.querySelectorAll("[data-at]")) {
      const tip = bar.querySelector("title");
      const text = form.format(new Date(1000 * bar.dataset.at)).slice(0, 16);
      tip.textContent = text + tip.textContent.slice(tip.textContent.indexOf(": "));
    }
  };

  const isBusy = (section) => section.querySelector("dialog[open]") !== null;

  const replace = (section, html) => {
    const typed = section.querySelector("input")?.value;
    const open = new Set([...section.querySelectorAll("details[open][id]")].map((details) => details.id));
    const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
    section.innerHTML = html; // rendered by the server, which escapes every value
    for (const details of section.querySelectorAll("details[id]")) details.open = open.has(details.id) || details.open;
    if (typed && section.querySelector("input")) section.querySelector("input").value = typed;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    writeTimes(section);
  };

  // Routes come, go and change places; the sections of a run never do.
  const arrange = (order) => {
    const main = document.querySelector("main");
    const focused = document.activeElement?.id;
    for (const gone of main.querySelectorAll(":scope > section")) {
      if (order.includes(gone.id)) continue;
      seen.delete(gone.id);
      gone.remove();
    }
    let next = main.querySelector(":scope > section");
    for (const id of order) {
      const section = document.getElementById(id) || document.createElement("section");
      section.id = id;
      if (section === next) next = next.nextElementSibling;
      else main.insertBefore(section, next);
    }
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  // The filter of the page with all routes; what is typed stands in the address of the page around it, to be kept or sent.
  const addressed = () => (outer || window).location.hash;
  const filter = () => {
    const input = document.getElementById("filter-text");
    if (!input) return;
    const wanted = input.value.trim().toLowerCase();
    const routes = [...document.querySelectorAll("[data-filter]")];
    for (const route of routes) route.closest("section").hidden = !route.dataset.filter.toLowerCase().includes(wanted);
    const shown = routes.filter((route) => !route.closest("section").hidden).length;
    const result = shown ? `${shown} of ${routes.length} routes` : "No route has that in its name, source or destination.";
    const status = document.getElementById("filter-result");
    const text = wanted ? result : "";
    if (status.textContent !== text) status.textContent = text;
  };

  const startFilter = () => {
    const input = document.getElementById("filter-text");
    if (!input) return;
    try {
      input.value = decodeURIComponent(addressed().replace(/^#/, ""));
    } catch {
      input.value = ""; // the address was written by somebody else
    }
    filter();
  };

  const seen = new Map();
  const say = (text) => {
    const notice = document.getElementById("connection");
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
  };

  const refused = {
    401: "You are signed out of Airflow: sign in again, then this page goes on.",
    403: "You may no longer see this.",
    404: "This run is gone.",
  };

  let failures = 0;
  let everyMs = 2000;
  let timer = 0;
  let isAsking = false;

  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    let isLive = true;
    try {
      const url = new URL(document.body.dataset.source, document.baseURI);
      url.searchParams.set("seen", [...seen].map(([id, digest]) => `${id}.${digest}`).join(","));
      const answer = await fetch(url, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(refused[answer.status] || `Airflow's API server answers ${answer.status}.`);
      const { sections, order, live, every_s } = await answer.json();
      arrange(order);
      for (const [id, { html, digest }] of Object.entries(sections)) {
        const section = document.getElementById(id);
        if (!section || isBusy(section)) continue;
        replace(section, html);
        seen.set(id, digest);
      }
      filter();
      failures = 0;
      isLive = live;
      everyMs = 1000 * every_s;
      say("");
    } catch (error) {
      failures += 1;
      const why = error instanceof TypeError || error.name === "TimeoutError" ? "No answer from Airflow." : error.message;
      say(`${why} Trying again …`);
    }
    isAsking = false;
    document.body.dataset.live = isLive ? "yes" : "no";
    if (isLive) later();
  };

  const later = () => {
    const wait = Math.max(everyMs, document.hidden ? HIDDEN_MS : Math.min(everyMs * 2 ** failures, LONGEST_MS));
    window.clearTimeout(timer);
    timer = window.setTimeout(ask, wait);
  };

  // The frame may neither open windows nor leave itself (its `sandbox`), so the page around it follows the link.
  const follow = (href, isNewTab) => {
    const from = outer ? outer.document : document;
    const link = from.createElement("a");
    link.href = href;
    link.target = isNewTab ? "_blank" : "_top";
    link.rel = "noopener noreferrer";
    from.body.append(link);
    link.click();
    link.remove();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-outside]");
    if (link) {
      event.preventDefault();
      const isAirflow = link.dataset.outside === "airflow" && !(event.ctrlKey || event.metaKey);
      follow(link.href, !isAirflow);
    }
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
    const closer = event.target.closest("dialog [data-close]");
    if (closer) closer.closest("dialog").close();
    const starter = event.target.closest("[data-start]");
    if (starter) start(starter);
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "filter-text") return;
    filter();
    const around = outer || window;
    const typed = event.target.value.trim();
    const address = around.location.pathname + around.location.search + (typed && `#${encodeURIComponent(typed)}`);
    around.history.replaceState(around.history.state, "", address);
  });

  // Airflow's own endpoint, with the user's own session: Airflow checks the permission, and writes its audit log.
  const start = async (button) => {
    const dialog = button.closest("dialog");
    const result = dialog.querySelector("[role=status]");
    button.disabled = true;
    result.textContent = "Starting …";
    try {
      const answer = await fetch(new URL(button.dataset.start, document.baseURI), {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(requestOf(button)),
      });
      const started = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(reason(started.detail) || `Airflow answers ${answer.status}`);
      result.textContent = "";
      const link = document.createElement("a");
      link.href = new URL(button.dataset.page.replace("{RUN_ID}", encodeURIComponent(started.dag_run_id)), document.baseURI);
      link.dataset.outside = "airflow";
      link.textContent = `Open the new run ${started.dag_run_id}`;
      result.append(link);
      button.hidden = true;
      link.focus();
    } catch (error) {
      result.textContent = `Not started: ${error.message}`;
      button.disabled = false;
    }
  };

  const requestOf = (button) => {
    const request = { logical_date: null, ...JSON.parse(button.dataset.request) };
    // Airflow names a run after `run_after`, and an earlier run may have that name.
    if (request.run_after) request.dag_run_id = `manual__${new Date().toISOString()}`;
    return request;
  };

  const reason = (detail) => (typeof detail === "string" ? detail : detail ? JSON.stringify(detail) : "");

  const changed = () => {
    followTheme();
    writeTimes(document);
  };

  followTheme();
  document.addEventListener("DOMContentLoaded", () => {
    for (const section of document.querySelectorAll("section[data-digest]")) seen.set(section.id, section.dataset.digest);
    everyMs = 1000 * document.body.dataset.everyS;
    writeTimes(document);
    startFilter();
    window.addEventListener("storage", changed);
    if (outer) {
      const watcher = new MutationObserver(followTheme);
      watcher.observe(outer.document.documentElement, { attributeFilter: ["class"] });
      outer.addEventListener("local-storage", changed); // how Airflow's UI tells itself
      window.addEventListener("pagehide", () => {
        watcher.disconnect();
        outer.removeEventListener("local-storage", changed);
      });
    }
    if (document.body.dataset.live === "yes" && document.body.dataset.source) {
      later();
      document.addEventListener("visibilitychange", () => {
        if (document.body.dataset.live === "yes" && !document.hidden) ask();
      });
    }
  });
})();

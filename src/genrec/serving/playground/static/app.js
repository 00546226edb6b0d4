// The page: inputs that all templates share, one or two panes, and the rankings.

import { get, post, useKey } from "./api.js";
import { debounced, make, plural } from "./dom.js";
import { Pane } from "./pane.js";
import { rankingView, tau } from "./ranking.js";

const byId = (id) => document.getElementById(id);
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

class Page {
  constructor(state) {
    this.state = state;
    this.panes = [new Pane("A", this)];
    this.proposed = [];
    this.changedSoon = debounced(() => this.panes.forEach((pane) => pane.preview()), 250);
    this.searchSoon = debounced(() => this.search(), 150);
  }

  async start() {
    const { state } = this;
    byId("main").hidden = false;
    byId("key-form").hidden = true;
    byId("about").textContent = [
      `model ${state.model}`,
      state.edits ? "edits stay in this page" : "templates are shown as they are stored; genrec serve --allow-template-preview lets you edit them",
      state.runs ? null : "preview only: there is no model here to run a prompt",
    ].filter(Boolean).join(" · ");
    byId("choose-user").hidden = !state.users;
    this.choose(state.users ? "user" : "case");
    byId("panes").append(this.panes[0].element);
    this.listen();
    const first = state.templates.find((one) => one.id === "rank/pointwise") ?? state.templates[0];
    await Promise.all([this.panes[0].open(first.id), state.users ? this.search() : null]);
    const user = byId("users").options[0]?.value;
    if (user && !byId("user").value) {
      byId("user").value = user;
      this.changedSoon();
    }
    this.enable();
  }

  listen() {
    for (const id of ["history", "query", "context", "candidates", "case"]) {
      byId(id).addEventListener("input", () => this.changedSoon());
    }
    byId("user").addEventListener("input", () => {
      this.searchSoon();
      this.changedSoon();
    });
    for (const radio of document.querySelectorAll("input[name=who]")) {
      radio.addEventListener("change", () => this.choose(radio.value));
    }
    byId("fill").addEventListener("click", () => {
      byId("candidates").value = this.proposed.map((line) => line.title).join("\n");
      this.changedSoon();
    });
    byId("compare").addEventListener("change", () => this.compare(byId("compare").checked));
    byId("run").addEventListener("click", () => this.run());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !byId("run").disabled) this.run();
    });
  }

  get who() {
    return document.querySelector("input[name=who]:checked").value;
  }

  choose(who) {
    document.querySelector(`input[name=who][value=${who}]`).checked = true;
    for (const kind of ["user", "typed", "case"]) {
      document.querySelector(`.for-${kind}`).hidden = kind !== who;
    }
    byId("slate").hidden = who === "case";
    byId("understood-history").replaceChildren();
    this.enable();
    this.changedSoon();
  }

  // What the server is asked with; null while something is missing.
  inputs() {
    const who = this.who;
    const inputs = {};
    if (who === "user") inputs.user_id = byId("user").value.trim();
    if (who === "typed") inputs.history = lines(byId("history").value);
    if (who === "case") inputs.case = byId("case").value;
    if (inputs.user_id === "" || inputs.case === "") return null;
    const candidates = lines(byId("candidates").value);
    if (who !== "case" && candidates.length) inputs.candidates = candidates;
    if (byId("query").value.trim()) inputs.query = byId("query").value.trim();
    const context = lines(byId("context").value).map((line) => line.split(/:(.*)/s));
    if (context.length) {
      inputs.context = Object.fromEntries(context.map(([name, value]) => [name.trim(), (value ?? "").trim()]));
    }
    return inputs;
  }

  missing() {
    return this.who === "user" ? "Choose a user." : "This template has no cases.";
  }

  understood(pane, inputs) {
    if (pane !== this.panes[0]) return;
    byId("understood-history").replaceChildren(...(inputs ? [listView("history", inputs.history)] : []));
    byId("understood-candidates").replaceChildren(...(inputs ? [listView("candidates", inputs.candidates)] : []));
    this.proposed = inputs?.candidates ?? [];
    this.enable();
  }

  casesChanged(pane) {
    if (pane !== this.panes[0]) return;
    const chosen = byId("case").value;
    byId("case").replaceChildren(...pane.cases.map((name) => make("option", { value: name }, name)));
    if (pane.cases.includes(chosen)) byId("case").value = chosen;
  }

  async search() {
    const found = await this.guarded(() => get("users", { prefix: byId("user").value.trim(), limit: 20 }));
    if (found) byId("users").replaceChildren(...found.users.map((id) => make("option", { value: id })));
  }

  async compare(two) {
    if (two && !this.second) {
      this.second = new Pane("B", this);
      await this.second.open(this.panes[0].pick.value);
    }
    // What was edited in B is still there when it is shown again.
    this.panes = two ? [this.panes[0], this.second] : [this.panes[0]];
    byId("panes").replaceChildren(...this.panes.map((pane) => pane.element));
    byId("panes").classList.toggle("two", two);
    if (two) this.second.preview();
    this.enable();
  }

  enable() {
    const runnable = this.panes.every((pane) => pane.runnable);
    byId("run").disabled = !this.state.runs || this.who === "case" || !runnable || this.isRunning === true;
    byId("policy-label").hidden = byId("explain-label").hidden = !this.state.runs;
    if (!this.state.runs) byId("result-status").textContent = "Only genrec serve can run a prompt; this is a preview.";
    else if (this.who === "case") byId("result-status").textContent = "A case is for previews; choose a user or type titles to run.";
    else if (!runnable) byId("result-status").textContent = "This template writes text; only templates that rank can be run here.";
  }

  async run() {
    const inputs = this.inputs();
    if (!inputs) {
      byId("result-status").textContent = this.missing();
      return;
    }
    this.isRunning = true;
    this.enable();
    byId("result-status").textContent = "Running …";
    byId("tables").classList.add("stale");
    const answers = [];
    try {
      for (const pane of this.panes) {
        answers.push(await post("run", { template: pane.body(), inputs, policy: byId("policy").value, explain: byId("explain").value }));
      }
      this.showAnswers(answers.map((answer) => answer.answer));
    } catch (error) {
      this.refused(error);
      byId("tables").replaceChildren();
      byId("result-status").replaceChildren(make("span", { class: "failed" }, error.message));
    }
    byId("tables").classList.remove("stale");
    this.isRunning = false;
    this.enable();
  }

  showAnswers(answers) {
    const tables = answers.map((answer, index) =>
      answer === null
        ? make("p", { class: "failed" }, `Template ${this.panes[index].name} does not render; see its findings.`)
        : rankingView(this.panes[index].name, answer, index === 1 ? answers[0] : null),
    );
    byId("tables").classList.toggle("two", tables.length === 2);
    byId("tables").replaceChildren(...tables);
    const count = answers.filter(Boolean).map((answer) => plural(answer.items.length, "title")).join(" and ");
    const both = answers.length === 2 && answers.every(Boolean) ? tau(answers[0], answers[1]) : null;
    const words = count ? `Ranked ${count}.` : "Nothing was ranked.";
    byId("result-status").textContent = both === null ? words : `${words} A and B agree with Kendall's τ = ${both.toFixed(2)}.`;
  }

  async guarded(work) {
    try {
      return await work();
    } catch (error) {
      if (!this.refused(error)) byId("about").replaceChildren(make("span", { class: "failed" }, error.message));
      return null;
    }
  }

  refused(error) {
    if (error.status !== 401) return false;
    askForKey("The key was not accepted.");
    return true;
  }
}

function listView(what, entries) {
  const unknown = entries.filter((entry) => entry.item_id === null).length;
  const free = unknown ? make("span", { class: "unknown" }, `, ${unknown} not in the catalogue`) : null;
  const many = { history: "title in the history", candidates: "candidate" }[what];
  const words = entries.length === 1 ? many : { history: "titles in the history", candidates: "candidates" }[what];
  return make(
    "details",
    {},
    make("summary", {}, `${entries.length} ${words}`, free),
    make("ol", {}, ...entries.map((entry) => make("li", { class: entry.item_id === null ? "unknown" : null }, entry.title, entry.item_id === null ? " (not in the catalogue)" : ""))),
  );
}

function askForKey(note) {
  byId("key-form").hidden = false;
  byId("key-note").textContent = note;
  byId("key").focus();
}

let page = null;

async function begin(note) {
  try {
    const state = await get("state");
    if (page) {
      byId("key-form").hidden = true;
      page.changedSoon();
    } else {
      page = new Page(state);
      await page.start();
    }
  } catch (error) {
    if (error.status === 401) askForKey(note);
    byId("about").textContent = error.status === 401 ? "This server needs an API key." : error.message;
  }
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  begin("The key was not accepted.");
});

begin("");

// One template: chosen, edited, checked, previewed, downloaded. Edits live here until the page is closed.

import { get, post } from "./api.js";
import { debounced, download, make } from "./dom.js";
import { promptView } from "./prompt.js";

const SOON = 250;
const LATER = 700;

export class Pane {
  constructor(name, page) {
    this.name = name;
    this.page = page;
    this.element = document.getElementById("pane-template").content.firstElementChild.cloneNode(true);
    const find = (selector) => this.element.querySelector(selector);
    [this.pick, this.source, this.mirror] = [find(".pick"), find(".source"), find(".mirror")];
    [this.findings, this.prompt, this.status] = [find(".findings"), find(".prompt"), find(".prompt-status")];
    this.element.setAttribute("aria-label", `Template ${name}`);
    find("h2").textContent = `Template ${name}`;
    this.pick.append(...page.state.templates.map((one) => make("option", { value: one.id }, one.id)));
    this.pick.addEventListener("change", () => this.open(this.pick.value));
    this.source.readOnly = !page.state.edits;
    this.source.addEventListener("input", () => this.changed());
    this.buttons = [find(".revert"), find(".download"), find(".download-diff")];
    this.buttons[0].addEventListener("click", () => this.write(this.stored));
    this.buttons[1].addEventListener("click", () => download(`${this.fileName()}.prompt`, this.source.value));
    this.buttons[2].addEventListener("click", () => this.downloadDiff());
    this.previewSoon = debounced(() => this.preview(), SOON);
    this.lintSoon = debounced(() => this.lint(), LATER);
    this.lines = { preview: [], lint: [] };
    this.output = null;
    this.cases = [];
    this.running = {};
  }

  async open(id, source = null) {
    this.pick.value = id;
    const known = this.page.state.templates.find((one) => one.id === id);
    this.element.querySelector(".summary").textContent = known?.summary ?? "";
    this.output = known?.output ?? null;
    const stored = await this.page.guarded(() => get(`templates/${id}`));
    if (!stored) return;
    // A text field has no other line ends; what is not edited is never sent, so a file keeps its own.
    this.stored = stored.source.replaceAll("\r\n", "\n");
    this.cases = stored.cases;
    this.page.casesChanged(this);
    this.write(source ?? this.stored);
  }

  write(text) {
    this.source.value = text;
    this.changed();
  }

  get edited() {
    return this.source.value !== this.stored;
  }

  body() {
    return this.edited ? { id: this.pick.value, source: this.source.value } : { id: this.pick.value };
  }

  changed() {
    this.drawMirror();
    const title = this.page.state.edits ? (this.edited ? "Source, edited" : "Source, as stored") : "Source, read only";
    this.element.querySelector(".source-title").textContent = title;
    this.buttons[0].disabled = this.buttons[2].disabled = !this.edited;
    this.prompt.classList.add("stale");
    this.previewSoon();
    this.lintSoon();
  }

  async preview() {
    const inputs = this.page.inputs();
    if (!inputs) {
      this.status.textContent = this.page.missing();
      this.prompt.replaceChildren();
      return;
    }
    const answer = await this.ask("preview", { template: this.body(), inputs });
    if (!answer) return;
    this.prompt.classList.remove("stale");
    this.lines.preview = answer.findings;
    this.showFindings();
    if (answer.prompt) {
      this.output = answer.prompt.output;
      this.prompt.replaceChildren(...promptView(answer.prompt));
      this.status.textContent = "";
    } else {
      this.prompt.replaceChildren();
      this.status.replaceChildren(make("p", { class: "failed" }, "The template does not render; see the findings."));
    }
    this.page.understood(this, answer.inputs);
  }

  async lint() {
    const answer = await this.ask("lint", { template: this.body() });
    if (!answer) return;
    this.lines.lint = answer.findings;
    this.showFindings();
  }

  // The newest answer counts; an older one that is still under way is given up.
  async ask(kind, body) {
    this.running[kind]?.abort();
    const control = (this.running[kind] = new AbortController());
    try {
      return await post(kind, body, control.signal);
    } catch (error) {
      if (error.name === "AbortError") return null;
      this.status.replaceChildren(make("p", { class: "failed" }, error.message));
      this.page.refused(error);
      return null;
    }
  }

  showFindings() {
    // Lint says the same with a sharper code, so what both found is shown once.
    const seen = new Set(this.lines.lint.map((line) => `${line.path}:${line.line}`));
    const all = [...this.lines.lint, ...this.lines.preview.filter((line) => !seen.has(`${line.path}:${line.line}`))];
    all.sort((one, other) => one.line - other.line);
    const entries = all.map((line) => this.findingView(line));
    const none = make("p", { class: "good" }, "Nothing found.");
    this.findings.replaceChildren(entries.length ? make("ul", {}, ...entries) : none);
    this.wrong = new Set(all.filter((line) => line.own).map((line) => line.line));
    this.drawMirror();
  }

  findingView(line) {
    const place = line.own
      ? make("button", { type: "button", onclick: () => this.goTo(line.line) }, `line ${line.line}`)
      : make("span", {}, `${line.path}:${line.line} `);
    const hint = line.hint ? make("span", { class: "note" }, ` ${line.hint}`) : null;
    return make("li", {}, place, make("code", {}, line.code), " ", make("span", { class: "message" }, line.message), hint);
  }

  goTo(number) {
    const lines = this.source.value.split("\n");
    const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    this.source.focus();
    this.source.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
    this.mirror.children[number - 1]?.scrollIntoView({ block: "nearest" });
  }

  drawMirror() {
    const wrong = this.wrong ?? new Set();
    const lines = this.source.value.split("\n");
    this.mirror.replaceChildren(
      ...lines.map((text, index) => make("span", { class: wrong.has(index + 1) ? "wrong" : null }, text)),
    );
  }

  async downloadDiff() {
    const answer = await this.ask("diff", { template: this.body() });
    if (answer?.diff) download(`${this.fileName()}.diff`, answer.diff);
  }

  fileName() {
    return this.pick.value.split("/").at(-1);
  }

  get runnable() {
    return this.output !== "text";
  }
}


// Shows rankings: what the model said of each title, what the other parts said, and how two rankings differ.

import { make, plural } from "./dom.js";

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

export function rankingView(name, answer, other) {
  const made = answer.provenance;
  const others = other ? new Map(other.items.map((item) => [item.item_id, item.rank])) : null;
  const columns = ["Rank", ...(others ? ["Change"] : []), "Title", "Label log-prob.", "P(click)", "Score", "Retriever", "Sources"];
  const rows = answer.items.map((item) => {
    const cells = [
      [item.rank, "number"],
      ...(others ? [[changeView(item.rank, others.get(item.item_id)), "change"]] : []),
      [titleView(item), ""],
      [readView(item.read), "number"],
      [`${(100 * item.p_click).toFixed(1)} %`, "number"],
      [number(item.value), "number"],
      [number(item.retriever_score), "number"],
      [item.sources.join(", ") || "–", ""],
    ];
    return make("tr", { "data-item": item.item_id }, ...cells.map(([content, kind], i) => make("td", { class: kind, "data-name": columns[i] }, typeof content === "number" ? String(content) : content)));
  });
  const head = columns.map((column) => make("th", { scope: "col" }, column));
  const facts = [
    made.template ? `${made.template.id} v${made.template.version}` : null,
    `ranker ${made.ranker}`,
    plural(made.usage.prompt, "prompt token"),
    `${Math.round(Object.values(made.stage_ms).reduce((sum, value) => sum + value, 0))} ms`,
  ];
  const notes = [make("p", { class: "note" }, facts.filter(Boolean).join(" · "))];
  notes.push(make("p", {}, answer.agreement === null ? "No agreement: the ranking of the model or P(click) is missing, or says the same of all titles." : `Agreement of the model with P(click), Kendall's τ: ${number(answer.agreement, 2)}`));
  if (made.fallback) notes.push(make("p", { class: "failed" }, `The model did not rank: ${made.fallback}.`));
  if (made.prompt_dropped.length) notes.push(make("p", { class: "note" }, `The prompt lost: ${made.prompt_dropped.join("; ")}`));
  const refused = Object.entries(made.explanation?.refused ?? {}).map(([why, count]) => `${why} (${plural(count, "title")})`);
  if (refused.length) notes.push(make("p", { class: "note" }, `Reasons of the model that are not shown: ${refused.join(", ")}`));
  return make(
    "div",
    { class: "result" },
    ...notes,
    make("table", { class: "ranking" }, make("caption", {}, `Ranking ${name}`), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)),
  );
}

function titleView(item) {
  const reasons = item.reasons ?? [];
  return make("span", {}, item.title, ...reasons.map((reason) => make("span", { class: "reasons" }, reason)));
}

function readView(read = []) {
  if (!read.length) return "–";
  const where = (one) => (one.step ? ` (step ${one.step})` : read.length > 1 && one.order ? ` (order ${one.order})` : "");
  const lines = read.map((one) => make("span", { class: "line" }, `${one.label} ${number(one.logprob, 2)}${where(one)}`));
  return make("span", {}, ...lines);
}

function changeView(rank, before) {
  if (before === undefined) return "new";
  const places = before - rank;
  if (places === 0) return make("span", {}, "=");
  const [sign, word] = places > 0 ? ["▲", "up"] : ["▼", "down"];
  return make(
    "span",
    { class: word },
    make("span", { "aria-hidden": "true" }, `${sign} ${Math.abs(places)}`),
    make("span", { class: "hidden-text" }, `${word} ${Math.abs(places)}`),
  );
}

// Kendall's tau of two orders of the same titles (Kendall 1938); titles that only one of them has do not count.
export function tau(first, second) {
  const place = new Map(second.items.map((item) => [item.item_id, item.rank]));
  const ranks = first.items.map((item) => place.get(item.item_id)).filter((rank) => rank !== undefined);
  let agreeing = 0;
  for (let i = 0; i < ranks.length; i += 1) {
    for (let j = i + 1; j < ranks.length; j += 1) agreeing += Math.sign(ranks[j] - ranks[i]);
  }
  const pairs = (ranks.length * (ranks.length - 1)) / 2;
  return pairs ? agreeing / pairs : null;
}

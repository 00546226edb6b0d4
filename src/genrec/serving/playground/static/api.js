// Calls of the server. The key lives here, in memory, and nowhere else.

const BASE = new URL("../api/", import.meta.url);
let key = "";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useKey(value) {
  key = value;
}

export function get(path, query = {}) {
  const url = new URL(path, BASE);
  url.search = new URLSearchParams(query).toString();
  return ask(url, {});
}

export function post(path, body, signal) {
  return ask(new URL(path, BASE), {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function ask(url, options) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let response, data;
  try {
    response = await fetch(url, { ...options, headers, cache: "no-store", credentials: "omit" });
    data = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(response?.status ?? 0, "the server does not answer");
  }
  if (!response.ok) throw new ApiError(response.status, data.error?.message ?? `error ${response.status}`);
  return data;
}
